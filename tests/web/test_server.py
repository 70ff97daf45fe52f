"""The server as a client meets it, on a real socket."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx
import numpy as np
import pytest

from netopsd.clock import SystemClock
from netopsd.core.inventory import Device
from netopsd.core.model import Batch, Layout, Table
from netopsd.web.exposition import Family
from netopsd.web.page import Page, wants_gzip
from netopsd.web.series import Series
from netopsd.web.server import WebServer


@dataclass(frozen=True)
class Http:
    host: str = "127.0.0.1"
    port: int = 0
    hosts: tuple[str, ...] = ()
    token: tuple[Any, ...] = ()


def serving(
    site: Any,
    use: Callable[[WebServer], Awaitable[None]],
    page: Page | None = None,
    head_within_s: float = 10.0,
    http: Http = Http(),
) -> None:
    """Run `use` against a server of its own, and see the server end when cancelled."""

    async def run() -> None:
        web = WebServer(http, site.house, page or site.page, version="0.1.0")
        web.head_within_s = head_within_s
        task = asyncio.create_task(web.serve())
        try:
            await asyncio.wait_for(web.listening.wait(), 10)
            await use(web)
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asyncio.wait_for(task, 10)

    asyncio.run(run())


def many_series(devices: int, rows: int = 100) -> Series:
    series = Series(SystemClock())
    numbers = tuple(str(i) for i in range(rows))
    for n in range(devices):
        layout = Layout(
            table="if", rows=numbers, index=numbers, labels={"ifIndex": numbers},
            counters=("ifHCInOctets",), widths=(64,), gauges=(),
        )  # fmt: skip
        table = Table(layout, np.full((1, rows), 2**60, dtype=np.uint64), np.empty((0, rows)))
        name = f"gw{n}"
        at = SystemClock().now()
        batch = Batch(device=name, at=at, mono_s=0.0, tables=(table,))
        series.take(batch, Device(name=name, site="oslo"))
    return series


def test_metrics_are_streamed_and_packed_when_asked(site: Any) -> None:
    series = many_series(50)
    page = Page(
        clock=SystemClock(), series=series, own=site.figures.text, families=site.page.families
    )

    async def use(web: WebServer) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port}") as asker:
            plain = await asker.get("/metrics", headers={"accept-encoding": "identity"})
            packed = await asker.get("/metrics", headers={"accept-encoding": "gzip"})
            own = await asker.get("/metrics?part=own")
            network = await asker.get("/metrics?part=network")
        assert plain.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert plain.headers["transfer-encoding"] == "chunked"
        assert packed.headers["content-encoding"] == "gzip"
        for answer in (plain, packed):
            assert answer.text.count("\nifHCInOctets{") == 5000
            assert "\nnetopsd_build_info{" in answer.text
            assert '\nnetopsd_sla_budget_burn_ratio{service="vpn-acme"} 0.5\n' in answer.text
            assert answer.text.endswith("\n")
        assert "ifHCInOctets" not in own.text
        assert "netopsd_build_info" not in network.text
        assert own.text.count("# TYPE") + network.text.count("# TYPE") == plain.text.count("# TYPE")

    serving(site, use, page)


def test_shards_of_a_scrape_are_disjoint_and_together_all(site: Any) -> None:
    series = many_series(50)
    page = Page(clock=SystemClock(), series=series, own=site.figures.text)

    async def use(web: WebServer) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port}") as asker:
            whole = await asker.get("/metrics?part=network")
            shards = [
                await asker.get("/metrics", params={"part": "network", "shard": f"{n}/4"})
                for n in (1, 2, 3, 4)
            ]
            wrong = [
                await asker.get("/metrics", params={"shard": said})
                for said in (
                    "0/4",
                    "5/4",
                    "1/65",
                    "x",
                    "1/",
                    "/1",
                    "-1/4",
                    "1/2/3",
                    "²/4",
                    "9" * 5000,
                )
            ]
        lines = [set(one.text.splitlines()) for one in (whole, *shards)]
        samples = [{line for line in some if not line.startswith("#")} for some in lines]
        assert set.union(*samples[1:]) == samples[0]
        assert sum(map(len, samples[1:])) == len(samples[0])
        assert all(len(some) > 500 for some in samples[1:])
        assert series.shown == len(samples[0])
        assert {one.status_code for one in wrong} == {422}
        assert all('write "2/8"' in one.json()["reason"] for one in wrong)

    serving(site, use, page)


def test_a_half_packed_answer_is_a_whole_gzip_stream(site: Any) -> None:
    async def use(web: WebServer) -> None:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port}") as asker:
            headers = {"accept-encoding": "gzip"}
            async with asker.stream("GET", "/metrics", headers=headers) as answer:
                raw = b"".join([chunk async for chunk in answer.aiter_raw()])
        assert b"netopsd_build_info" in gzip.decompress(raw)

    serving(site, use)


@pytest.mark.parametrize(
    ("header", "wanted"),
    [
        ("gzip", True), ("deflate, GZIP;q=0.5", True), ("*", True), ("gzip; q=0", False),
        ("", False), ("br", False), ("identity", False), ("gzip;q=0.000", False),
    ],
)  # fmt: skip
def test_gzip_is_for_those_who_take_it(header: str, wanted: bool) -> None:
    assert wants_gzip(header) is wanted


def test_the_loop_stays_free_while_much_is_rendered_and_sent(site: Any) -> None:
    page = Page(clock=SystemClock(), series=many_series(600), own=site.figures.text)
    lags: list[float] = []

    async def ticking() -> None:
        while True:
            before = time.thread_time()  # what the machine keeps from us does not count
            await asyncio.sleep(0.001)
            lags.append(time.thread_time() - before)

    async def use(web: WebServer) -> None:
        task = asyncio.create_task(ticking())
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        size = 0
        while chunk := await reader.read(1 << 20):
            size += len(chunk)
        writer.close()
        task.cancel()
        assert size > 3_000_000

    serving(site, use, page)
    lags.sort()
    assert lags[int(len(lags) * 0.99)] < 0.02  # the bench measures the worst on a quiet machine


def test_metrics_survive_a_client_that_leaves_in_the_middle(site: Any) -> None:
    page = Page(clock=SystemClock(), series=many_series(300), own=site.figures.text)

    async def use(web: WebServer) -> None:
        for _ in range(8):  # more than may run at once: each must give its place back
            _, writer = await asyncio.open_connection("127.0.0.1", web.port)
            writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
            await writer.drain()
            writer.transport.abort()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port}") as asker:
            for _ in range(600):
                answer = await asker.get("/metrics")
                if answer.status_code == 200:
                    break
                await asyncio.sleep(0.05)
        assert answer.text.count("\nifHCInOctets{") == 30_000

    serving(site, use, page)


def test_a_client_that_does_not_read_cannot_hold_up_the_end(site: Any) -> None:
    page = Page(clock=SystemClock(), series=many_series(1500), own=site.figures.text)

    async def run() -> None:
        web = WebServer(Http(), site.house, page, version="0.1.0")
        task = asyncio.create_task(web.serve())
        await asyncio.wait_for(web.listening.wait(), 10)
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port, limit=1024)
        writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"200" in await reader.readline()
        task.cancel()
        done, _ = await asyncio.wait([task], timeout=5)
        writer.transport.abort()
        assert done

    asyncio.run(run())


@pytest.mark.parametrize(
    "said",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nhost: evil.example\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"y" * 40_000 + b"\r\n\r\n",
        b"POST /api/v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n"
        b"transfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/x HTTP/1.1\r\nhost: localhost\r\ncontent-length: -1\r\n\r\n",
        b"GET http://evil.example/ HTTP/1.1\r\nhost: evil.example\r\n\r\n",
        b"\x16\x03\x01\x00\xa5\x01\x00\x00",
    ],
)
def test_a_malformed_request_is_refused_and_the_next_one_served(site: Any, said: bytes) -> None:
    async def use(web: WebServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(said)
        writer.write_eof()
        answer = await asyncio.wait_for(reader.read(4096), 5)
        writer.close()
        assert answer == b"" or b" 4" in answer.split(b"\r\n", 1)[0]
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port}") as asker:
            assert (await asker.get("/health")).status_code == 200

    serving(site, use)


def test_five_hundred_slow_clients_keep_nobody_out_and_are_not_all_kept(site: Any) -> None:
    async def use(web: WebServer) -> None:
        slow = []
        for _ in range(500):
            reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
            writer.write(b"GET / HTTP/1.1\r\nhost: loc")
            slow.append((reader, writer))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{web.port}") as asker:
            assert (await asker.get("/health")).status_code == 200
        gone = 0
        for _ in range(500):  # five seconds: sooner than their heads are due
            gone = sum(reader.at_eof() or bool(reader.exception()) for reader, _ in slow)
            if gone >= 244:
                break
            await asyncio.sleep(0.01)
        assert gone >= 244
        for _, writer in slow:
            writer.transport.abort()

    serving(site, use)


def test_a_request_head_that_takes_too_long_is_cut_off(site: Any) -> None:
    async def use(web: WebServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert b"200" in await reader.readline()
        writer.write(b"GET /health HTTP/1.1\r\nhost:")  # the second one never ends
        try:
            rest = await asyncio.wait_for(reader.read(-1), 5)
            assert b"pass" in rest
        except ConnectionResetError:
            pass
        writer.close()

    serving(site, use, head_within_s=0.2)


@pytest.mark.parametrize(("name", "status"), [("netops.example", 200), ("other.example", 421)])
def test_the_names_of_the_settings_are_ours(site: Any, name: str, status: int) -> None:
    async def use(web: WebServer) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
        writer.write(f"GET /metrics HTTP/1.1\r\nHost: {name}:9280\r\n\r\n".encode())
        assert str(status).encode() in await reader.readline()
        writer.close()

    serving(site, use, http=Http(hosts=("NetOps.example",)))


def test_an_address_in_use_is_an_error_at_once(site: Any) -> None:
    async def run() -> None:
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            http = Http(port=taken.getsockname()[1])
            with pytest.raises(OSError, match="in use"):
                await WebServer(http, site.house, site.page, version="0.1.0").serve()

    asyncio.run(run())


def test_a_wide_family_is_one_group() -> None:
    family = Family(
        name="netopsd_sla_availability_ratio", help="A\nB", labels=("service",),
        samples=lambda: [((f's"{i}',), float(i)) for i in range(600)],
    )  # fmt: skip
    text = "".join(family.pieces())
    assert text.count("# TYPE") == 1
    assert text.count("\n") == 602
    assert 'netopsd_sla_availability_ratio{service="s\\"7"} 7\n' in text
