"""A listener on a free port with an inbox that remembers, and the real senders of net-snmp."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from collectors.snmp_trap.listener import TrapListener
from collectors.snmp_trap.names import Resolve, resolve
from collectors.snmp_trap.settings import TrapSettings
from netopsd.clock import SystemClock
from netopsd.core.model import Event, Events
from netopsd.errors import NotJudged, StoreBroken
from netopsd.ports import Clock, Worker

LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
IF_INDEX = "1.3.6.1.2.1.2.2.1.1"


class Ear:
    """An inbox: keeps events; can be full, slow to commit, or broken; stumbles over `poison`."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.batches: list[int] = []
        self.durable_batches: list[int] = []
        self.full = False
        self.broken = False
        self.poison = ""  # a notification's name
        self.gate = asyncio.Event()
        self.gate.set()

    def offer(self, said: Any) -> bool:
        if self.full:
            return False
        self._keep(said)
        return True

    def _keep(self, said: Any) -> None:
        assert isinstance(said, Events)
        self.events.extend(said.items)
        self.batches.append(len(said.items))

    async def put(self, said: Any) -> None:
        raise AssertionError("traps never wait for room")

    async def durable(self, said: Any) -> None:
        self.durable_batches.append(len(said.items))
        await self.gate.wait()
        if self.broken:
            raise StoreBroken("disk")
        if any(event.name == self.poison for event in said.items):
            raise NotJudged("a bug")
        self._keep(said)


class Heard:
    """A running listener and what it told."""

    def __init__(self, listener: TrapListener, ear: Ear) -> None:
        self.listener, self.ear = listener, ear

    @property
    def port(self) -> int:
        assert self.listener.address is not None
        return self.listener.address[1]

    def stats(self) -> Mapping[str, int]:
        return self.listener.stats()

    async def until(self, true: Callable[[], bool], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < deadline, (dict(self.stats()), self.ear.events)
            await asyncio.sleep(0.005)

    async def settled(self, received: int) -> Mapping[str, int]:
        await self.until(
            lambda: self.stats()["received"] >= received and not self.stats()["in_flight"]
        )
        return self.stats()


ENDS = (
    "malformed", "unknown_source", "wrong_community", "rate_limited", "overflow", "repeated",
    "unacknowledged", "emitted", "v3_refused", "in_flight",
)  # fmt: skip


def accounted(stats: Mapping[str, int]) -> bool:
    return stats["received"] == sum(stats[name] for name in ENDS)


@asynccontextmanager
async def listening(
    state_dir: Path,
    devices: Mapping[str, str] | None = None,
    worker: Worker | None = None,
    clock: Clock | None = None,
    resolve: Resolve = resolve,
    **settings: Any,
) -> AsyncIterator[Heard]:
    asked = {"listen": "127.0.0.1:0", "communities": ["public"], **settings}
    known = {"127.0.0.1": "osl-gw1"} if devices is None else devices
    listener = TrapListener(
        TrapSettings.model_validate(asked),
        known,
        clock or SystemClock(),
        state_dir,
        worker,
        resolve,
    )
    ear = Ear()
    running = asyncio.create_task(listener.listen(ear))
    try:
        while listener.address is None:
            if running.done():
                await running
            await asyncio.sleep(0.002)
        yield Heard(listener, ear)
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert accounted(listener.stats())


async def send(*command: str) -> int:
    """Run one of net-snmp's senders; return its exit status."""
    process = os.environ.get("PYTEST_XDIST_WORKER", "gw0")  # two must not write the same files
    environment = {**os.environ, "SNMPCONFPATH": "/nonexistent", "MIBS": "",
                   "SNMP_PERSISTENT_DIR": f"/tmp/netopsd-test-snmp-{process}"}  # fmt: skip
    sender = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment
    )
    return await sender.wait()
