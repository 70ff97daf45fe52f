"""Builds the house from its settings and keeps it running. The only file that knows everyone."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack, suppress
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path

import numpy as np

from bss_bridge.deliver import Deliverer, DeliverySettings
from bss_bridge.office.connect import database_path
from bss_bridge.office.store import Office
from bss_bridge.settings import Contract
from bss_bridge.sinks import build as build_sink
from bss_bridge.translate import Translator, routes
from collectors.netconf.links import HOSTKEY_ALARM
from collectors.snmp_poll import SnmpPoller
from collectors.snmp_trap.listener import TrapListener
from netopsd import __version__, garbage, journal
from netopsd.clock import SystemClock
from netopsd.core.beliefs import Phase, alarm_key
from netopsd.core.model import Batch, Input, Reconfigured, Resource, Sweep, Tick
from netopsd.core.ordered import promised, under_way
from netopsd.core.outcome import Beliefs, Outcome
from netopsd.core.restore import restore
from netopsd.counting import until_next
from netopsd.errors import BadConfiguration, NotAllowed, NotJudged, TryLater
from netopsd.metrics import Figures, Sources
from netopsd.mqtt import MqttSide
from netopsd.netconf import NetconfSide
from netopsd.orders import OrderDesk, refuse_clashes
from netopsd.pipeline import Pipeline
from netopsd.ports import Poller
from netopsd.sdnotify import Notify, Progress
from netopsd.settings import Settings, load
from netopsd.shards import Shards
from netopsd.store.read import Reader
from netopsd.store.sqlite import SqliteStore
from netopsd.story import Recorder
from netopsd.views import Believed, History
from netopsd.watch import Watch
from netopsd.web.house import House as WebHouse
from netopsd.web.page import Page, sla_families
from netopsd.web.series import Series
from netopsd.web.server import WebServer
from netopsd.worker import Worker

log = logging.getLogger(__name__)

PRUNE_EVERY_S = 3600.0
HISTORY_KEPT = timedelta(days=400)
SETTLED_S = 120.0
OFFICE_AGAIN_S = 5.0
TICK_S = 1.0
RUNNING = "running.json"  # in the state folder while we run: where our own commands find us


class Daemon:
    """Every part, wired. Constructing it opens nothing; `run` does. `store` is open already."""

    def __init__(
        self,
        settings: Settings,
        store: SqliteStore,
        overrides: Sequence[str] = (),
        record: Path | None = None,
    ) -> None:
        self.settings = settings
        self._overrides = overrides
        self._record = record
        self.clock = SystemClock()
        self.notify = Notify()
        self.stop = asyncio.Event()
        self.store = store
        self.office = Office(database_path(settings.office_url), self.clock)
        self.routes = routes(settings.sinks)  # the sinks that run: a reload brings no others
        self.recorder: Recorder | None = None
        self.opened = False
        self._told_office = False

    async def run(self, beliefs: Beliefs) -> int:
        """Go on from `beliefs`: watch until told to stop, close in order."""
        async with AsyncExitStack() as closing:
            await self.office.open()
            closing.push_async_callback(self.office.close)
            if self._record is not None:
                out = closing.enter_context(self._record.open("w", encoding="utf-8"))
                self.recorder = Recorder(out)
            await self.build(closing, beliefs)
            closing.callback((self.settings.state / RUNNING).unlink, missing_ok=True)
            await self._serve()
        return 0

    async def build(self, closing: AsyncExitStack, beliefs: Beliefs) -> None:
        """Make every part; what is to be closed goes to `closing`. Nothing runs yet."""
        settings = self.settings
        refuse_clashes(settings, beliefs.ordered.values(), promised(beliefs.order_items.values()))
        if self.recorder is not None:
            self.recorder.begin(settings.inventory, beliefs)
        self.world = restore(settings.inventory, beliefs)
        log.debug("the world is drawn")
        self.opened = True
        self.series = Series(self.clock, _help(settings), every_s=_every(settings))
        self.pipeline = Pipeline(self.world, self.store, self._translator(), self.clock, self)
        self.desk = self.order_desk()
        self.pipeline.translate = self._translator(self._contracts(settings))
        sinks = {s.name: build_sink(s, self.office, self.clock) for s in settings.sinks}
        for sink in sinks.values():
            closing.push_async_callback(sink.close)
        how = {
            s.name: DeliverySettings(retry=s.retry, concurrency=s.concurrency)
            for s in settings.sinks
        }
        self.deliverer = Deliverer(self.store, sinks, self.clock, how)
        self.poller = _poller(settings, self.clock)
        closing.push_async_callback(self.poller.close)
        self.netconf = NetconfSide(
            settings,
            self.clock,
            self.pipeline.mailbox,
            lambda name: self.watch.look_soon(name, 0),
            self._suspected,
        )
        self.mqtt = MqttSide(settings, self.clock)
        self.traps = TrapListener(
            settings.traps,
            _addresses(settings),
            self.clock,
            settings.state,
            Worker("collectors.snmp_trap.usm:begin", self.clock),
        )
        self.believed = Believed(self.world, self.clock, lambda: self.opened)
        self.figures = Figures(clock=self.clock, version=__version__, sources=self._sources())
        self.figures.reload.at = self.clock.now()
        self.watch = Watch(
            self._pollers,
            self.clock,
            self.pipeline.mailbox,
            self.figures.poll_seconds.observe,
            self.figures.poll_lateness.observe,
        )
        self.web = self._web()
        log.debug("every part is built")

    def _web(self) -> WebServer:
        house = WebHouse(
            now=self.believed,
            kept=History(Reader(self.settings.store_url)),
            messages=self.store,
            acts=self.pipeline.mailbox,
            orders=self.desk,
            clock=self.clock,
        )
        page = Page(
            clock=self.clock,
            series=self.series,
            own=self.figures.text,
            families=sla_families(self.believed.current),
        )
        return WebServer(
            self.settings.http, house, page, version=__version__, count=self.figures.http.add
        )

    def _pollers(self, device: str) -> tuple[tuple[str, Poller], ...]:
        known: tuple[tuple[str, Poller], ...] = ()
        if device in self.settings.targets and not self._polled_there(device):
            known = (("snmp", self.poller),)
        if device in self.settings.netconf_devices.targets:
            known = (*known, ("netconf", self.netconf.poller))
        return known

    def _polled_there(self, device: str) -> bool:
        """Whether the collectors of the device's site poll it, and we do not."""
        known = self.settings.inventory.devices.get(device)
        return known is not None and self.mqtt.leaves(known.site)

    def _suspected(self, device: str) -> bool:
        """Whether we believe that this device shows another host key than it should."""
        alarm = self.world.alarms.get(alarm_key(Resource(device), HOSTKEY_ALARM))
        return alarm is not None and alarm.phase is Phase.ACTIVE

    def _sources(self) -> Sources:
        return Sources(
            alarms=self.believed.active_alarms,
            tickets=self.believed.tickets,
            snmp=lambda: _numbers(asdict(self.poller.stats()), without=("in_flight", "waiting")),
            traps=lambda: _numbers(dict(self.traps.stats()), without=("in_flight",)),
            mqtt=self.mqtt.stats,
            netconf=self.netconf.stats,
            store_totals=lambda: _numbers(
                {"commits": self.store.health().commits, "disputes": self.store.health().disputes}
            ),
            queues=self._queues,
            series=lambda: (self.series.shown, self.series.hidden),
            clock_stepped_s=lambda: self.clock.stepped_s,
            outbox=self.store.depth,
            not_judged=lambda: self.pipeline.stats.failed,
            late=lambda: self.watch.stats.late,
            deliveries=self._deliveries,
            orders=self.believed.orders,
            order_pending_s=self.believed.order_pending_s,
            order_items=lambda: self.desk.work.stats.ended,
            activation_steps=lambda: self.desk.work.stats.steps,
            drift=self.desk.work.stats.drift,
        )

    def _queues(self) -> dict[str, float]:
        """Return the length of every queue there is."""
        polling = self.poller.stats()
        return {
            "inbox": float(len(self.pipeline.mailbox)),
            "snmp_in_flight": float(polling.in_flight),
            "snmp_waiting": float(polling.waiting),
            "traps_in_flight": float(self.traps.stats().get("in_flight", 0)),
        }

    def _deliveries(self) -> dict[str, float]:
        """Return how attempts to hand messages over ended, over all sinks."""
        stats = list(self.deliverer.stats().values())
        return {
            "delivered": float(sum(s.delivered for s in stats)),
            "postponed": float(sum(s.failed for s in stats)),
            "parked": float(sum(s.parked for s in stats)),
        }

    async def _serve(self) -> None:
        """Run every part until one fails or we are told to stop."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop.set)
        hang_up = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, hang_up.set)
        await self.poller.start()
        # The configuration may not be the one we stopped with: end what belongs to nobody now.
        self.pipeline.mailbox.offer(
            Reconfigured(at=self.clock.now(), inventory=self.settings.inventory)
        )
        async with asyncio.TaskGroup() as house:
            looking = [
                house.create_task(self.watch.run(self.settings.inventory.devices), name="watch"),
                house.create_task(self._tick(), name="tick"),
                house.create_task(self._reload(hang_up), name="reload"),
            ]
            looking.append(house.create_task(self.netconf.run(), name="netconf"))
            looking.append(house.create_task(self.desk.work.run(), name="orders"))
            looking.append(house.create_task(self.mqtt.run(self.pipeline.mailbox), name="mqtt"))
            if self.settings.traps.enabled:
                hearing = self.traps.listen(self.pipeline.mailbox)
                looking.append(house.create_task(hearing, name="traps"))
            serving = [
                house.create_task(self.pipeline.run(), name="pipeline"),
                house.create_task(self.deliver(), name="deliver"),
                house.create_task(self.web.serve(), name="web"),
                house.create_task(self.figures.lag.run(), name="lag"),
                house.create_task(self._prune(), name="prune"),
                house.create_task(self._settle(), name="settle"),
                house.create_task(self.notify.feed(self._progress(), self.clock), name="watchdog"),
            ]
            looking.append(house.create_task(self.announce(), name="announce"))
            await self.stop.wait()
            log.info("stopping: no new looks; what has arrived is still judged and committed")
            self.notify.stopping()
            for task in looking:
                task.cancel()
            await asyncio.wait(looking)
            self.pipeline.stop()
            await asyncio.wait(serving[:1])
            for task in serving[1:]:
                task.cancel()

    async def announce(self) -> None:
        """Say that we are ready, to people, to the service manager and to our own commands."""
        await self.web.listening.wait()
        while self.settings.traps.enabled and self.traps.address is None:
            await self.clock.sleep(0.01)
        traps = ":".join(map(str, self.traps.address or ("off",)))
        http = f"{self.settings.http.host}:{self.web.port}"
        said = {"pid": os.getpid(), "http": http, "traps": traps}
        path = self.settings.state / RUNNING
        try:
            path.write_text(json.dumps(said))
        except OSError as error:  # a full disk: the watch goes on without
            log.warning("our own commands will not find us: %s", error)
        count = len(self.settings.inventory.devices)
        log.info("ready: %d devices, http://%s, traps on %s", count, http, traps)
        self.notify.ready(f"watching {count} devices")
        garbage.settle()

    async def _settle(self) -> None:
        """Most rows have been learnt by then, most numbers seen once."""
        await self.clock.sleep(SETTLED_S)
        garbage.settle()

    async def _tick(self) -> None:
        await self.web.listening.wait()  # what fell due while we were away can wait so long
        while True:
            await self.pipeline.mailbox.put(Tick(self.clock.now(), self.clock.mono_s()))
            await self.clock.sleep(until_next(TICK_S, self.clock.mono_s()))

    def _progress(self) -> Progress:
        return Progress(self.clock, self.believed.last_tick, lambda: self.store.health().tries)

    async def _prune(self) -> None:
        while True:
            await self.clock.sleep(PRUNE_EVERY_S)
            await self.store.prune(self.clock.now() - HISTORY_KEPT)

    async def _reload(self, hang_up: asyncio.Event) -> None:
        """On SIGHUP read everything anew; a mistake keeps what runs."""
        while True:
            await hang_up.wait()
            hang_up.clear()
            self.notify.reloading(self.clock.mono_s())
            await self.reload()
            self.notify.ready()

    async def reload(self) -> None:
        """Read everything anew. Whatever speaks against it is said, and what runs stays."""
        try:
            settings = await asyncio.to_thread(load, self.settings.folder, self._overrides)
            items = under_way(item for _, item in self.world.order_items.items())
            refuse_clashes(settings, [one for _, one in self.world.ordered.items()], items)
            await self._agree(settings)
        except (BadConfiguration, NotAllowed, NotJudged, TryLater) as refused:
            problems = refused.problems if isinstance(refused, BadConfiguration) else (refused,)
            self.figures.reload.successful = False
            for problem in problems:
                log.error("the new configuration is refused; the old one stays: %s", problem)
        else:
            await self._follow(settings)

    async def _agree(self, settings: Settings) -> None:
        """Have it known to the office, and committed; until then nobody goes by it.

        An order may have come into force since it was checked, so the core may still refuse.
        """
        await self._tell_office(settings)
        try:
            await self.pipeline.mailbox.durable(
                Reconfigured(at=self.clock.now(), inventory=settings.inventory)
            )
        except (NotAllowed, NotJudged):
            with suppress(TryLater):  # it may know too much until the next start: that hurts nobody
                await self._tell_office(self.settings)
            raise

    async def _follow(self, settings: Settings) -> None:
        """Go by a configuration that is committed."""
        parts = ("store_url", "office_url", "http", "sinks", "traps", "poll", "collect")
        waiting = [
            part for part in parts if getattr(settings, part) != getattr(self.settings, part)
        ]
        if self.mqtt.waits(self.settings, settings):
            waiting.append("mqtt")
        for part in waiting:
            log.warning("%s changed: that takes effect at the next start", part)
        tables = {table.name: table for table in settings.tables}
        self.settings = settings
        self.pipeline.translate = self._translator(self._contracts(settings))
        await self.poller.retarget(settings.targets, tables)
        self.netconf.follow(settings)
        self.mqtt.follow(settings)
        self.desk.follow(settings)
        self.watch.follow(settings.inventory.devices)
        self.traps.know(_addresses(settings))
        self.series.describe(_help(settings), _every(settings))
        self.series.retain(settings.inventory.devices)
        self.figures.reload.successful = True
        self.figures.reload.at = self.clock.now()
        log.info("the new configuration is in use: %d devices", len(settings.inventory.devices))

    def order_desk(self) -> OrderDesk:
        """Return who takes orders in and carries them out."""
        return OrderDesk(self.settings, self.world, self.pipeline.mailbox, self.clock)

    async def deliver(self) -> None:
        """Deliver what is due, once the office knows who and what is configured."""
        while not self._told_office:
            try:
                await self._tell_office(self.settings)
            except TryLater as later:  # locked, or its disk is full: it takes no messages, either
                log.warning("nothing is delivered yet: %s", later)
                await self.clock.sleep(OFFICE_AGAIN_S)
        await self.deliverer.run()

    async def _tell_office(self, settings: Settings) -> None:
        """Tell the office who and what is configured, and what was ordered."""
        await self.office.synchronise(settings.customers, self._contracts(settings))
        self._told_office = True

    def _contracts(self, settings: Settings) -> tuple[Contract, ...]:
        return (*settings.contracts.values(), *self.desk.contracts())

    def _translator(self, contracts: Iterable[Contract] = ()) -> Translator:
        return Translator(contracts, self.routes, self.settings.customers)

    # What the pipeline tells us as it goes (pipeline.Watching).

    def seen(self, batch: Batch) -> None:
        device = self.world.inventory.devices.get(batch.device)
        if device is not None:
            self.series.take(batch, device)
        word = batch.blind.value if batch.blind else ("partial" if batch.errors else "ok")
        self.figures.polls.add(word)

    def swept(self, sweep: Sweep) -> None:
        self.series.take_sweep(sweep, self.world.inventory.devices)
        partial = int(np.count_nonzero(sweep.present & sweep.fleet.partial))
        self.figures.polls.add("partial", partial)
        self.figures.polls.add("ok", int(np.count_nonzero(sweep.present)) - partial)

    def recorded(self, said: Input) -> None:
        self.figures.inputs.add(type(said).__name__)
        if self.recorder is not None:
            try:
                self.recorder.record(said)
            except OSError as error:
                self.recorder = None
                log.error("nothing more is recorded: %s", error)

    def committed(self, outcome: Outcome, seconds: float) -> None:
        if seconds:
            self.figures.commit_seconds.observe(seconds)
        if outcome.notices:
            self.deliverer.nudge()
            for line in journal.lines(outcome.notices):
                log.info("%s", line)
        if outcome.activate:
            self.desk.work.nudge()
        if outcome.ordered:
            self.pipeline.translate = self._translator(self._contracts(self.settings))
        for verify in outcome.verify:
            self.watch.look_soon(verify.device, verify.after_s)


def _poller(settings: Settings, clock: SystemClock) -> SnmpPoller | Shards:
    tables = {table.name: table for table in settings.tables}
    if settings.poll.workers:
        return Shards(settings.poll.workers, settings.snmp, tables, settings.targets, clock)
    return SnmpPoller(settings.snmp, tables, settings.targets, clock)


def _addresses(settings: Settings) -> dict[str, str]:
    return {target.address: name for name, target in settings.targets.items()}


def _help(settings: Settings) -> dict[str, str]:
    return {c.name: f"{c.name} - {c.oid}" for table in settings.tables for c in table.column}


def _every(settings: Settings) -> dict[str, float]:
    return {table.name: table.every for table in settings.tables if table.every}


def _numbers(values: dict[str, object], without: Sequence[str] = ()) -> dict[str, float]:
    return {
        key: float(value)
        for key, value in values.items()
        if isinstance(value, (int, float)) and key not in without
    }
