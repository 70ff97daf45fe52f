"""What the core's surroundings must be able to do. One page, all contracts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from netopsd.core.model import Batch, Input, Sweep
from netopsd.core.ordered import OrderItem, Saved
from netopsd.core.outcome import Beliefs, Notice, Outcome


class Clock(Protocol):
    """Time. `now` never goes backwards; `mono_s` is unaffected by anybody setting the clock.

    `machine_now` is what the machine's clock says, for who has to agree with others that go by it.
    """

    def now(self) -> datetime: ...

    def machine_now(self) -> datetime: ...

    def mono_s(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...


class Poller(Protocol):
    """Looks at one device when asked. Raises CannotLook and nothing else; never hangs.

    Partial answers are a Batch whose `errors` name what is missing. `start` opens sockets, `close`
    frees them; constructors do neither.
    """

    async def start(self) -> None: ...

    async def poll(self, device: str) -> Batch: ...

    async def close(self) -> None: ...


@runtime_checkable
class SweepingPoller(Poller, Protocol):
    """A poller that can look at many devices together.

    `sweep` yields the looks that went as always, many in one, and the name of each device that has
    to be looked at by `poll`. Those that are `under_way` are left out. `devices` is the same tuple
    at every turn, so that what is learnt of them together may be kept.
    """

    def sweep(
        self, devices: tuple[str, ...], under_way: frozenset[str] = frozenset()
    ) -> AsyncIterator[Sweep | str]: ...


class Inbox(Protocol):
    """The way into the pipeline."""

    async def put(self, said: Input) -> None:
        """Queue `said`; waits while the inbox is full (back-pressure)."""
        ...

    def offer(self, said: Input) -> bool:
        """Queue `said` if there is room; False where there is none, and nothing was kept."""
        ...

    async def durable(self, said: Input) -> None:
        """Queue `said` and return once it is decided and committed, with all that came before it.

        Raises NotAllowed where it does not fit what is believed, and NotJudged where judgement
        stumbled over it; nothing of it was kept then.
        """
        ...


class Listener(Protocol):
    """Hears what devices say unasked, and emits it. Returns only when cancelled."""

    async def listen(self, inbox: Inbox) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """How one device differs from what a service shall be there: "+ leaf" lacks, "- leaf" has.

    No lines: not at all. `why` says why nobody knows; then there are no lines.
    """

    device: str
    lines: tuple[str, ...] = ()
    why: str = ""


class Activation(Protocol):
    """One attempt to put one order item in force on all its devices, or on none.

    `look`, `prepare`, `confirm` is the way forward, `undo` the way back; each of `confirm` and
    `undo` also works on a fresh Activation after a crash, and repeating them is harmless. All raise
    CannotActivate and nothing else, and never hang. `close` leaves no lock and no session behind.
    """

    async def look(self) -> tuple[tuple[Saved, ...], tuple[str, ...]]:
        """Return what the devices hold of the service now, and remarks. Changes nothing."""
        ...

    async def prepare(self) -> None:
        """Put the change in force everywhere, verified, where possible to be undone by a timer."""
        ...

    async def confirm(self) -> tuple[str, ...]:
        """Make the change stay on all devices, also where it was undone meanwhile; remarks."""
        ...

    async def undo(self) -> tuple[str, ...]:
        """Make all devices hold what was saved; remarks."""
        ...

    async def close(self) -> None: ...


class Activator(Protocol):
    """Puts services in force on devices."""

    def check(self, item: OrderItem) -> None:
        """Raise NotAllowed, in words, for a template, device or input that cannot be."""
        ...

    async def compare(self, item: OrderItem) -> Sequence[Difference]:
        """Return how the devices differ from what `item` wants. Changes and raises nothing."""
        ...

    def open(self, item: OrderItem) -> Activation:
        """Return an attempt; nothing is connected yet. Raises NotAllowed as `check` does."""
        ...


class Worker(Protocol):
    """Does jobs of one kind in a limited child process: what is untrusted, or blocks."""

    async def run(self, setup: Mapping[str, Any]) -> None:
        """Keep the child alive, giving `setup` to each new one. Returns only when cancelled."""
        ...

    async def ask(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the child's answer. Jobs are done in the order asked. Raises JobFailed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One thing to tell one sink. `key` is permanent and makes a repeat harmless.

    `stream` is the account (or "network"): messages of one (sink, stream) are delivered in order.
    `body` is canonical JSON text, frozen: a retry sends the same bytes.
    """

    key: str
    sink: str
    topic: str  # "sla.violation", "usage.record", "care.notice" …
    stream: str
    body: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A message waiting in the outbox."""

    id: int  # grows in commit order
    message: Message
    attempts: int = 0
    next_at: datetime
    parked: bool = False
    reason: str = ""


class Sink(Protocol):
    """Hands one message over. Raises TryLater or Refused; returning means done, durably."""

    async def deliver(self, message: Message) -> None: ...

    async def close(self) -> None: ...


class Outbox(Protocol):
    """Messages committed and not yet delivered. Nothing leaves it but by being delivered."""

    async def due(self, sink: str, now: datetime, limit: int) -> Sequence[Pending]:
        """Return up to `limit` deliverable messages of `sink`, oldest first.

        A stream whose oldest unparked message is not due yet (next_at > now) gives none: order
        within (sink, stream) is kept. Parked messages hold nobody up.
        """
        ...

    async def delivered(self, ids: Sequence[int]) -> None: ...

    async def postpone(self, id: int, next_at: datetime, reason: str) -> None: ...

    async def park(self, id: int, reason: str) -> None: ...

    async def retry(self, id: int, now: datetime) -> bool:
        """Unpark (or hurry) one message; False where there is no such message."""
        ...

    async def pending(self, limit: int = 1000) -> Sequence[Pending]: ...

    async def depth(self) -> tuple[int, int, datetime | None]:
        """Return (waiting, parked, time of the oldest waiting message)."""
        ...


class Store(Protocol):
    """What survives. `commit` writes beliefs, history and messages in one transaction, or none.

    Raises StoreBroken where the outcome of a write cannot be known or trusted.
    """

    async def open(self) -> None: ...

    async def load(self, now: datetime | None = None) -> Beliefs: ...

    async def commit(self, outcomes: Sequence[Outcome], messages: Sequence[Message]) -> None: ...

    async def close(self) -> None: ...


Translate = Callable[[Sequence[Notice]], Sequence[Message]]
Emit = Callable[[Input], Awaitable[None]]
