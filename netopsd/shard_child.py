"""A polling process: the other side of shards.py.

`python -m netopsd.shard_child` reads from its standard input what is to be done and writes to its
output what was seen (shard_frames.py). It ends when its input does.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys

import numpy as np
import uvloop

from collectors.snmp_poll import SnmpPoller
from netopsd import garbage, shard_frames
from netopsd.clock import SystemClock
from netopsd.core.model import Batch, Blind
from netopsd.errors import CannotLook
from netopsd.shard_frames import Ask, AskMany, Setup, Teller

log = logging.getLogger(__name__)

STATS_EVERY_S = 1.0


class Child:
    """A poller that does what its input says."""

    def __init__(self, settings: Setup, out: asyncio.StreamWriter) -> None:
        self._out = out
        self._clock = SystemClock()
        self._teller = Teller()
        self._tasks: set[asyncio.Task[None]] = set()
        self.poller = SnmpPoller(
            settings.settings, settings.tables, settings.targets, self._clock
        )  # fmt: skip

    async def serve(self, source: asyncio.StreamReader) -> None:
        """Look when asked, until the input ends."""
        await self.poller.start()
        counting = asyncio.create_task(self._count())
        while frame := await shard_frames.read(source):
            told = shard_frames.told(frame)
            if isinstance(told, Setup):
                await self.poller.retarget(told.targets, told.tables)
                continue
            doing = self._look(told) if isinstance(told, Ask) else self._sweep(told)
            task = asyncio.create_task(doing)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        counting.cancel()
        await self.poller.close()

    async def _look(self, asked: Ask) -> None:
        try:
            look: Batch | CannotLook = await self.poller.poll(asked.device)
        except CannotLook as error:
            look = error
        except Exception as bug:
            # As the watch does: one device that trips a bug of ours must not stop the others.
            log.exception("looking at %s failed in a way no collector announces", asked.device)
            look = CannotLook(asked.device, Blind.SKIPPED, f"a bug in the collector: {bug}")
        self._out.write(self._teller.look(asked.number, look))

    async def _sweep(self, asked: AskMany) -> None:
        number = asked.number
        left = dict.fromkeys(name for name in asked.devices if name not in asked.under_way)
        try:
            async for told in self.poller.sweep(asked.devices, asked.under_way):
                if isinstance(told, str):
                    left.pop(told, None)
                    self._out.write(self._teller.apart(number, told))
                    continue
                for i in np.flatnonzero(told.present).tolist():
                    left.pop(told.fleet.names[i], None)
                self._out.write(self._teller.sweep(number, told))
        except Exception:
            # As the watch does: then each is looked at by itself.
            log.exception("looking at %d devices together failed", len(asked.devices))
            for name in left:
                self._out.write(self._teller.apart(number, name))
        self._out.write(self._teller.over(number))

    async def _count(self) -> None:
        while True:
            self._out.write(self._teller.stats(self.poller.stats()))
            await self._clock.sleep(STATS_EVERY_S)


async def _main() -> None:
    loop = asyncio.get_running_loop()
    source = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(source), sys.stdin.buffer)
    transport, protocol = await loop.connect_write_pipe(
        asyncio.streams.FlowControlMixin, sys.stdout.buffer
    )
    out = asyncio.StreamWriter(transport, protocol, None, loop)
    first = await shard_frames.read(source)
    setup = shard_frames.told(first) if first else None
    if isinstance(setup, Setup):
        garbage.tune()
        await Child(setup, out).serve(source)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the daemon's: our input will end
    uvloop.run(_main())
