"""Outbox to sinks: due → deliver → settle. Nothing leaves the outbox but by being delivered.

Each sink has its own loop, so none waits for another. Within a sink, messages of one stream (an
account) go one after the other, different streams at the same time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial

from bss_bridge.retry import GiveUp, Later, next_try
from bss_bridge.settings import Frozen, RetrySettings
from netopsd.errors import Refused, StoreBroken, TryLater
from netopsd.ports import Clock, Outbox, Pending, Sink

log = logging.getLogger(__name__)
LEAST = 256  # messages asked for at a time
MOST = 16384
DOWN_AFTER = 5  # streams that fail with no success between: the sink itself seems down
PROBE_MOST_S = 30.0  # then one stream at a time is tried, at least this often


class DeliverySettings(Frozen):
    """How one sink is served."""

    retry: RetrySettings = RetrySettings()
    concurrency: int = 8
    look_every_s: float = 1.0  # for messages whose time to be tried again has come


@dataclass(slots=True, kw_only=True)
class SinkStats:
    """One sink since start. `failing_since` is None while it takes what it is given."""

    delivered: int = 0
    failed: int = 0  # attempts that are to be repeated
    parked: int = 0
    failing_since: datetime | None = None
    last_error: str = ""


@dataclass(slots=True, kw_only=True)
class _Line:
    """The state of one sink's loop."""

    name: str
    sink: Sink
    settings: DeliverySettings
    stats: SinkStats = field(default_factory=SinkStats)
    wake: asyncio.Event = field(default_factory=asyncio.Event)
    ready: dict[str, list[Pending]] = field(default_factory=dict)  # due, by stream, not started
    busy: dict[str, asyncio.Task[None]] = field(default_factory=dict)  # by stream
    failing: set[str] = field(default_factory=set)  # streams that failed since the last success
    probes: int = 0  # failures since the sink seems down
    shut_until_s: float = 0.0  # monotonic
    ask: int = LEAST


class Deliverer:
    """Delivers what is due, for ever. Start `run` once; `nudge` it after each commit.

    Refused parks a message with its reason and the stream goes on; TryLater postpones it and with
    it its stream. A StoreBroken of outbox or sink ends `run`.
    """

    def __init__(
        self,
        outbox: Outbox,
        sinks: Mapping[str, Sink],
        clock: Clock,
        settings: Mapping[str, DeliverySettings] | None = None,
    ) -> None:
        self._outbox = outbox
        self._clock = clock
        self._lines = {
            name: _Line(
                name=name, sink=sink, settings=(settings or {}).get(name, DeliverySettings())
            )
            for name, sink in sinks.items()
        }
        self._settled: list[tuple[int, asyncio.Future[None]]] = []
        self._settler: asyncio.Task[None] | None = None

    def nudge(self) -> None:
        """Say that new messages were committed."""
        for line in self._lines.values():
            line.wake.set()

    def stats(self) -> Mapping[str, SinkStats]:
        """Return the live figures per sink; what waits and how old it is, the outbox knows."""
        return {name: line.stats for name, line in self._lines.items()}

    async def run(self) -> None:
        """Deliver until cancelled; what was under way then is delivered again next time."""
        try:
            async with asyncio.TaskGroup() as group:
                for line in self._lines.values():
                    group.create_task(self._serve(line), name=f"deliver-{line.name}")
        except BaseExceptionGroup as group:  # except* wraps what it raises before Python 3.11.4
            broken = group.subgroup(StoreBroken)
            if broken is None:
                raise
            raise _first(broken) from group
        finally:
            if self._settler is not None:  # what was delivered is recorded before anything closes
                await asyncio.wait((self._settler,))

    async def _serve(self, line: _Line) -> None:
        async with asyncio.TaskGroup() as group:
            while True:
                line.wake.clear()
                await self._start_due(line, group)
                await self._pause(line)

    async def _start_due(self, line: _Line, group: asyncio.TaskGroup) -> None:
        """Start as many streams as there is room for."""
        room = self._room(line)
        if room <= 0:
            return
        if not line.ready:
            await self._look(line)
        for stream in list(line.ready)[:room]:
            task = group.create_task(self._tell_stream(line, line.ready.pop(stream)))
            line.busy[stream] = task
            task.add_done_callback(partial(self._finished, line, stream))

    async def _look(self, line: _Line) -> None:
        """Ask what is due and get it ready, by stream.

        What is due of busy streams hides what is behind it: then the next question is for more.
        Nothing else takes a stream's messages while they are ready or under way.
        """
        busy = frozenset(line.busy)  # as of the question: one that ends meanwhile is asked of anew
        due = await self._outbox.due(line.name, self._clock.now(), line.ask)
        for pending in due:
            if pending.message.stream not in busy:
                line.ready.setdefault(pending.message.stream, []).append(pending)
        hidden = not line.ready and len(due) >= line.ask
        line.ask = min(line.ask * 2, MOST) if hidden else LEAST

    def _room(self, line: _Line) -> int:
        """How many more streams may be told now: one, now and then, while the sink seems down."""
        if len(line.failing) < DOWN_AFTER:
            return line.settings.concurrency - len(line.busy)
        return 0 if self._clock.mono_s() < line.shut_until_s else 1 - len(line.busy)

    @staticmethod
    def _finished(line: _Line, stream: str, _: asyncio.Task[None]) -> None:
        line.busy.pop(stream, None)
        line.wake.set()

    async def _pause(self, line: _Line) -> None:
        """Wait for a nudge, a stream's end, or the next look."""
        sleep = asyncio.ensure_future(self._clock.sleep(line.settings.look_every_s))
        woken = asyncio.ensure_future(line.wake.wait())
        try:
            await asyncio.wait((sleep, woken), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleep.cancel()
            woken.cancel()

    async def _tell_stream(self, line: _Line, pendings: Sequence[Pending]) -> None:
        """Deliver in order; stop at the first that must be tried later."""
        for pending in pendings:
            try:
                await line.sink.deliver(pending.message)
            except Refused as refused:
                await self._park(line, pending, f"refused: {refused}")
            except TryLater as later:
                await self._postpone(line, pending, str(later), later.after_s)
                return
            except StoreBroken:
                raise
            except Exception as surprise:
                if line.stats.failing_since is None:
                    log.exception("sink %s: unexpected", line.name)
                why = f"{type(surprise).__name__}: {surprise}"
                await self._postpone(line, pending, why, None)
                return
            else:
                await self._delivered(line, pending)

    async def _delivered(self, line: _Line, pending: Pending) -> None:
        line.failing.clear()
        line.probes = 0
        line.stats.delivered += 1
        if line.stats.failing_since is not None:
            log.info("sink %s takes messages again", line.name)
            line.stats.failing_since = None
            line.stats.last_error = ""
        await self._settle(pending.id)

    async def _postpone(
        self, line: _Line, pending: Pending, why: str, after_s: float | None
    ) -> None:
        now = self._clock.now()
        line.failing.add(pending.message.stream)
        if len(line.failing) >= DOWN_AFTER:
            wait = min(PROBE_MOST_S, line.settings.retry.first_s * 2.0 ** min(line.probes, 30))
            line.shut_until_s = self._clock.mono_s() + wait
            line.probes += 1
        line.stats.failed += 1
        line.stats.last_error = why
        if line.stats.failing_since is None:
            log.warning("sink %s does not take messages: %s", line.name, why)
            line.stats.failing_since = now
        message = pending.message
        decided = next_try(line.settings.retry, message.key, pending.attempts + 1, now, after_s)
        match decided:
            case Later(at=at):
                await self._outbox.postpone(pending.id, at, why)
            case GiveUp(why=gave_up):
                await self._park(line, pending, f"{gave_up}: {why}")

    async def _park(self, line: _Line, pending: Pending, why: str) -> None:
        line.stats.parked += 1
        log.error(
            "sink %s: parked message %d (%s): %s", line.name, pending.id, pending.message.topic, why
        )
        await self._outbox.park(pending.id, why)

    async def _settle(self, id: int) -> None:
        """Mark one message delivered; those that come meanwhile share the next commit."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settled.append((id, done))
        if self._settler is None or self._settler.done():
            self._settler = asyncio.create_task(self._settle_all(), name="deliver-settle")
        await done

    async def _settle_all(self) -> None:
        while self._settled:
            together, self._settled = self._settled, []
            ids = [id for id, _ in together]
            (error,) = await asyncio.gather(self._outbox.delivered(ids), return_exceptions=True)
            for _, done in together:
                if done.done():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)


def _first(group: BaseExceptionGroup[StoreBroken]) -> StoreBroken:
    """The first plain exception in nested groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert isinstance(error, StoreBroken)
    return error
