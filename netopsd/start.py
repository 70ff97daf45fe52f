"""From exec to a running daemon: configuration and store first, the rest of the house meanwhile.

A start is measured (tests/bench/start.py). Most of it is importing and reading what was stored;
SQLite does its part of the reading without Python's lock, and the importing is done in that time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from importlib import import_module
from pathlib import Path

import uvloop

from netopsd import garbage, logs
from netopsd.clock import SystemClock
from netopsd.core import ahead
from netopsd.core.outcome import Beliefs
from netopsd.errors import StoreBroken, StoreTooNew
from netopsd.ports import Clock
from netopsd.settings import Settings, load
from netopsd.store.sqlite import SqliteStore

log = logging.getLogger(__name__)

EX_IOERR = 74  # sysexits.h: makes the service manager start us anew


def run(folder: Path, overrides: Sequence[str] = (), record: Path | None = None) -> int:
    """Run the daemon until SIGTERM or SIGINT. Returns the exit code; raises BadConfiguration."""
    settings = load(folder, overrides)
    garbage.tune()
    with logs.writing(settings.log.level, settings.log.format):
        log.debug("the configuration is read: %d devices", len(settings.inventory.devices))
        try:
            return uvloop.run(_started(settings, overrides, record))
        except (StoreBroken, StoreTooNew) as broken:
            log.critical("the store cannot be used: %s", broken)
        except ExceptionGroup as several:
            ours, others = several.split((StoreBroken, StoreTooNew))
            if ours is None:
                raise
            # What else failed then failed of it, or does not matter beside it.
            for error in leaves(ours):
                log.critical("the store cannot be used: %s", error)
            if others is not None:
                log.error("and besides", exc_info=others)
        return EX_IOERR


async def _started(settings: Settings, overrides: Sequence[str], record: Path | None) -> int:
    """Read what is believed while the daemon's parts are imported, then run it."""
    settings.state.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(settings.store_url)
    async with AsyncExitStack() as closing:
        closing.push_async_callback(store.close)
        async with asyncio.TaskGroup() as both:
            both.create_task(asyncio.to_thread(import_module, "netopsd.app"))
            reading = both.create_task(read(store, SystemClock()))
        from netopsd.app import Daemon

        return await Daemon(settings, store, overrides, record).run(reading.result())


async def read(store: SqliteStore, clock: Clock) -> Beliefs:
    """Open the store and return what is believed, none of it later than now."""
    now = clock.now()
    beliefs = await store.open_and_load(now)
    log.debug("read %d alarms, %d tickets", len(beliefs.alarms), len(beliefs.tickets))
    changed = ahead.put_back(beliefs, now)
    if many := ahead.count(changed):
        await store.hasten(now)
        await store.commit([changed], ())
        said = "the clock was ahead: %d beliefs were dated later than now; they are dated now"
        log.warning(said, many)
    return ahead.believed(beliefs, changed) if many else beliefs


def leaves(group: ExceptionGroup[Exception]) -> Iterator[Exception]:
    """Give the exceptions of a group and of the groups in it."""
    for error in group.exceptions:
        if isinstance(error, ExceptionGroup):
            yield from leaves(error)
        else:
            yield error
