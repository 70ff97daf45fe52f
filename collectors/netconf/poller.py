"""Looks at devices by NETCONF: one held session each, the views asked one after the other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from collectors.netconf import operations
from collectors.netconf.document import Element, Vocabulary
from collectors.netconf.errors import (
    HostKeyChanged,
    LoginRefused,
    NetconfError,
    NotConnected,
    RpcRefused,
)
from collectors.netconf.links import backoff_s, door, host_key_event, limits
from collectors.netconf.parse import Collector, Layouts
from collectors.netconf.session import Session
from collectors.netconf.settings import NetconfSettings, NetconfTarget, ViewSpec
from collectors.netconf.views import Plan
from netopsd.core.model import Batch, Blind, Clocks, Event, Table
from netopsd.errors import BadConfiguration, CannotLook, JobFailed
from netopsd.ports import Clock, Worker

SOURCE = "netconf"
MANY_ROWS = 500  # more are made into arrays in a thread, so as not to hold the loop
_NOT_THERE = frozenset({"unknown-namespace", "unknown-element", "operation-not-supported"})


@dataclass(slots=True, eq=False)
class Link:
    """One device and what we keep of it between looks."""

    target: NetconfTarget
    plans: tuple[Plan, ...]
    handler: operations.Handler
    vocabulary: Vocabulary
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    layouts: Layouts = field(default_factory=Layouts)
    session: Session | None = None
    requests: dict[str, operations.Request] = field(default_factory=dict)
    absent: set[str] = field(default_factory=set)  # views this device does not have
    failures: int = 0
    not_before_s: float = 0.0
    last: NetconfError | None = None
    hostkey_told: bool = False


@dataclass(slots=True)
class _Seen:
    """What one look has gathered so far."""

    tables: dict[str, Table] = field(default_factory=dict)
    facts: dict[str, str] = field(default_factory=dict)
    clocks: Clocks = field(default_factory=Clocks)
    errors: dict[str, str] = field(default_factory=dict)


class NetconfPoller:
    """Polls NETCONF devices (ports.Poller). `tell` hears of host keys that changed; where it says
    that it had no room, it hears of it again.

    `worker` does the looks at devices whose transport is "ncclient" (plain.HANDLER, set up by
    plain.setup); without one they are blind.
    """

    def __init__(
        self,
        settings: NetconfSettings,
        targets: Iterable[NetconfTarget],
        views: Mapping[str, ViewSpec],
        clock: Clock,
        *,
        tell: Callable[[Event], bool] | None = None,
        worker: Worker | None = None,
    ) -> None:
        self._worker = worker
        self._settings = settings
        self._clock = clock
        self._tell = tell
        self._links = {target.name: _link(target, views, settings) for target in targets}

    def suspect(self, devices: Iterable[str]) -> None:
        """Learn, before the first look, whose host key is believed to have changed."""
        for name in devices:
            if name in self._links:
                self._links[name].hostkey_told = True

    @property
    def sessions(self) -> int:
        """How many sessions are held."""
        links = self._links.values()
        return sum(link.session is not None and link.session.error is None for link in links)

    async def start(self) -> None:
        """Do nothing: a session is opened by the first look at its device."""

    async def close(self) -> None:
        """Close every session."""
        sessions = [link.session for link in self._links.values() if link.session is not None]
        await asyncio.gather(*(session.close() for session in sessions))

    async def poll(self, device: str) -> Batch:
        """Return what `device` says now. Raises CannotLook."""
        link = self._links.get(device)
        if link is None:
            raise CannotLook(device, Blind.SKIPPED, "not configured for NETCONF")
        async with link.lock:
            try:
                async with asyncio.timeout(self._settings.look_max_s):
                    return await self._look(link)
            except TimeoutError:
                error = NotConnected(f"no whole look in {self._settings.look_max_s:g} s")
                self._failed(link, error)
                raise CannotLook(device, error.blind, str(error)) from None
            except NetconfError as error:
                raise CannotLook(device, error.blind, str(error)) from error

    async def _look(self, link: Link) -> Batch:
        """Look once; a held session that turns out to be dead says nothing about the device."""
        held = link.session is not None and link.session.error is None
        if not held and link.last is not None and self._clock.mono_s() < link.not_before_s:
            raise link.last
        try:
            try:
                return await self._look_once(link)
            except NotConnected:
                if not held:
                    raise
                return await self._look_once(link)
        except NetconfError as error:
            self._failed(link, error)
            raise

    async def _look_once(self, link: Link) -> Batch:
        session = None
        if link.target.transport == "asyncssh":
            session = await self._session(link)
        at, began = self._clock.now(), self._clock.mono_s()
        seen = _Seen()
        if session is not None:
            await self._ask_all(link, session, seen)
        else:
            await self._ask_worker(link, seen)
        return Batch(
            device=link.target.name,
            at=at,
            mono_s=began,
            took_s=self._clock.mono_s() - began,
            tables=tuple(seen.tables.values()),
            clocks=seen.clocks,
            facts=seen.facts,
            errors=seen.errors,
            source=SOURCE,
        )

    async def _ask_all(self, link: Link, session: Session, seen: _Seen) -> None:
        """Ask all views. Raises what ended the session where nothing was seen before it."""
        for plan in link.plans:
            name = plan.spec.name
            names = {table.spec.name for table in plan.tables}
            if name in link.absent or (names and names <= seen.tables.keys()):
                continue
            try:
                await self._ask(link, session, plan, seen)
            except RpcRefused as error:
                if error.tag in _NOT_THERE:
                    link.absent.add(name)
                else:
                    seen.errors[f"view.{name}"] = str(error)
            except NetconfError as error:
                if session.error is not None and not seen.tables and not seen.facts:
                    raise
                seen.errors[f"view.{name}"] = str(error)
                if session.error is not None:
                    return

    async def _ask(self, link: Link, session: Session, plan: Plan, seen: _Seen) -> None:
        collector = Collector(plan)
        request = link.requests.get(plan.spec.name)
        if request is None:
            request = link.requests[plan.spec.name] = question(plan.spec, session)
        root = await session.ask(request, rows=plan.rows, take=collector.take)
        await self._take(link, collector, root, seen)

    async def _ask_worker(self, link: Link, seen: _Seen) -> None:
        """Have the worker process look by ncclient's own transport. Raises NetconfError."""
        from collectors.netconf import plain  # and with it paramiko

        name = link.target.name
        if self._worker is None:
            raise NotConnected(f'{name}: transport "ncclient" has no worker process')
        try:
            answer = await self._worker.ask(plain.job(name, link.plans))
        except JobFailed as error:
            raise NotConnected(f"{name}: {error}") from None
        if "hostkey" in answer:
            raise HostKeyChanged(name, str(answer["hostkey"]))
        if "blind" in answer:
            rejected = answer["blind"] == Blind.REJECTED
            raise (LoginRefused if rejected else NotConnected)(f"{name}: {answer['why']}")
        seen.errors |= {f"view.{view}": str(why) for view, why in answer["errors"].items()}
        for plan in link.plans:
            if plan.spec.name in answer["replies"]:
                collector = Collector(plan)
                text = str(answer["replies"][plan.spec.name])
                root = plain.read(text, collector, plan, link.vocabulary)
                await self._take(link, collector, root, seen)
        self._host_key(link, None)

    async def _take(self, link: Link, collector: Collector, root: Element, seen: _Seen) -> None:
        if collector.rows > MANY_ROWS:
            tables = await asyncio.to_thread(collector.tables, link.layouts)
        else:
            tables = collector.tables(link.layouts)
        for table in tables:
            seen.tables.setdefault(table.layout.table, table)
        seen.facts |= collector.facts(root)
        seen.clocks = collector.clocks(root) or seen.clocks
        seen.errors |= collector.errors

    async def _session(self, link: Link) -> Session:
        """Return the held session, or a new one. Raises NetconfError."""
        if link.session is not None and link.session.error is None:
            return link.session
        link.session = None
        from collectors.netconf import transport

        session = Session(
            link.target.name,
            handler=link.handler,
            vocabulary=link.vocabulary,
            limits=limits(self._settings),
        )
        await transport.connect(door(link.target, link.handler, self._settings), session)
        link.session, link.failures, link.last = session, 0, None
        link.requests.clear()
        link.absent = absent(link.plans, session)
        self._host_key(link, None)
        return session

    def _failed(self, link: Link, error: NetconfError) -> None:
        link.failures += 1
        link.last = error
        if link.session is not None:
            link.session.end(error)
            link.session = None
        wait_s = backoff_s(self._settings, link.target.name, link.failures)
        if error.blind is Blind.REJECTED:
            wait_s = max(wait_s, self._settings.rejected_s)
        link.not_before_s = self._clock.mono_s() + wait_s
        if isinstance(error, HostKeyChanged):
            self._host_key(link, error)

    def _host_key(self, link: Link, error: HostKeyChanged | None) -> None:
        """Tell once that the host key changed, and once that it is good again."""
        if self._tell is None or link.hostkey_told == (error is not None):
            return
        if self._tell(host_key_event(link.target, error, self._clock)):
            link.hostkey_told = error is not None


def _link(target: NetconfTarget, views: Mapping[str, ViewSpec], settings: NetconfSettings) -> Link:
    unknown = [name for name in target.views if name not in views]
    if unknown:
        raise BadConfiguration([f"{target.name}: there is no view {name!r}" for name in unknown])
    plans = (Plan.of(views[name], target.leave) for name in target.views)
    return Link(
        target=target,
        plans=tuple(p for p in plans if p.tables or p.facts or p.boot),
        handler=operations.device_handler(target.handler),
        vocabulary=Vocabulary(settings.max_names),
    )


def question(view: ViewSpec, session: Session) -> operations.Request:
    """Return the request `view` becomes for what this device offers. Raises NetconfError."""
    wanted: object
    if view.xpath and (":xpath" in session.capabilities or not view.filter):
        prefixes = {key: value for key, value in view.namespaces.items()}
        wanted = ("xpath", (prefixes, view.xpath))
    else:
        wanted = operations.to_filter(view.filter)
    name, options = "get", {"filter": wanted}
    if view.operation == "get-config":
        name, options = "get_config", {"source": "running", "filter": wanted}
    elif view.operation == "get-data" and operations.offers(session.capabilities, operations.NMDA):
        name = "get_data"
    kind = operations.operation(name, session.handler)
    return operations.build(kind, session.capabilities, session.handler, **options)


def absent(plans: Iterable[Plan], session: Session) -> set[str]:
    """Return the views whose module this device does not announce, if it announces any."""
    modules = set(operations.modules(session.capabilities).values())
    if not modules:
        return set()
    return {p.spec.name for p in plans if p.spec.module and p.spec.module not in modules}
