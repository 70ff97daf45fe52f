"""The one loop: decide, commit, apply. One inbox, one reader, no locks.

What has arrived is judged input by input on a draft and committed as one group; only then is it
believed. A group in which nothing needs storing costs no commit.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from netopsd.core import engine
from netopsd.core.model import Batch, Input, NotAllowed, Sweep
from netopsd.core.outcome import Notice, Outcome
from netopsd.core.world import STORED, World
from netopsd.errors import NotJudged
from netopsd.ports import Clock, Message, Store

log = logging.getLogger(__name__)

HISTORY = (
    *("changes", "ticket_notes", "order_notes", "violations", "meters_gone", "usage", "events"),
)


@dataclass(slots=True, kw_only=True)
class PipelineStats:
    """What the loop has done since start; plain counts for the metrics."""

    inputs: dict[str, int] = field(default_factory=dict)  # by kind
    failed: int = 0  # inputs no judgement could be made of: a bug, logged with its trace
    groups: int = 0
    commits: int = 0


class Watching(Protocol):
    """What the loop tells the rest of the house as it goes. All calls return at once."""

    def seen(self, batch: Batch) -> None:
        """A look arrived: newest values for /metrics."""
        ...

    def swept(self, sweep: Sweep) -> None:
        """Looks at many devices arrived together."""
        ...

    def recorded(self, said: Input) -> None:
        """An input is about to be judged (for `run --record`)."""
        ...

    def committed(self, outcome: Outcome, seconds: float) -> None:
        """A group is durable and believed. `seconds` is what its commit took, 0.0 for none."""
        ...


Taken = list[tuple[Input, "asyncio.Future[None] | None"]]
Waiting = list[tuple["asyncio.Future[None]", Exception | None]]
"""Who waits for the group, and what each is to hear: None, or why his input came to nothing."""


class Mailbox:
    """The way into the pipeline (ports.Inbox). Bounded; `put` waits while it is full."""

    def __init__(self, most: int = 20_000) -> None:
        self._most = most
        self._waiting: deque[tuple[Input, asyncio.Future[None] | None]] = deque()
        self._arrived = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._closed = False
        self._size = 0  # a sweep counts as the looks in it

    def __len__(self) -> int:
        return self._size

    async def put(self, said: Input) -> None:
        while self._size >= self._most:
            self._room.clear()
            await self._room.wait()
        self._add(said, None)

    def offer(self, said: Input) -> bool:
        if self._size >= self._most:
            return False
        self._add(said, None)
        return True

    async def durable(self, said: Input) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        while self._size >= self._most:
            self._room.clear()
            await self._room.wait()
        self._add(said, done)
        await done

    def _add(self, said: Input, done: asyncio.Future[None] | None) -> None:
        self._waiting.append((said, done))
        self._size += _size(said)
        self._arrived.set()

    def close(self) -> None:
        """Let `take` return empty-handed where nothing waits."""
        self._closed = True
        self._arrived.set()

    async def take(self, most: int) -> Taken:
        """Wait for something, then return about `most` inputs in the order they came."""
        while not self._waiting and not self._closed:
            self._arrived.clear()
            await self._arrived.wait()
        taken: Taken = []
        least = self._size - most
        while self._waiting and self._size > least:
            taken.append(self._waiting.popleft())
            self._size -= _size(taken[-1][0])
        self._room.set()
        return taken


def _size(said: Input) -> int:
    return max(1, int(np.count_nonzero(said.present))) if isinstance(said, Sweep) else 1


class Pipeline:
    """Runs the loop over a mailbox. `stop` lets it finish what has arrived."""

    def __init__(
        self,
        world: World,
        store: Store,
        translate: Callable[[Sequence[Notice]], Sequence[Message]],
        clock: Clock,
        watching: Watching,
    ) -> None:
        self.world = world
        self.mailbox = Mailbox()
        self.stats = PipelineStats()
        self.translate = translate
        self._store = store
        self._clock = clock
        self._watching = watching
        self._stopping = False

    async def run(self, group: int = 256) -> None:
        """Judge inputs until cancelled, or until `stop` and the mailbox is empty."""
        while not (self._stopping and not len(self.mailbox)):
            taken = await self.mailbox.take(group)
            if taken:
                await self._judge(taken)
            # Judging is work on the event loop: let sockets be read between groups.
            await asyncio.sleep(0)  # noqa: TID251  (yields; waits for nothing)

    def stop(self) -> None:
        """Let `run` return once what has arrived is judged and committed.

        It must not be cancelled for that: a commit under way would be durable and not believed.
        """
        self._stopping = True
        self.mailbox.close()

    async def finish(self) -> None:
        """Judge and commit what is in the mailbox, then return. Not while `run` runs."""
        self.stop()
        while len(self.mailbox):
            await self._judge(await self.mailbox.take(256))

    async def _judge(self, taken: Taken) -> None:
        """Decide each input in turn, commit what they changed as one, then believe it."""
        group, waiting = self._decide_all(taken)
        try:
            seconds = await self._commit(group)
        except BaseException as error:
            for done, _ in waiting:
                if not done.done():
                    done.set_exception(RuntimeError(f"not committed: {error}"))
            raise
        self.world.apply(group)
        self.stats.groups += 1
        for done, why in waiting:
            if done.done():
                continue  # it was cancelled
            if why is None:
                done.set_result(None)
            else:
                done.set_exception(why)
        self._watching.committed(group, seconds)

    def _decide_all(self, taken: Taken) -> tuple[Outcome, Waiting]:
        """Return what the inputs change together, and who waits for it.

        Who asked in vain waits, too: he goes on believing that what came before is committed.
        """
        alone = len(taken) == 1
        draft = self.world if alone else self.world.draft()
        group = Outcome() if alone else draft.out
        waiting: Waiting = []
        for said, done in taken:
            outcome = self._decide(draft, said)
            why = None if isinstance(outcome, Outcome) else outcome
            if done is not None:
                waiting.append((done, why))
            if not isinstance(outcome, Outcome):
                continue
            if alone:
                group = outcome
            else:
                draft.apply(outcome)
        return group, waiting

    def _decide(self, world: World, said: Input) -> Outcome | NotAllowed | NotJudged:
        kind = type(said).__name__
        self.stats.inputs[kind] = self.stats.inputs.get(kind, 0) + 1
        self._watching.recorded(said)
        try:
            if isinstance(said, Batch):
                self._watching.seen(said)
            elif isinstance(said, Sweep):
                self._watching.swept(said)
            return engine.decide(world, said)
        except NotAllowed as refused:
            return refused
        except Exception as bug:
            # The first of the three broad catches: one input that judgement stumbles over (a bug of
            # ours) must not end the watch over everything else. It left no trace in the draft.
            self.stats.failed += 1
            log.exception("no judgement of %s could be made; it is passed over", kind)
            return NotJudged(f"no judgement could be made of this {kind}: {bug}")

    async def _commit(self, group: Outcome) -> float:
        if not needs_storing(group):
            return 0.0
        began = self._clock.mono_s()
        messages = self.translate(group.notices)
        await self._store.commit([group], messages)
        self.stats.commits += 1
        return self._clock.mono_s() - began


def needs_storing(outcome: Outcome) -> bool:
    """Whether anything in `outcome` outlives the process."""
    return any(getattr(outcome, name) for name in STORED + HISTORY) or bool(outcome.notices)
