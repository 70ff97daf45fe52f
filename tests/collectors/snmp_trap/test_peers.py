"""Real senders: net-snmp's snmptrap and snmpinform, v1, v2c and v3."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from netopsd.clock import SystemClock
from netopsd.worker import Worker
from tests.collectors.snmp_trap.ears import IF_INDEX, LINK_DOWN, Heard, listening, send

pytestmark = [pytest.mark.e2e, pytest.mark.peer("snmptrap", "snmpinform")]
SENDER = "8000000001020304"
BODY = ("4711", LINK_DOWN, f"{IF_INDEX}.3", "i", "3", "1.3.6.1.2.1.31.1.1.1.1.3", "s", "ge-0/0/3")
VALUES = {f"{IF_INDEX}.3": "3", "1.3.6.1.2.1.31.1.1.1.1.3": "ge-0/0/3"}
ONCE = ("-r", "0", "-t", "1")  # for who gets no answer
ONCE_PATIENT = ("-r", "0", "-t", "30")  # for who gets one
Story = Callable[[Heard, str], Awaitable[Any]]


def user(**changes: Any) -> dict[str, Any]:
    return {
        "name": "netops", "engine_ids": [SENDER], "auth": "sha256", "auth_key": "authauth1",
        "priv": "aes128", "priv_key": "privpriv1", **changes,
    }  # fmt: skip


def v3(
    auth: str = "SHA-256",
    priv: str = "AES",
    name: str = "netops",
    keys: str = "authauth1 privpriv1",
) -> tuple[str, ...]:
    auth_key, priv_key = keys.split()
    return ("-v3", "-u", name, "-l", "authPriv", "-a", auth, "-A", auth_key, "-x", priv, "-X",
            priv_key)  # fmt: skip


def heard_by(story: Story, tmp_path: Path, *users: dict[str, Any]) -> Any:
    async def run() -> Any:
        clock = SystemClock()
        worker = Worker("collectors.snmp_trap.usm:begin", clock)
        async with (
            asyncio.timeout(60),
            listening(tmp_path, worker=worker, clock=clock, users=users) as heard,
        ):
            return await story(heard, f"127.0.0.1:{heard.port}")

    return asyncio.run(run())


async def captured(*command: str) -> bytes:
    """Return the datagram a sender sends, instead of letting it arrive."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear:
        ear.bind(("127.0.0.1", 0))
        ear.setblocking(False)
        to = f"127.0.0.1:{ear.getsockname()[1]}"
        await send(*command, to, *BODY)
        return await asyncio.get_running_loop().sock_recv(ear, 65535)


@asynccontextmanager
async def wire_tap(port: int) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Pass datagrams on to `port`, and answers back; yield where to send, and what was sent."""
    loop, seen = asyncio.get_running_loop(), []
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        near.bind(("127.0.0.1", 0))
        far.connect(("127.0.0.1", port))
        near.setblocking(False)
        far.setblocking(False)

        async def there_and_back() -> None:
            while True:
                data, peer = await loop.sock_recvfrom(near, 65535)
                seen.append(data)
                await loop.sock_sendall(far, data)
                await loop.sock_sendto(near, await loop.sock_recv(far, 65535), peer)

        passing = asyncio.create_task(there_and_back())
        yield f"127.0.0.1:{near.getsockname()[1]}", seen
        passing.cancel()
        await asyncio.wait([passing])


def test_v1_and_v2c_traps_and_informs_arrive_with_their_values(tmp_path: Path) -> None:
    async def story(heard: Heard, to: str) -> None:
        await send("snmptrap", "-v2c", "-c", "public", to, *BODY)
        v1 = ("1.3.6.1.4.1.8072", "192.0.2.1", "2", "0", "4711", *BODY[2:])
        await send("snmptrap", "-v1", "-c", "public", to, *v1)
        assert await send("snmpinform", "-v2c", "-c", "public", *ONCE_PATIENT, to, *BODY) == 0
        assert await send("snmpinform", "-v2c", "-c", "wrong", *ONCE, to, *BODY) == 1
        await send("snmptrap", "-v2c", "-c", "wrong", to, *BODY)
        stats = await heard.settled(5)
        assert stats["wrong_community"] == 2
        assert [(e.name, e.confirmed) for e in heard.ear.events] == [
            (LINK_DOWN, False), (LINK_DOWN, False), (LINK_DOWN, True)
        ]  # fmt: skip
        assert all(VALUES.items() <= e.values.items() for e in heard.ear.events)
        assert not any(e.authenticated for e in heard.ear.events)

    heard_by(story, tmp_path)


AUTHS = ["SHA", "SHA-224", "SHA-256", "SHA-384", "SHA-512"]


def test_v3_traps_and_informs_of_every_algorithm_arrive_authenticated(tmp_path: Path) -> None:
    pairs = [(auth, "AES") for auth in AUTHS] + [("SHA-512", "AES-192"), ("SHA", "AES-256")]
    names = {pair: f"u{n}" for n, pair in enumerate(pairs)}
    users = [
        user(name=name, auth=auth.replace("-", "").lower().replace("sha", "sha1")
             if auth == "SHA" else auth.replace("-", "").lower(),
             priv="aes128" if priv == "AES" else priv.replace("-", "").lower())
        for (auth, priv), name in names.items()
    ]  # fmt: skip

    async def story(heard: Heard, to: str) -> None:
        for (auth, priv), name in names.items():
            secured = v3(auth, priv, name)
            assert await send("snmptrap", *secured, "-e", SENDER, to, *BODY) == 0
            assert await send("snmpinform", *secured, *ONCE_PATIENT, to, *BODY) == 0, (auth, priv)
        await heard.until(lambda: len(heard.ear.events) == 2 * len(pairs))
        assert all(e.authenticated and e.values == VALUES for e in heard.ear.events)
        assert heard.stats()["informs_acked"] == len(pairs)

    heard_by(story, tmp_path, *users)


def test_wrong_keys_users_engines_and_levels_give_nothing_but_a_count(tmp_path: Path) -> None:
    wrong = {
        "wrong_digest": (*v3(keys="authauth2 privpriv1"), "-e", SENDER),
        "not_decrypted": (*v3(keys="authauth1 privpriv2"), "-e", SENDER),
        "unknown_user": (*v3(name="mallory"), "-e", SENDER),
        "unknown_engine": (*v3(), "-e", "8000000001020305"),
        "low_level": ("-v3", "-u", "netops", "-l", "noAuthNoPriv", "-e", SENDER),
    }

    async def story(heard: Heard, to: str) -> None:
        for number, (reason, secured) in enumerate(wrong.items(), 1):
            await send("snmptrap", *secured, to, *BODY)
            stats = await heard.settled(number)
            assert stats[f"v3_{reason}"] == 1, (reason, dict(stats))
        for keys in ("authauth2 privpriv1", "authauth1 privpriv2"):
            assert await send("snmpinform", *v3(keys=keys), *ONCE, to, *BODY) != 0
        assert heard.ear.events == []

    heard_by(story, tmp_path, user())


def test_an_inform_is_not_acknowledged_where_the_store_fails(tmp_path: Path) -> None:
    async def story(heard: Heard, to: str) -> None:
        heard.ear.broken = True
        assert await send("snmpinform", "-v2c", "-c", "public", *ONCE, to, *BODY) == 1
        for _ in range(10):  # it may hear of our engine too late to tell us anything
            assert await send("snmpinform", *v3(), *ONCE, to, *BODY) == 1
            stats = await heard.settled(2)
            if stats["unacknowledged"] >= 2:
                break
        assert stats["unacknowledged"] >= 2
        assert stats["informs_acked"] == 0

    heard_by(story, tmp_path, user())


def test_a_captured_authpriv_trap_is_believed_once_even_across_a_restart(tmp_path: Path) -> None:
    async def replays(heard: Heard, data: bytes, times: int) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            for _ in range(times):
                sender.sendto(data, ("127.0.0.1", heard.port))
                await asyncio.sleep(0.01)

    async def first(heard: Heard, to: str) -> bytes:
        data = await captured("snmptrap", *v3(), "-e", SENDER, "-Z", "7,1000")
        await replays(heard, data, 3)
        stats = await heard.settled(3)
        assert (len(heard.ear.events), stats["v3_replayed"]) == (1, 2)
        return data

    async def second(heard: Heard, data: bytes) -> None:
        older = await captured("snmptrap", *v3(), "-e", SENDER, "-Z", "6,2000")
        newer = await captured("snmptrap", *v3(), "-e", SENDER, "-Z", "7,1001")
        for datagram in (data, older):
            await replays(heard, datagram, 1)
        await heard.settled(2)
        assert heard.ear.events == []
        await replays(heard, newer, 1)
        await heard.settled(3)
        assert len(heard.ear.events) == 1

    data = heard_by(first, tmp_path, user())
    heard_by(lambda heard, _: second(heard, data), tmp_path, user())


def test_a_replayed_inform_is_refused_after_a_restart(tmp_path: Path) -> None:
    """Our boots are counted up before anything is believed: what was timely then is not now."""

    async def first(heard: Heard, to: str) -> bytes:
        async with wire_tap(heard.port) as (tapped, seen):
            assert await send("snmpinform", *v3(), *ONCE_PATIENT, tapped, *BODY) == 0
        assert len(heard.ear.events) == 1
        return seen[-1]

    async def second(heard: Heard, to: str) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.sendto(inform, ("127.0.0.1", heard.port))
            stats = await heard.settled(1)
        assert (heard.ear.events, stats["v3_not_in_window"]) == ([], 1)

    inform = heard_by(first, tmp_path, user())
    heard_by(second, tmp_path, user())


def test_a_killed_worker_costs_one_message_and_no_other(tmp_path: Path) -> None:
    async def run() -> None:
        clock = SystemClock()
        worker = Worker("collectors.snmp_trap.usm:begin", clock)
        async with listening(tmp_path, worker=worker, clock=clock, users=[user()]) as heard:
            to = f"127.0.0.1:{heard.port}"
            secured = ("snmptrap", *v3(), "-e", SENDER, to, *BODY)
            await send(*secured)
            await heard.settled(1)
            assert worker.pid is not None
            os.kill(worker.pid, signal.SIGKILL)
            await heard.until(lambda: worker.deaths == 1)
            await send(*secured)
            await heard.settled(2)
            assert len(heard.ear.events) == 2

    asyncio.run(run())


SYSTEMD = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS="1", LISTEN_FDNAMES="trap")
os.execv(sys.executable, [sys.executable, "-c", *sys.argv[2:]])
"""
CHILD = """
import asyncio, sys
from pathlib import Path
from collectors.snmp_trap.listener import TrapListener
from collectors.snmp_trap.settings import TrapSettings
from netopsd.clock import SystemClock

class Inbox:
    def offer(self, said):
        print(said.items[0].name, flush=True)
        return True

asyncio.run(TrapListener(TrapSettings(communities=("public",)), {"127.0.0.1": "gw"}, SystemClock(),
                         Path(sys.argv[1])).listen(Inbox()))
"""


def test_a_socket_handed_over_by_systemd_is_used(tmp_path: Path) -> None:
    """As systemd does it: descriptor 3, LISTEN_FDS, LISTEN_PID and a name; port 162 is not ours."""

    async def run() -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            to = f"127.0.0.1:{sock.getsockname()[1]}"
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", SYSTEMD, str(sock.fileno()), CHILD, str(tmp_path),
                stdout=subprocess.PIPE, pass_fds=[sock.fileno()],
            )  # fmt: skip
            try:
                await send("snmptrap", "-v2c", "-c", "public", to, *BODY)
                assert process.stdout is not None
                async with asyncio.timeout(60):
                    assert (await process.stdout.readline()).decode().strip() == LINK_DOWN
            finally:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()

    asyncio.run(run())
