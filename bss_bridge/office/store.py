"""The office's doors: messages come in by `take`, questions by `ask`.

One thread owns the one writing connection. Messages that arrive while it is busy are booked
together in its next transaction: one fsync for many, and each is in it wholly or not at all.

What reads messages (inbound.py) is slow to import and comes with the first of them, in a thread.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from bss_bridge.office.booking import Booked, Entry, book, entry, synchronise
from bss_bridge.office.books import Books
from bss_bridge.office.connect import connect_reader, connect_writer
from bss_bridge.office.migrations import migrate
from bss_bridge.office.stamp import stamp
from bss_bridge.settings import Contract, Customer
from netopsd.errors import StoreBroken, TryLater
from netopsd.ports import Clock, Message

T = TypeVar("T")
MOST_TOGETHER = 512  # messages in one transaction
_TRANSIENT = ("database is locked", "database or disk is full", "database table is locked")


class Office:
    """The embedded billing and CRM store. `open` before use; `close` after."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._writing: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None
        self._writer: ThreadPoolExecutor | None = None
        self._reader: ThreadPoolExecutor | None = None
        self._waiting: list[tuple[Entry, asyncio.Future[Booked]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._inbound: asyncio.Future[Any] | None = None

    async def open(self) -> None:
        """Open and migrate the database. Raises StoreBroken or StoreTooNew."""
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="office-write")
        self._reader = ThreadPoolExecutor(1, thread_name_prefix="office-read")
        try:
            self._writing = await self._write(lambda: _opened(self._path))
            loop = asyncio.get_running_loop()
            self._reading = await loop.run_in_executor(self._reader, connect_reader, self._path)
        except BaseException:
            await self.close()
            raise

    async def close(self) -> None:
        """Finish what was taken and close. Harmless when repeated."""
        if self._flusher is not None:
            await asyncio.wait([self._flusher])
        for executor in (self._reader, self._writer):
            if executor is not None:
                executor.shutdown(wait=True)
        for connection in (self._reading, self._writing):
            if connection is not None:
                connection.close()
        self._reader = self._writer = self._reading = self._writing = self._inbound = None

    async def take(self, message: Message) -> Booked:
        """Book `message` once; it is durable when this returns.

        A repeat is KNOWN and adds nothing. The same key with another content is DISPUTED: kept
        for a person, not booked. Raises Refused for a message no office could read, TryLater where
        the database is locked or full, and StoreBroken where it can no longer be trusted.
        """
        if self._inbound is None:
            importing = asyncio.to_thread(import_module, "bss_bridge.office.inbound")
            self._inbound = asyncio.ensure_future(importing)
        inbound = await asyncio.shield(self._inbound)
        read = entry(message, inbound.rows_of(message))
        done: asyncio.Future[Booked] = asyncio.get_running_loop().create_future()
        self._waiting.append((read, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="office-flush")
        return await done

    async def synchronise(
        self, customers: Sequence[Customer], contracts: Sequence[Contract]
    ) -> None:
        """Make customers, contacts, accounts and services those configured; the rest inactive."""
        await self._write(lambda: self._transact(lambda c: synchronise(c, customers, contracts)))

    async def ask(self, question: Callable[[Books], T]) -> T:
        """Return `question`'s answer from the committed state, all of one moment.

        `question` runs on another thread and must return values, not generators:
        `await office.ask(lambda books: books.credits())`.
        """
        if self._reader is None or self._reading is None:
            raise StoreBroken("the office is not open")
        connection = self._reading
        return await asyncio.get_running_loop().run_in_executor(
            self._reader, lambda: _answer(connection, question)
        )

    async def _flush(self) -> None:
        while self._waiting:
            together = self._waiting[:MOST_TOGETHER]
            del self._waiting[:MOST_TOGETHER]
            entries = [read for read, _ in together]
            (results,) = await asyncio.gather(self._booked(entries), return_exceptions=True)
            if isinstance(results, BaseException):
                for _, done in together:
                    if not done.done():
                        done.set_exception(results)
                continue
            for (_, done), result in zip(together, results, strict=True):
                if not done.done():
                    done.set_result(result)

    async def _booked(self, entries: Sequence[Entry]) -> list[Booked]:
        return await self._write(lambda: self._book(entries))

    def _book(self, entries: Sequence[Entry]) -> list[Booked]:
        at = stamp(self._clock.now())
        return self._transact(lambda c: [book(c, read, at) for read in entries])

    def _transact(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do `work` in one transaction. An error after which a retry could lie is StoreBroken."""
        connection = self._writing
        if connection is None:
            raise StoreBroken("the office is not open")
        try:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                return work(connection)
        except sqlite3.Error as error:
            if str(error) in _TRANSIENT:
                raise TryLater(f"office: {error}") from error
            self._writing = None  # a retry after a failed fsync may claim what is not on disk
            connection.close()
            raise StoreBroken(f"office database {self._path}: {error}") from error

    async def _write(self, work: Callable[[], T]) -> T:
        if self._writer is None:
            raise StoreBroken("the office is not open")
        return await asyncio.get_running_loop().run_in_executor(self._writer, work)


def _answer(connection: sqlite3.Connection, question: Callable[[Books], T]) -> T:
    connection.execute("BEGIN")
    with connection:
        return question(Books(connection))


def _opened(path: Path) -> sqlite3.Connection:
    connection = connect_writer(path)
    try:
        migrate(connection)
    except sqlite3.Error as error:
        connection.close()
        raise StoreBroken(f"office database {path}: {error}") from error
    except BaseException:
        connection.close()
        raise
    return connection
