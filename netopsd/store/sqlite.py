"""The store on SQLite: one writing connection in a thread of its own, one transaction a commit.

What is acknowledged is on the disk (`synchronous=FULL`). When something fails:

- *disk I/O error, damage*: StoreBroken, now and for every later call: stop, exit, restart. What
  became of the write that failed is unknown until the next start reads the database.
- *disk full or nearly*: the ballast is released; traps whose sender waits for no acknowledgement
  are no longer kept as history (counted in `health`, logged once). Everything else commits into
  the room gained. When that is used up too, `commit` waits for room and tries again: nothing is
  lost, the inbox fills and holds the senders back. With room back the ballast is laid in again.
- *locked by another process*: `commit` waits, up to `patience_s`, then StoreBroken.
- *a value that has no place in the database*: CannotStore; nothing of the commit was written.

A cancelled call may or may not have been carried out, in whole or not at all.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

from netopsd.core.outcome import Beliefs, Outcome
from netopsd.errors import StoreBroken
from netopsd.ports import Message, Pending
from netopsd.store import connect, load, migrations, outbox, write
from netopsd.store.ballast import Ballast
from netopsd.store.load import Pruned
from netopsd.store.merge import merge, writes_nothing
from netopsd.store.writer import Health, Mode, Refused, Writer

T = TypeVar("T")
log = logging.getLogger(__name__)

_PRUNE_ROWS = 2000  # deleted in one transaction, so that commits come in between


class SqliteStore:
    """ports.Store and ports.Outbox on one SQLite file. Open it before use, close it after.

    `url` is "sqlite:///FILE" (ValueError otherwise). `sent_kept` is the length of the log of
    delivered messages: as long as a key is in it (or waiting), the same message is not sent again.
    After `checkpoint_rows` rows the WAL is folded into the database.
    """

    def __init__(
        self,
        url: str,
        *,
        ballast_bytes: int = 64 * 2**20,
        sent_kept: int = 100_000,
        patience_s: float = 120.0,
        checkpoint_rows: int = 4000,
        steps: Sequence[migrations.Step] = migrations.STEPS,
    ) -> None:
        self.path = connect.database_path(url)
        self._writer = Writer(
            path=self.path,
            ballast=Ballast(self.path, ballast_bytes),
            patience=max(1, round(patience_s * 1000 / connect.BUSY_MS)),
            checkpoint_rows=checkpoint_rows,
            steps=steps,
        )
        self._sent_kept = sent_kept
        self._sent = 0
        self._thread: ThreadPoolExecutor | None = None

    def health(self) -> Health:
        """Return how the store is. Safe from any thread."""
        return self._writer.health

    async def open(self) -> None:
        """Open, check and migrate the database, making it where there is none.

        Raises StoreBroken (damaged, not ours, in use, not writable) and StoreTooNew.
        """
        await self._open(checked=True)

    async def _open(self, checked: bool) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="store")
        try:
            await self._run(lambda: self._writer.open(checked))
            self._sent = await self._read(outbox.sent)
        except BaseException:
            self._thread.shutdown()
            self._thread = None
            raise

    async def open_and_load(self, now: datetime | None = None) -> Beliefs:
        """Do as `open`, then `load`, faster: the pages are looked at while the rows are read.

        Where either fails both are done anew, one after the other: what is wrong with a database is
        found and said in one way only.
        """
        await self._open(checked=False)
        looking = asyncio.to_thread(connect.look, self.path, load.CURRENT)
        looked, loaded = await asyncio.gather(looking, self.load(now), return_exceptions=True)
        if looked is None and isinstance(loaded, Beliefs):
            return loaded
        await self.close()
        await self.open()
        return await self.load(now)

    async def close(self) -> None:
        """Finish what was begun, fold the WAL into the database, free everything."""
        if self._thread is None:
            return
        self._writer.stop.set()
        await self._run(self._writer.close)
        self._thread.shutdown()
        self._thread = None

    async def load(self, now: datetime | None = None) -> Beliefs:
        """Return the beliefs as of the last commit. Raises StoreBroken.

        `now` matters where the clock was ahead: SLA periods of its month are read in any case.
        """
        return await self._read(lambda connection: load.load(connection, self.path, now))

    async def commit(self, outcomes: Sequence[Outcome], messages: Sequence[Message]) -> None:
        """Write `outcomes` merged, and `messages`, in one transaction; return when it is durable.

        A message whose (sink, key) is known is ignored when its body is the same; otherwise the
        first one stands and the other is kept as a dispute (`health().disputes`, logged). So with
        usage records. Costs nothing where there is nothing to write.
        """
        messages = list(messages)
        outcome = merge(outcomes)
        if not messages and writes_nothing(outcome):
            return

        def work(connection: sqlite3.Connection, mode: Mode) -> Refused:
            history = outcome.events
            if mode.tight:  # an inform is acknowledged, so it is kept
                history = [event for event in history if event.confirmed]
            disputes = write.write(connection, outcome, messages, history, mode.careful)
            return Refused(disputes, len(outcome.events) - len(history))

        refused = await self._write(work)
        if refused.disputes:
            many = refused.disputes
            log.error("%s: %d known keys came with other contents: refused", self.path, many)

    async def prune(self, before: datetime) -> Pruned:
        """Let history older than `before` go, in small transactions; return what went.

        See load.prune for what always stays.
        """
        parts = [Pruned(more=True)]
        while parts[-1].more:
            parts.append(
                await self._write(lambda connection, _: load.prune(connection, before, _PRUNE_ROWS))
            )
        self._sent -= (gone := load.total(parts)).sent
        return gone

    # ports.Outbox

    async def due(self, sink: str, now: datetime, limit: int) -> Sequence[Pending]:
        return await self._read(lambda connection: outbox.due(connection, sink, now, limit))

    async def delivered(self, ids: Sequence[int]) -> None:
        """Move messages to the log of what was sent, and cut that to its length."""
        excess = self._sent + len(ids) - self._sent_kept

        def work(connection: sqlite3.Connection, _: Mode) -> int:
            moved = outbox.delivered(connection, ids)
            return moved - (outbox.trim(connection, excess) if excess > 0 else 0)

        if ids:
            self._sent += await self._write(work)

    async def postpone(self, id: int, next_at: datetime, reason: str) -> None:
        """Count a failed attempt; only `postpone` does. No effect where `id` does not wait."""
        await self._write(lambda connection, _: outbox.postpone(connection, id, next_at, reason))

    async def park(self, id: int, reason: str) -> None:
        await self._write(lambda connection, _: outbox.park(connection, id, reason))

    async def retry(self, id: int, now: datetime) -> bool:
        return await self._write(lambda connection, _: outbox.retry(connection, id, now))

    async def hasten(self, now: datetime) -> None:
        """Let every waiting message that is due later than `now` be due now."""
        await self._write(lambda connection, _: outbox.hasten(connection, now))

    async def pending(self, limit: int = 1000) -> Sequence[Pending]:
        return await self._read(lambda connection: outbox.waiting(connection, limit))

    async def depth(self) -> tuple[int, int, datetime | None]:
        return await self._read(outbox.depth)

    # The thread

    async def _run(self, work: Callable[[], T]) -> T:
        if self._thread is None:
            raise StoreBroken(f"{self.path} is not open")
        return await asyncio.wrap_future(self._thread.submit(work))

    async def _read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        return await self._run(lambda: self._writer.read(work))

    async def _write(self, work: Callable[[sqlite3.Connection, Mode], T]) -> T:
        done = await self._run(lambda: self._writer.write(work))
        if self._thread is not None and self._writer.checkpoint_due:
            self._thread.submit(self._writer.checkpoint)  # after the caller has its answer
        return done
