"""Polling in several processes: each has its share of the devices, all numbers come back here.

A shard looks and nothing else; judging, storing and telling stay in one place, so results are those
of one process. Which shard a device is in depends on its name alone. A shard that dies costs the
looks it was at (they say nothing about their devices) and is started anew.

The children run shard_child.py; what is said is in shard_frames.py.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import zlib
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from dataclasses import asdict

import numpy as np

from collectors.snmp_poll.settings import SnmpPollSettings, TableSpec, Target
from collectors.snmp_poll.stats import Stats
from netopsd import shard_frames
from netopsd.core.model import Batch, Blind, Sweep
from netopsd.errors import CannotLook
from netopsd.ports import Clock
from netopsd.shard_frames import Reader, Said, Setup

log = logging.getLogger(__name__)

Tell = asyncio.Queue[Sweep | str | None]
BACKOFF_S, BACKOFF_MOST_S = 0.1, 30.0
SILENT_S = 20.0  # a child that says nothing for so long hangs
START_S = 120.0  # and so long before its first word: small machines are slow to start many
# What reading a frame may raise where a child's words are broken: they are ours, but made of octets
# that came from anywhere.
NONSENSE = (ValueError, TypeError, LookupError, AttributeError, RecursionError)

GONE = "the process that polls it has ended; it is started anew"
NOTHING = Stats(
    sent=0, received=0, timeouts=0, late=0, wrong_source=0, wrong_community=0, varbinds=0,
    walks=0, decode_errors=0, walk_errors={}, in_flight=0, waiting=0,
)  # fmt: skip


def shard_of(device: str, shards: int) -> int:
    """Return which shard polls `device`: the same one always."""
    return zlib.crc32(device.encode()) % shards


def total(parts: list[Stats]) -> Stats:
    """Return the sum of what several pollers counted."""
    sums: dict[str, int] = {}
    errors: dict[str, int] = {}
    for part in parts:
        for name, value in asdict(part).items():
            if name == "walk_errors":
                for reason, count in value.items():
                    errors[reason] = errors.get(reason, 0) + count
            else:
                sums[name] = sums.get(name, 0) + value
    return Stats(**sums, walk_errors=errors)


class Shards:
    """A poller (ports.Poller) whose looks are taken by `count` child processes."""

    def __init__(
        self,
        count: int,
        settings: SnmpPollSettings,
        tables: Mapping[str, TableSpec],
        targets: Mapping[str, Target],
        clock: Clock,
    ) -> None:
        setup = Setup(settings, dict(tables), dict(targets))
        self._settings = settings
        self._shards = [_Shard(i, _share(setup, i, count), clock) for i in range(count)]
        self._tasks: list[asyncio.Task[None]] = []
        self._shares: dict[tuple[str, ...], list[tuple[str, ...]]] = {}  # of a turn's devices

    async def start(self) -> None:
        """Start the children; return once each can look."""
        for shard in self._shards:
            self._tasks.append(asyncio.create_task(shard.run(), name=f"shard {shard.number}"))
        for shard in self._shards:
            await shard.ready.wait()

    async def poll(self, device: str) -> Batch:
        """Return one look at `device`. Raises CannotLook and nothing else."""
        return await self._shards[shard_of(device, len(self._shards))].poll(device)

    async def sweep(
        self, devices: tuple[str, ...], under_way: frozenset[str] = frozenset()
    ) -> AsyncIterator[Sweep | str]:
        """Look at `devices` together, each shard at its share: see ports.SweepingPoller."""
        shares = self._shares.get(devices)
        if shares is None:
            count = len(self._shards)
            shares = self._shares[devices] = [
                tuple(name for name in devices if shard_of(name, count) == number)
                for number in range(count)
            ]
        told: asyncio.Queue[Sweep | str | None] = asyncio.Queue()
        asked = [
            (shard, shard.sweep(names, under_way, told))
            for shard, names in zip(self._shards, shares, strict=True)
            if names
        ]
        left = len(asked)
        try:
            while left:
                one = await told.get()
                if one is None:
                    left -= 1
                else:
                    yield one
        finally:
            for shard, number in asked:
                shard.forget(number)

    async def retarget(
        self, targets: Mapping[str, Target], tables: Mapping[str, TableSpec]
    ) -> None:
        """Take a new configuration; devices that did not change keep what was learnt of them."""
        setup = Setup(self._settings, dict(tables), dict(targets))
        self._shares.clear()
        for shard in self._shards:
            shard.adopt(_share(setup, shard.number, len(self._shards)))

    def stats(self) -> Stats:
        """Return what all shards have counted since start, as of a second ago."""
        return total([NOTHING, *(shard.stats() for shard in self._shards)])

    async def close(self) -> None:
        """End the children."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()


def _share(setup: Setup, number: int, count: int) -> Setup:
    mine = {name: t for name, t in setup.targets.items() if shard_of(name, count) == number}
    return Setup(setup.settings, setup.tables, mine)


class _Shard:
    """One child at a time, and the looks it was asked for."""

    def __init__(self, number: int, setup: Setup, clock: Clock) -> None:
        self.number = number
        self.ready = asyncio.Event()
        self._setup = setup
        self._clock = clock
        self._asked: dict[int, tuple[str, asyncio.Future[Batch]]] = {}
        self._sweeps: dict[int, tuple[dict[str, None], Tell]] = {}  # devices not told of yet
        self._last = 0
        self._stdin: asyncio.StreamWriter | None = None
        self._heard = 0  # frames, of all children
        self._now = NOTHING
        self._before = NOTHING  # counted by children that are gone

    def stats(self) -> Stats:
        return total([self._before, self._now])

    async def poll(self, device: str) -> Batch:
        if self._stdin is None:
            raise CannotLook(device, Blind.SKIPPED, GONE)
        self._last += 1
        number = self._last
        answer: asyncio.Future[Batch] = asyncio.get_running_loop().create_future()
        self._asked[number] = (device, answer)
        self._say(shard_frames.ask(number, device))
        try:
            return await answer
        finally:
            self._asked.pop(number, None)

    def sweep(self, devices: tuple[str, ...], under_way: frozenset[str], told: Tell) -> int:
        """Ask for looks at `devices` together; `told` gets them, and None at the end."""
        self._last += 1
        apart = tuple(name for name in devices if name in under_way)
        left = dict.fromkeys(name for name in devices if name not in under_way)
        self._sweeps[self._last] = (left, told)
        if self._stdin is None:
            self._end_sweep(self._last)
        else:
            self._say(shard_frames.ask_many(self._last, devices, apart))
        return self._last

    def forget(self, number: int) -> None:
        self._sweeps.pop(number, None)

    def _end_sweep(self, number: int) -> None:
        """Name who was not told of: a look at each says why there is none."""
        left, told = self._sweeps.pop(number)
        for name in left:
            told.put_nowait(name)
        told.put_nowait(None)

    def adopt(self, setup: Setup) -> None:
        """Look as `setup` says from now on; a child that is still starting is told later."""
        self._setup = setup
        self._say(shard_frames.setup(setup))

    def _say(self, frame: bytes) -> None:
        """Tell the child, where one listens. What one was told that just died is lost with it."""
        if self._stdin is not None:
            with suppress(RuntimeError, OSError):  # closed: uvloop's word for it, and asyncio's
                self._stdin.write(frame)

    async def run(self) -> None:
        """Keep a child alive until cancelled."""
        pause = BACKOFF_S
        while True:
            began = self._clock.mono_s()
            try:
                await self._life()
                log.error("polling process %d ended; a new one takes over", self.number)
            except OSError as error:
                log.error("polling process %d cannot be started: %s", self.number, error)
            finally:
                self._lose()
            lived = self._clock.mono_s() - began
            pause = BACKOFF_S if lived > BACKOFF_MOST_S else min(2 * pause, BACKOFF_MOST_S)
            await self._clock.sleep(pause)

    def _lose(self) -> None:
        """Fail what was under way: nobody can say what became of it."""
        self._stdin = None
        self._before, self._now = total([self._before, self._now]), NOTHING
        for number in list(self._sweeps):
            self._end_sweep(number)
        asked, self._asked = self._asked, {}
        for device, answer in asked.values():
            if not answer.done():
                answer.set_exception(CannotLook(device, Blind.SKIPPED, GONE))

    async def _life(self) -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "netopsd.shard_child",
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            env={"PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "LANG": "C.UTF-8"},
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        hearing = asyncio.create_task(self._end_when_silent(process))
        try:
            told = self._setup
            process.stdin.write(shard_frames.setup(told))
            reader = Reader(self._clock)
            while frame := await shard_frames.read(process.stdout):
                self._heard += 1
                self._take(reader.said(frame), process.stdin, told)
        except NONSENSE as error:
            log.error("polling process %d talks nonsense: %r", self.number, error)
        finally:
            hearing.cancel()
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def _end_when_silent(self, process: asyncio.subprocess.Process) -> None:
        """End a child that says nothing for long: it counts aloud every second.

        More than once in a row, so that one look after we stood still ourselves, with its words
        unread, is none at the child.
        """
        heard, silent_s = self._heard, 0.0
        while silent_s < (START_S if self._stdin is None else SILENT_S):
            await self._clock.sleep(SILENT_S / 2)
            silent_s = silent_s + SILENT_S / 2 if self._heard == heard else 0.0
            heard = self._heard
        log.error("polling process %d says nothing any more", self.number)
        with suppress(ProcessLookupError):
            process.kill()

    def _take(self, said: Said, stdin: asyncio.StreamWriter, told: Setup) -> None:
        """Believe what the child said. Its first words mean that it has begun, as `told`."""
        if said.stats is not None:
            if self._stdin is None:
                self._stdin = stdin
                if self._setup is not told:  # read anew while it was starting
                    self.adopt(self._setup)
                self.ready.set()
            self._now = said.stats
            return
        if said.number in self._sweeps:
            self._take_sweep(said)
            return
        _, answer = self._asked.get(said.number, ("", None))
        if answer is None or answer.done():
            return
        if isinstance(said.look, CannotLook):
            answer.set_exception(said.look)
        elif said.look is not None:
            answer.set_result(said.look)

    def _take_sweep(self, said: Said) -> None:
        left, told = self._sweeps[said.number]
        if said.sweep is not None:
            for i in np.flatnonzero(said.sweep.present).tolist():
                left.pop(said.sweep.fleet.names[i], None)
            told.put_nowait(said.sweep)
        for name in said.apart:
            left.pop(name, None)
            told.put_nowait(name)
        if said.over:
            del self._sweeps[said.number]  # who is left is being looked at
            told.put_nowait(None)
