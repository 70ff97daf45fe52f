"""A collector: polls the devices of one site near them and sends what it saw through the broker.

The same configuration folder as the core's, the same poller and watch; in place of the pipeline a
spool on disk. It judges nothing, keeps no database, and answers to nobody but the core.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import uvloop

from collectors.mqtt.members import share
from collectors.mqtt.packing import Packing
from collectors.mqtt.publisher import Publisher
from collectors.mqtt.settings import MqttSettings
from collectors.mqtt.spool import Spool
from collectors.mqtt.topics import Collector
from collectors.snmp_poll import SnmpPoller, Target
from netopsd import logs
from netopsd.clock import SystemClock
from netopsd.core.inventory import Device
from netopsd.errors import BadConfiguration
from netopsd.ports import Poller
from netopsd.sdnotify import Notify
from netopsd.settings import Settings, load
from netopsd.watch import Watch

log = logging.getLogger(__name__)


def run(folder: Path, site: str, name: str, overrides: Sequence[str] = ()) -> int:
    """Collect until SIGTERM or SIGINT; returns the exit code. Raises BadConfiguration."""
    settings = load(folder, overrides)
    mqtt = settings.mqtt
    if mqtt is None:
        raise BadConfiguration(["netopsd.toml: mqtt: missing. Collectors speak through a broker"])
    if site not in settings.collect.remote:
        known = ", ".join(settings.collect.remote) or "none"
        what = f"collect.remote: site {site!r} is not collected remotely; known: {known}"
        raise BadConfiguration([f"netopsd.toml: {what}"])
    with logs.writing(settings.log.level, settings.log.format):
        return uvloop.run(CollectorProcess(settings, mqtt, site, name, overrides).run())


class CollectorProcess:
    """Every part of a collector, wired. Constructing it opens nothing; `run` does."""

    def __init__(
        self,
        settings: Settings,
        mqtt: MqttSettings,
        site: str,
        name: str,
        overrides: Sequence[str] = (),
    ) -> None:
        self.settings = settings
        self._overrides = overrides
        self._me = Collector(root=mqtt.root, site=site, name=name)
        self._clock = SystemClock()
        collect = settings.collect
        folder = settings.state / "spool" / f"{site}.{name}"
        self._spool = Spool(folder, collect.spool_octets)
        self._publisher = Publisher(
            mqtt, self._me, self._spool, self._clock, collect.heartbeat_s, self._share
        )
        self._publisher.figures = self.figures
        self._packing = Packing(
            self._spool, self._publisher.nudge, collect.parcel_looks, collect.parcel_s
        )
        tables = {table.name: table for table in settings.tables}
        self._poller = SnmpPoller(settings.snmp, tables, self._targets(settings), self._clock)
        self._watch = Watch(self._ways, self._clock, self._packing, _uncounted)
        self._live: frozenset[str] = frozenset()
        self._shared = False  # whether it is settled yet who polls what

    async def run(self) -> int:
        """Poll and publish until told to stop; what was seen by then is in the spool."""
        stop, hang_up = asyncio.Event(), asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        loop.add_signal_handler(signal.SIGHUP, hang_up.set)
        seed = f"{self._me.site} {self._me.name} {self._clock.now().isoformat()}"
        async with AsyncExitStack() as closing:
            await asyncio.to_thread(self._spool.open, seed)
            closing.callback(self._spool.close)
            closing.callback(self._packing.flush)
            await self._poller.start()
            closing.push_async_callback(self._poller.close)
            async with asyncio.TaskGroup() as parts:
                tasks = [
                    parts.create_task(self._watch.run({}), name="watch"),
                    parts.create_task(self._publisher.run(), name="publish"),
                    parts.create_task(self._sync(), name="sync"),
                    parts.create_task(self._alone(), name="alone"),
                    parts.create_task(self._reload(hang_up), name="reload"),
                ]
                Notify().ready(f"collecting {self._me.site} as {self._me.name}")
                log.info("collecting site %s as %s", self._me.site, self._me.name)
                await stop.wait()
                for task in tasks:
                    task.cancel()
        return 0

    def figures(self) -> dict[str, float]:
        """Return what the core may know of us; travels with each heartbeat."""
        spool, packed = self._spool.stats, self._packing.stats
        return {
            "spool_octets": spool.octets,
            "spool_dropped": spool.dropped,
            "looks": packed.looks,
            "lost": packed.lost + packed.too_large,
            "devices": self._watch.stats.devices,
        }

    # ---- who polls what

    def _share(self, live: frozenset[str]) -> None:
        self._live, self._shared = live, True
        mine = share(self._me.name, live, self._devices(self.settings))
        log.info("%d of %s's devices are ours", len(mine), self._me.site)
        self._watch.follow(mine)

    async def _alone(self) -> None:
        """Without a broker nobody says who else is there: better polled twice than not at all."""
        await self._clock.sleep(3 * self.settings.collect.heartbeat_s)
        if not self._shared:
            self._share(self._live)

    def _ways(self, device: str) -> Sequence[tuple[str, Poller]]:
        return (("snmp", self._poller),) if device in self.settings.targets else ()

    def _devices(self, settings: Settings) -> dict[str, Device]:
        devices = settings.inventory.devices
        return {n: d for n, d in devices.items() if d.site == self._me.site}

    def _targets(self, settings: Settings) -> dict[str, Target]:
        ours = self._devices(settings)
        return {name: target for name, target in settings.targets.items() if name in ours}

    # ---- the rest

    async def _sync(self) -> None:
        while True:
            await self._clock.sleep(self.settings.collect.sync_s)
            try:
                await asyncio.to_thread(self._spool.sync())
            except OSError as error:
                log.error("the spool cannot be synced: %s", error)

    async def _reload(self, hang_up: asyncio.Event) -> None:
        while True:
            await hang_up.wait()
            hang_up.clear()
            try:
                settings = await asyncio.to_thread(load, self.settings.folder, self._overrides)
            except BadConfiguration as bad:
                for problem in bad.problems:
                    log.error("the new configuration is refused; the old one stays: %s", problem)
                continue
            self.settings = settings
            tables = {table.name: table for table in settings.tables}
            await self._poller.retarget(self._targets(settings), tables)
            if self._shared:
                self._share(self._live)


def _uncounted(took_s: float, looks: int) -> None:
    """Let how long looks took go: it is not among the figures a collector tells."""
    del took_s, looks
