"""The one connection that writes: transactions that are tried until they are in, or cannot be.

Everything here blocks and belongs to one thread (see sqlite.py), `health` apart.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, NamedTuple, TypeVar

from netopsd.errors import StoreBroken
from netopsd.store import connect, load, migrations
from netopsd.store.ballast import Ballast
from netopsd.store.connect import DiskFull, Locked

T = TypeVar("T")
log = logging.getLogger(__name__)

_CHECKPOINT_COMMITS = 500
_MOST_PROOF = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """How the store is, for metrics and the alarm about ourselves."""

    broken: str = ""  # why nothing is written any more
    tight: bool = False  # the disk is full or nearly; the ballast is given up
    waiting: str = ""  # why the transaction at hand is not in yet
    tries: int = 0  # in vain, for room or for another's lock, since the start
    events_dropped: int = 0  # traps not kept as history because the disk is full
    disputes: int = 0  # permanent keys seen again with other contents
    commits: int = 0


class Mode(NamedTuple):
    """How a transaction is to be written this time."""

    careful: bool  # some text cannot be bound as it is
    tight: bool  # leave out what can be spared


class Refused(NamedTuple):
    """What a transaction committed without."""

    disputes: int
    events: int  # left out because the disk is full


Work = Callable[[sqlite3.Connection, Mode], T]


@dataclass(slots=True, kw_only=True)
class Writer:
    """The writing connection of one database file. Open it in the thread that will use it."""

    path: Path
    ballast: Ballast
    patience: int  # times BUSY_MS to wait for another process' lock
    retry_s: float = 1.0  # between tries while the disk is full
    checkpoint_rows: int = 4000  # written between checkpoints: a WAL of some megabytes
    steps: Sequence[migrations.Step] = migrations.STEPS
    stop: threading.Event = field(default_factory=threading.Event)
    health: Health = Health()
    _connection: sqlite3.Connection | None = None
    _lock: IO[str] | None = None
    checkpoint_due: bool = False
    _rows_then: int = 0
    _commits_then: int = 0
    _tight_since: int = 0  # commits then
    _lifted: bool = False  # room was believed in again
    _proof: int = 1  # commits while tight before room is believed in again

    def open(self, checked: bool = True) -> None:
        """Open, check and migrate. Raises StoreBroken and StoreTooNew, leaving nothing open.

        Where `checked` is False the caller looks at the pages (`connect.look`).
        """
        self.stop.clear()
        self._mark(broken="")
        try:
            try:
                self._open(checked)
            except (StoreBroken, DiskFull):
                # A full disk also shows as an I/O error here (the WAL index cannot grow).
                if not (self.ballast.tight() and self.ballast.release()):
                    raise
                self._mark(tight=True)
                self.close()
                self._open(checked)
        except (OSError, DiskFull, Locked) as error:
            self.close()
            raise StoreBroken(f"cannot open the database {self.path}: {error}") from error
        except BaseException:
            self.close()
            raise
        if not self.health.tight and not self.ballast.lay():
            log.warning("%s: no room for the ballast: the disk is nearly full", self.path)
            self._mark(tight=True)

    def _open(self, checked: bool) -> None:
        self._lock = connect.hold_lock(self.path)
        self._connection = connection = connect.writer(self.path)
        with connect.judged(self.path):
            migrations.migrate(connection, self.path, self.steps)
            migrations.check_schema(connection, self.path)
            if checked:
                connect.check(connection, self.path, load.CURRENT)

    def close(self) -> None:
        """Fold the WAL into the database and free everything. Raises nothing."""
        connection, self._connection = self._connection, None
        try:
            if connection is not None and self.health.broken:
                # Whoever closes last checkpoints. A disk that failed is not written to again, so a
                # reader, which cannot, is the last.
                last = connect.reader(self.path)
                connection.close()
                last.close()
            elif connection is not None:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                connection.close()
        except (sqlite3.Error, StoreBroken, DiskFull, Locked) as error:
            log.warning("%s: not closed cleanly, which loses nothing: %s", self.path, error)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Return what `work` reads. Raises StoreBroken."""
        connection = self._usable()
        try:
            with connect.judged(self.path):
                return work(connection)
        except (DiskFull, Locked) as error:
            raise StoreBroken(str(error)) from error
        except StoreBroken as error:
            self._break(error)
            raise

    def write(self, work: Work[T]) -> T:
        """Return what `work` returns, once it is committed and on the disk.

        `work` may be run several times, each in a fresh transaction. Raises StoreBroken and
        CannotStore.
        """
        careful = False
        locked = 0
        while True:
            connection = self._usable()
            self._watch_room()
            try:
                done = self._once(connection, work, Mode(careful, self.health.tight))
            except UnicodeEncodeError:
                if careful:
                    raise
                careful = True
            except DiskFull as error:
                self._make_room(error)
            except Locked as error:
                locked += 1
                self._mark(waiting=str(error), tries=self.health.tries + 1)
                if locked >= self.patience or self.stop.is_set():
                    raise self._break(StoreBroken(f"{error}: who holds the lock?")) from error
            except StoreBroken as error:
                self._break(error)
                raise
            else:
                self._mark(commits=self.health.commits + 1, waiting="")
                if isinstance(done, Refused):
                    self._count(done)
                self.checkpoint_due = (
                    connection.total_changes - self._rows_then >= self.checkpoint_rows
                    or self.health.commits - self._commits_then >= _CHECKPOINT_COMMITS
                )
                return done

    def _once(self, connection: sqlite3.Connection, work: Work[T], mode: Mode) -> T:
        with connect.judged(self.path):
            connection.execute("BEGIN IMMEDIATE")
            try:
                done = work(connection, mode)
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise
        return done

    def _watch_room(self) -> None:
        """Give the ballast up before the disk is full; lay it in again when there is room.

        There may be none where the ballast says so: it may have no size, and not every file system
        gives what it promises. Commits prove it, twice as many each time that was wrong.
        """
        if not self.health.tight:
            if self.ballast.tight():
                self._give_up("the disk is nearly full")
        elif self.health.commits - self._tight_since >= self._proof and self.ballast.lay():
            self._mark(tight=False)
            self._lifted = True
            log.warning("%s: room again; history of traps is kept again", self.path)

    def _make_room(self, error: DiskFull) -> None:
        """Release the ballast; where it is gone already, wait a moment."""
        if not self.health.tight or self.ballast.held:
            if self._lifted:
                self._proof = min(2 * self._proof, _MOST_PROOF)
            self._give_up(str(error))
            return
        if not self.health.waiting:
            log.error("%s: full, ballast and all: waiting for room: %s", self.path, error)
        self._mark(waiting=str(error), tries=self.health.tries + 1)
        if self.stop.wait(self.retry_s):
            raise self._break(StoreBroken(f"{error}: closed while waiting for room")) from error

    def _give_up(self, why: str) -> None:
        self.ballast.release()
        self._tight_since = self.health.commits
        self._mark(tight=True)
        log.error("%s: %s: ballast released; traps are no longer kept as history", self.path, why)

    def checkpoint(self) -> None:
        """Move what readers allow from the WAL into the database. An I/O error breaks the store."""
        if not self.checkpoint_due or self.health.broken or self._connection is None:
            return
        connection = self._connection
        self.checkpoint_due = False
        self._commits_then, self._rows_then = self.health.commits, connection.total_changes
        try:
            with connect.judged(self.path):
                connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except (DiskFull, Locked):
            return  # the WAL keeps it; the next commit looks at the room
        except StoreBroken as error:
            self._break(error)
            log.error("checkpoint failed: %s", error)

    def _count(self, refused: Refused) -> None:
        self._mark(
            disputes=self.health.disputes + refused.disputes,
            events_dropped=self.health.events_dropped + refused.events,
        )

    def _usable(self) -> sqlite3.Connection:
        if self.health.broken:
            raise StoreBroken(self.health.broken)
        if self._connection is None:
            raise StoreBroken(f"{self.path} is not open")
        return self._connection

    def _break(self, error: StoreBroken) -> StoreBroken:
        self._mark(broken=str(error))
        return error

    def _mark(self, **what: str | int | bool) -> None:
        self.health = replace(self.health, **what)  # type: ignore[arg-type]
