"""Hears what devices tell unasked: one held session and one subscription each (RFC 5277, 8639).

What is heard is committed before it counts as heard: after a lost connection, or a restart, the
subscription resumes with the time of the last event committed, and the device replays the rest.
Where it cannot, that is an event of its own, and what its alarm list says now is taken for what it
told meanwhile. After each connection one look is asked for, because
servers lose notifications around a subscription's start and nothing numbers them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from collectors.netconf import notification, operations
from collectors.netconf.document import Element, Vocabulary
from collectors.netconf.errors import (
    BadReply,
    DeadlinePassed,
    HostKeyChanged,
    NetconfError,
    NotConnected,
    RpcRefused,
)
from collectors.netconf.links import backoff_s, door, host_key_event, limits
from collectors.netconf.notification import Heard, Meaning
from collectors.netconf.parse import moment
from collectors.netconf.session import Session
from collectors.netconf.settings import NetconfSettings, NetconfTarget
from netopsd.core.model import Blind, Event
from netopsd.ports import Clock, Inbox
from netopsd.telling import tell

GROUP = 100  # events committed together
RECENT = 2000  # events remembered to know a repetition in the next session
AHEAD = timedelta(minutes=5)  # a device's clock may be ahead of ours before we distrust it
MAX_NOTIFICATION = 1 << 20  # bytes
ALARM_LIST = (
    f'<alarms xmlns="{notification.ALARMS}"><alarm-list><alarm><resource/><alarm-type-id/>'
    "<alarm-type-qualifier/><is-cleared/><perceived-severity/><alarm-text/></alarm></alarm-list>"
    "</alarms>"
)
LISTED = f"{{{notification.ALARMS}}}alarm"
STREAMS = (
    '<netconf xmlns="urn:ietf:params:xml:ns:netmod:notification"><streams><stream>'
    "<name/><replaySupport/><replayLogCreationTime/><replayLogAgedTime/>"
    "</stream></streams></netconf>"
)


@dataclass(slots=True, eq=False)
class _Ear:
    """What we remember of one device between sessions."""

    target: NetconfTarget
    handler: operations.Handler
    vocabulary: Vocabulary
    meaning: Meaning
    since: str = ""  # eventTime of the last event committed, as the device wrote it
    since_at: datetime | None = None
    recent: deque[bytes] = field(default_factory=lambda: deque(maxlen=RECENT))
    replayable: Counter[bytes] = field(default_factory=Counter)
    """Committed in earlier sessions: this one's replay may bring each of them once more."""
    failures: int = 0
    hostkey_told: bool = False
    lists: bool = True  # False once its alarm list was too much for this session


@dataclass(slots=True, eq=False)
class _Heap:
    """Notifications that came and are not committed yet; bounded by making the device wait."""

    most: int
    session: Session | None = None
    waiting: deque[Heard] = field(default_factory=deque)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    impatient: bool = False
    told: set[notification.AlarmKey | None] | None = field(default_factory=set)
    """Alarms told so far: newer than a list that is still to be read. None: none is."""

    def lose_patience(self) -> None:
        self.impatient = True
        self.wake.set()

    def add(self, root: Element) -> None:
        heard = notification.hear(root)
        self.waiting.append(heard)
        if self.told is not None:
            self.told.add(notification.alarm_key(heard.content))
        self.wake.set()
        if len(self.waiting) >= self.most and self.session is not None:
            self.session.pause()

    def take(self) -> list[Heard]:
        taken = [self.waiting.popleft() for _ in range(min(GROUP, len(self.waiting)))]
        if len(self.waiting) <= self.most // 2 and self.session is not None:
            self.session.resume()
        return taken


class NetconfListener:
    """Listens to the notifications of many devices (ports.Listener).

    `resume` returns the eventTime of the last event of a device that was committed, "" for none.
    `look` is called with a device that should be looked at once, soon.
    """

    def __init__(
        self,
        settings: NetconfSettings,
        targets: Iterable[NetconfTarget],
        meaning: Meaning,
        clock: Clock,
        *,
        resume: Callable[[str], str] = lambda _device: "",
        look: Callable[[str], None] = lambda _device: None,
    ) -> None:
        self._settings = settings
        self._meaning = meaning
        self._clock = clock
        self._resume = resume
        self._look = look
        self._suspected: frozenset[str] = frozenset()
        self._targets = [target for target in targets if target.stream]
        self.hearing: set[str] = set()  # devices with a subscription now, for the metrics
        self.heard = 0
        self.repeated = 0
        self.gaps = 0

    def suspect(self, devices: Iterable[str]) -> None:
        """Learn, before listening, whose host key is believed to have changed."""
        self._suspected = frozenset(devices)

    async def listen(self, inbox: Inbox) -> None:
        """Listen to all devices until cancelled."""
        async with asyncio.TaskGroup() as all_devices:
            for target in self._targets:
                all_devices.create_task(self._listen_to(target, inbox))

    async def _listen_to(self, target: NetconfTarget, inbox: Inbox) -> None:
        ear = _Ear(
            target,
            operations.device_handler(target.handler),
            Vocabulary(self._settings.max_names),
            self._meaning,
            since=self._resume(target.name),
            hostkey_told=target.name in self._suspected,
        )
        ear.since_at = moment(ear.since)
        while True:
            try:
                await self._session(ear, inbox)
            except NetconfError as error:
                self.hearing.discard(target.name)
                ear.failures += 1
                await self._host_key(ear, error, inbox)
                wait_s = backoff_s(self._settings, target.name, ear.failures)
                if error.blind is Blind.REJECTED:
                    wait_s = max(wait_s, self._settings.rejected_s)
                await self._clock.sleep(wait_s)

    async def _session(self, ear: _Ear, inbox: Inbox) -> None:
        """Subscribe and listen until the session ends. Raises NetconfError, always."""
        from collectors.netconf import transport

        heap = _Heap(self._settings.queue)
        ear.replayable = Counter(ear.recent)
        session = heap.session = Session(
            ear.target.name,
            handler=ear.handler,
            vocabulary=ear.vocabulary,
            limits=limits(self._settings, max_message=MAX_NOTIFICATION),
            on_notification=heap.add,
        )
        try:
            await transport.connect(door(ear.target, ear.handler, self._settings), session)
            await self._host_key(ear, None, inbox)
            known = operations.modules(session.capabilities) | dict(self._meaning.modules)
            ear.meaning = replace(self._meaning, modules=known)
            lost = await self._subscribe(ear, session)
            ear.failures = 0
            self.hearing.add(ear.target.name)
            self._look(ear.target.name)
            if lost:
                await self._gap(ear, lost, inbox)
            listing = None
            if lost or not ear.since:
                listing = asyncio.create_task(self._read_list(ear, session, heap, inbox))
            else:
                heap.told = None
            try:
                await self._drain(ear, session, heap, inbox)
            finally:
                if listing is not None:
                    listing.cancel()
        finally:
            self.hearing.discard(ear.target.name)
            session.end(DeadlinePassed("no longer listened to"))

    async def _subscribe(self, ear: _Ear, session: Session) -> str:
        """Subscribe from where we were; return why something may be lost, "" for nothing."""
        name, lost = "create_subscription", ""
        if operations.offers(session.capabilities, operations.SUBSCRIBED):
            name = "establish_subscription"
        elif ear.since:
            lost = await self._log_begins(ear, session)
        try:
            root = await self._request(name, ear, session, ear.since)
        except RpcRefused as error:
            if not ear.since:
                raise
            await self._request(name, ear, session, "")
            ear.replayable.clear()
            return f"the device does not replay: {error}"
        revised = root.findtext(f"{{{operations.SUBSCRIBED}}}replay-start-time-revision")
        return lost or (f"the device's log begins at {revised}" if revised else "")

    async def _request(self, name: str, ear: _Ear, session: Session, since: str) -> Element:
        options = {"stream_name": ear.target.stream} | ({"start_time": since} if since else {})
        kind = operations.operation(name, ear.handler)
        request = operations.build(kind, session.capabilities, ear.handler, **options)
        return await session.ask(request)

    async def _log_begins(self, ear: _Ear, session: Session) -> str:
        """Return why the replay log does not reach back far enough, "" where it does."""
        try:
            reply = await session.call("get", operations.to_filter(STREAMS))
        except RpcRefused:
            return ""  # it does not say: the subscription itself will tell
        since = moment(ear.since)
        for stream in reply.data_ele.iter("{*}stream") if reply.data_ele is not None else ():
            if stream.findtext("{*}name") != ear.target.stream:
                continue
            text = stream.findtext("{*}replayLogAgedTime")
            text = text or stream.findtext("{*}replayLogCreationTime") or ""
            begins = moment(text)
            if begins is not None and since is not None and begins > since:
                return f"the device's log begins at {text}"
        return ""

    async def _read_list(self, ear: _Ear, session: Session, heap: _Heap, inbox: Inbox) -> None:
        """Take the device's alarm list for what it told while nobody listened.

        What it has told since we listen is newer than the list.
        """
        try:
            modules = operations.modules(session.capabilities)
            if not ear.lists or notification.ALARMS not in modules:
                return
            reply = await session.call("get", operations.to_filter(ALARM_LIST))
        except NetconfError as error:
            ear.lists = isinstance(error, NotConnected | DeadlinePassed)
            return  # what ended the session is told where its notifications are taken
        else:
            data = () if reply.data_ele is None else reply.data_ele.iter(LISTED)
            told = heap.told or set()
            entries = [entry for entry in data if notification.alarm_key(entry) not in told]
            at, target = self._clock.now(), ear.target
            said = notification.listed(entries, target.name, target.address, at, ear.meaning)
            while some := tuple(itertools.islice(said, GROUP)):
                await tell(inbox, at, some)
        finally:
            heap.told = None

    async def _drain(self, ear: _Ear, session: Session, heap: _Heap, inbox: Inbox) -> None:
        """Commit what comes, in order, until the session ends and everything is committed."""
        ended = asyncio.create_task(session.ended())
        ended.add_done_callback(lambda _: heap.wake.set())
        replaying = bool(ear.since)
        patience = asyncio.get_running_loop().call_later(self._settings.rpc_s, heap.lose_patience)
        try:
            while True:
                await heap.wake.wait()
                heap.wake.clear()
                while heap.waiting:
                    replaying = await self._commit(ear, heap.take(), replaying, inbox)
                if replaying and heap.impatient:
                    replaying = False
                    await self._gap(ear, "the device's replay did not end", inbox)
                if session.error is not None:
                    raise session.error
        finally:
            ended.cancel()
            patience.cancel()

    async def _commit(self, ear: _Ear, taken: list[Heard], replaying: bool, inbox: Inbox) -> bool:
        """Commit a group of notifications; return whether the replay still goes on.

        Equal ones of one session are two events: many a device tells its time in whole seconds.
        """
        new: list[Heard] = []
        over = False
        for heard in taken:
            if over := heard.over:
                break
            if heard.replay_complete:
                replaying = False
                ear.replayable.clear()
            if heard.about_subscription:
                continue
            if ear.replayable[heard.digest] > 0:
                ear.replayable[heard.digest] -= 1
                self.repeated += 1
                continue
            new.append(heard)
        if new:
            at = self._clock.now()
            target = ear.target
            events = [
                notification.event(heard, target.name, target.address, at, ear.meaning)
                for heard in new
            ]
            await tell(inbox, at, events)
            self.heard += len(new)
            self._remember(ear, new, at)
        if over:
            raise BadReply(f"{ear.target.name} ended the subscription")
        return replaying

    def _remember(self, ear: _Ear, committed: list[Heard], now: datetime) -> None:
        """Move the resume point; a device's time that is far ahead of ours does not count."""
        ear.recent.extend(heard.digest for heard in committed)
        for heard in committed:
            if heard.time is None or heard.time > now + AHEAD:
                continue
            if ear.since_at is None or heard.time >= ear.since_at:
                ear.since, ear.since_at = heard.time_text, heard.time

    async def _gap(self, ear: _Ear, why: str, inbox: Inbox) -> None:
        self.gaps += 1
        at = self._clock.now()
        said = notification.gap(ear.target.name, ear.target.address, at, ear.since, why)
        await tell(inbox, at, (said,))

    async def _host_key(self, ear: _Ear, error: NetconfError | None, inbox: Inbox) -> None:
        """Tell once that the host key changed, and once that it is good again."""
        changed = error if isinstance(error, HostKeyChanged) else None
        if ear.hostkey_told == (changed is not None) or (error is not None and changed is None):
            return
        ear.hostkey_told = changed is not None
        said: Event = host_key_event(ear.target, changed, self._clock)
        await tell(inbox, said.at, (said,))
