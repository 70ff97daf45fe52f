"""NETCONF figures: memory and threads of held sessions, rpc/s per core, loop hold of a big reply.

The server is a stub in a process of its own, so every figure is the client's CPU. ncclient as it
comes is measured in the same run against the same stub. `python -m tests.bench.netconf_rows`.
"""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import asyncssh
from pydantic import SecretStr

from collectors.netconf import operations
from collectors.netconf.document import Vocabulary
from collectors.netconf.door import Door
from collectors.netconf.parse import Collector, Layouts
from collectors.netconf.poller import NetconfPoller, question
from collectors.netconf.session import Session
from collectors.netconf.settings import (
    NetconfCredentials,
    NetconfSettings,
    NetconfTarget,
    ViewSpec,
)
from collectors.netconf.transport import connect
from collectors.netconf.views import Plan
from netopsd.clock import SystemClock

IF = "urn:ietf:params:xml:ns:yang:ietf-interfaces"
NC = "urn:ietf:params:xml:ns:netconf:base:1.0"
VIEW = ViewSpec.model_validate(
    {
        "name": "bench",
        "operation": "get",
        "namespace": IF,
        "filter": f'<interfaces xmlns="{IF}"/>',
        "table": [
            {
                "name": "if",
                "rows": "interfaces/interface",
                "key": "name",
                "column": [
                    {"name": "ifHCInOctets", "path": "statistics/in-octets", "kind": "counter64"},
                    {"name": "ifHCOutOctets", "path": "statistics/out-octets", "kind": "counter64"},
                ],
            }
        ],
    }
)


# --- the stub


def _rows(octets: int) -> bytes:
    row = (
        "<interface><name>ge-{0}</name><oper-status>up</oper-status><statistics>"
        "<in-octets>{0}</in-octets><out-octets>{0}</out-octets>{1}</statistics></interface>"
    )
    more = "".join(f"<counter-{name}>1234567890</counter-{name}>" for name in range(20))
    parts, size, number = [], 0, 0
    while not number or size < octets:
        parts.append(row.format(number, more if octets else ""))
        size += len(parts[-1])
        number += 1
    return "".join(parts).encode()


class _Stub(asyncssh.SSHServerSession[bytes]):
    """Answers every rpc with the same body: small, or 20 MB where it asks for the big one."""

    def __init__(self, bodies: dict[bytes, bytes]) -> None:
        self._bodies = bodies
        self._buffer = b""
        self._channel: Any = None

    def connection_made(self, chan: Any) -> None:
        self._channel = chan

    def subsystem_requested(self, subsystem: str) -> bool:
        return True

    def session_started(self) -> None:
        hello = (
            f'<hello xmlns="{NC}"><capabilities>'
            "<capability>urn:ietf:params:netconf:base:1.0</capability>"
            "<capability>urn:ietf:params:netconf:capability:notification:1.0</capability>"
            "</capabilities><session-id>1</session-id></hello>]]>]]>"
        )
        self._channel.write(hello.encode())

    def data_received(self, data: bytes, datatype: Any) -> None:
        *messages, self._buffer = (self._buffer + data).split(b"]]>]]>")
        for message in messages:
            at = message.find(b'message-id="')
            if at < 0:
                continue
            identity = message[at : message.index(b'"', at + 12) + 1]
            body = self._bodies[b"big" if b"big" in message else b"small"]
            self._channel.write(
                b'<rpc-reply xmlns="%b" %b><data><interfaces xmlns="%b">%b</interfaces></data>'
                b"</rpc-reply>]]>]]>" % (NC.encode(), identity, IF.encode(), body)
            )


class _Open(asyncssh.SSHServer):
    def __init__(self, bodies: dict[bytes, bytes]) -> None:
        self._bodies = bodies

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return True

    def session_requested(self) -> _Stub:
        return _Stub(self._bodies)


async def _serve() -> None:
    key = asyncssh.generate_private_key("ssh-ed25519")
    bodies = {b"small": _rows(0), b"big": _rows(20_000_000)}
    server = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_factory=lambda: _Open(bodies),
        server_host_keys=[key],
        encoding=None,
        backlog=2048,
        compression_algs=None,
    )
    print(server.get_port(), key.export_public_key().decode().strip(), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def stub() -> Iterator[tuple[int, str]]:
    """A stub server in a process of its own: its port and host key."""
    program = [sys.executable, "-m", "tests.bench.netconf_rows", "serve"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            port, _, key = process.stdout.readline().strip().partition(" ")
            yield int(port), key
        finally:
            process.kill()


# --- the measurements


async def _session(port: int, key: str, vocabulary: Vocabulary) -> Session:
    session = Session("stub", handler=operations.device_handler("default"), vocabulary=vocabulary)
    door = Door(
        device="stub",
        address="127.0.0.1",
        port=port,
        username="bench",
        password=SecretStr("-"),
        host_keys=(key,),
        connect_s=120,
        keepalive_s=3600,
    )
    await connect(door, session)
    return session


async def _sessions(port: int, key: str, count: int) -> list[Session]:
    sessions: list[Session] = []
    vocabulary = Vocabulary()
    for start in range(0, count, 25):
        group = range(start, min(count, start + 25))
        sessions += await asyncio.gather(*(_session(port, key, vocabulary) for _ in group))
    return sessions


def _rss_kb() -> float:
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * 4.0


async def _held(port: int, key: str, count: int) -> dict[str, float]:
    """Memory, threads and idle CPU of `count` held sessions, each with a subscription."""
    warm = await _sessions(port, key, 10)
    gc.collect()
    before, threads = _rss_kb(), threading.active_count()
    sessions = await _sessions(port, key, count)
    for session in sessions:
        await session.call("create_subscription", stream_name="NETCONF")
    gc.collect()
    grown = _rss_kb() - before
    began, wall = time.process_time(), time.monotonic()
    await asyncio.sleep(2.0)
    idle = (time.process_time() - began) / (time.monotonic() - wall)
    held = {
        "netconf_sessions": float(count),
        "netconf_kb_per_session": round(grown / count, 1),
        "netconf_threads_per_session": (threading.active_count() - threads) / count,
        "netconf_idle_core_percent": round(100 * idle, 2),
    }
    for session in (*warm, *sessions):
        await session.close()
    return held


async def _rate(port: int, key: str, sessions: int, rpcs: int) -> dict[str, float]:
    """rpc/s of one core: as ncclient operations, and as a prepared look read into a table."""
    held = await _sessions(port, key, sessions)
    each = rpcs // sessions

    async def calls(session: Session) -> None:
        for _ in range(each):
            await session.call("get")

    plan = Plan.of(VIEW)

    async def looks(session: Session) -> None:
        request, layouts = question(VIEW, session), Layouts()
        for _ in range(each):
            collector = Collector(plan)
            await session.ask(request, rows=plan.rows, take=collector.take)
            assert collector.tables(layouts)

    figures = {}
    for name, work in (("netconf_rpc_per_core_s", calls), ("netconf_look_per_core_s", looks)):
        began = time.process_time()
        await asyncio.gather(*(work(session) for session in held))
        figures[name] = round(each * sessions / (time.process_time() - began))
    for session in held:
        await session.close()
    return figures


async def _big(port: int, key: str) -> dict[str, float]:
    """How long a look with a 20 MB reply holds the loop: the longest wait of a task that only
    wants to run.

    `netconf_loop_hold_ms` counts this thread's own CPU between two of its turns, so that a busy
    machine does not count; `netconf_loop_lag_ms` is the same in wall time.
    """
    big = VIEW.model_copy(update={"filter": f'<interfaces xmlns="{IF}"><big/></interfaces>'})
    said = NetconfTarget(
        name="stub",
        address="127.0.0.1",
        port=port,
        credentials=NetconfCredentials(user="bench", password=SecretStr("-")),
        host_keys=(key,),
        views=("bench",),
    )
    poller = NetconfPoller(NetconfSettings(), [said], {"bench": big}, SystemClock())
    lag = hold = 0.0
    done = False

    async def tick() -> None:
        nonlocal lag, hold
        while not done:
            wall, cpu = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0)
            lag = max(lag, time.perf_counter() - wall)
            hold = max(hold, time.thread_time() - cpu)

    gc.collect()
    ticking = asyncio.create_task(tick())
    began, cpu, rss = time.perf_counter(), time.process_time(), _rss_kb()
    batch = await poller.poll("stub")
    took = time.perf_counter() - began
    done = True
    await ticking
    figures = {
        "netconf_loop_hold_ms": round(1000 * hold, 1),
        "netconf_loop_lag_ms": round(1000 * lag, 1),
        "netconf_big_rows": float(len(batch.tables[0].layout.rows)),
        "netconf_big_s": round(took, 2),
        "netconf_big_cpu_s": round(time.process_time() - cpu, 2),
        "netconf_big_rss_mb": round((_rss_kb() - rss) / 1024, 1),
    }
    await poller.close()
    return figures


def _plain(port: int, key: str, sessions: int, rpcs: int) -> dict[str, float]:
    """The same small replies by ncclient as it comes."""
    from ncclient import manager

    before, threads = _rss_kb(), threading.active_count()
    managers = [
        manager.connect(
            host="127.0.0.1",
            port=port,
            username="bench",
            password="-",
            hostkey_b64=key.split()[1],
            allow_agent=False,
            look_for_keys=False,
        )
        for _ in range(sessions)
    ]
    grown, more = _rss_kb() - before, threading.active_count() - threads
    each = rpcs // sessions
    began = time.process_time()

    def work(one: Any) -> None:
        for _ in range(each):
            _ = one.get().data_ele

    workers = [threading.Thread(target=work, args=(one,)) for one in managers]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    spent = time.process_time() - began
    began, wall = time.process_time(), time.monotonic()
    time.sleep(2)
    idle = (time.process_time() - began) / (time.monotonic() - wall)
    for one in managers:
        one.close_session()
    return {
        "ncclient_rpc_per_core_s": round(each * sessions / spent),
        "ncclient_kb_per_session": round(grown / sessions, 1),
        "ncclient_threads_per_session": more / sessions,
        "ncclient_idle_core_percent_200": round(100 * idle * 200 / sessions, 2),
    }


def run(quick: bool) -> dict[str, float]:
    """Return the figures by name. `quick`: fewer sessions and requests."""
    held, sessions, rpcs, plain = (200, 20, 2000, 20) if quick else (1000, 100, 20_000, 50)
    with stub() as (port, key):
        figures = asyncio.run(_held(port, key, held))
        figures |= asyncio.run(_rate(port, key, sessions, rpcs))
        figures |= asyncio.run(_big(port, key))
        figures |= _plain(port, key, plain, rpcs // 4)
    return figures


if __name__ == "__main__":
    if sys.argv[1:] == ["serve"]:
        asyncio.run(_serve())
    else:
        print(json.dumps(run("--quick" in sys.argv), indent=2))
