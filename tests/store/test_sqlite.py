"""The real store keeps the stores' contract, and what only a file can promise."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from netopsd.core.beliefs import Phase, TicketNote, TicketStatus
from netopsd.core.model import Event
from netopsd.core.outcome import Outcome
from netopsd.errors import StoreBroken
from netopsd.store import connect
from netopsd.store.ballast import Ballast
from netopsd.store.read import Reader
from netopsd.store.sqlite import SqliteStore
from netopsd.store.writer import Mode, Writer
from tests.store.contract import (
    T0,
    Both,
    StoreContract,
    alarm,
    keys,
    later,
    message,
    raised,
    ticket,
)


class TestSqlite(StoreContract):
    def make(self, where: Any) -> Both:
        return SqliteStore(f"sqlite:///{where}/netopsd.db", ballast_bytes=1024)

    def again(self, store: Both, where: Any) -> Both:
        return self.make(where)

    def disputes(self, store: Both) -> int:
        assert isinstance(store, SqliteStore)
        return store.health().disputes


def at(where: Path, **options: Any) -> SqliteStore:
    return SqliteStore(f"sqlite:///{where}/netopsd.db", **{"ballast_bytes": 0, **options})


def tell(store: SqliteStore, story: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await store.open()
        try:
            await story()
        finally:
            await store.close()

    asyncio.run(whole())


@pytest.mark.parametrize(
    "url", ["", "netopsd.db", "postgresql://localhost/x", "sqlite://", "sqlite:///:memory:"]
)
def test_only_a_sqlite_file_is_a_store(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        SqliteStore(url)


def test_making_a_store_touches_nothing(tmp_path: Path) -> None:
    at(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_store_that_is_not_open_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match="not open"):
        asyncio.run(at(tmp_path).commit([raised(alarm())], []))


def test_a_second_daemon_on_the_same_database_is_turned_away(tmp_path: Path) -> None:
    store = at(tmp_path)

    async def story() -> None:
        with pytest.raises(StoreBroken, match=r"in use by another netopsd \(process \d+\)"):
            await at(tmp_path).open()
        await store.commit([raised(alarm())], [])

    tell(store, story)
    tell(at(tmp_path), story_of_nothing)


async def story_of_nothing() -> None:
    """Open and close."""


def test_where_no_database_can_be_the_store_says_why(tmp_path: Path) -> None:
    for bad in (tmp_path / "no" / "such", Path("/proc/1")):
        with pytest.raises(StoreBroken, match="cannot open the database"):
            asyncio.run(at(bad).open())


def test_what_is_no_database_or_not_ours_is_left_untouched(tmp_path: Path) -> None:
    path = tmp_path / "netopsd.db"
    path.write_bytes(b"precious letters, not a database" * 100)
    before = path.read_bytes()
    with pytest.raises(StoreBroken, match="not a database"):
        asyncio.run(at(tmp_path).open())
    assert path.read_bytes() == before
    path.unlink()
    with closing(sqlite3.connect(path)) as theirs:
        theirs.execute("CREATE TABLE recipes (name)")
    before = path.read_bytes()
    with pytest.raises(StoreBroken, match="not one of netopsd's"):
        asyncio.run(at(tmp_path).open())
    assert path.read_bytes() == before


def test_a_damaged_database_is_refused_or_read_and_nothing_else(tmp_path: Path) -> None:
    told = raised(*(alarm(f"gw{n}", text="x" * 300) for n in range(100)))
    store = at(tmp_path)
    tell(store, lambda: store.commit([told], [message(n) for n in range(100)]))
    whole, dice = store.path.read_bytes(), random.Random(1)
    refused = 0
    for _ in range(60):
        damaged = bytearray(whole)
        where = dice.randrange(len(damaged))
        damaged[where : where + 64] = dice.randbytes(len(damaged[where : where + 64]))
        store.path.write_bytes(damaged)
        again = at(tmp_path)

        async def load(again: SqliteStore = again) -> None:
            assert (await again.load()).alarms  # SQLite keeps no checksum of a text

        try:
            tell(again, load)
        except StoreBroken as error:
            refused += 1
            assert str(store.path) in str(error)
    assert refused > 5


def test_the_connection_that_writes_is_durable_and_checkpoints_alone(tmp_path: Path) -> None:
    with closing(connect.writer(tmp_path / "netopsd.db")) as connection:
        seen = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "synchronous", "foreign_keys", "wal_autocheckpoint")
        }
    assert seen == {
        "journal_mode": "wal",
        "synchronous": 2,
        "foreign_keys": 1,
        "wal_autocheckpoint": 0,
    }


def test_a_setting_that_did_not_take_is_noticed() -> None:
    with pytest.raises(StoreBroken, match="journal_mode is 'memory', not 'wal'"):
        connect.writer(Path(":memory:"))


def test_a_reader_sees_each_commit_at_once_and_writes_nothing(tmp_path: Path) -> None:
    store = at(tmp_path)
    read = Reader(f"sqlite:///{store.path}")

    async def story() -> None:
        for number in range(1, 6):
            await store.commit([raised(alarm(f"gw{number}"))], [message(number)])
            assert len(await asyncio.to_thread(read.alarms)) == number
            posted = await asyncio.to_thread(read.outbox)
            assert [p.pending.id for p in posted] == list(range(1, number + 1))
        wal = store.path.with_name("netopsd.db-wal")
        before = (store.path.read_bytes(), wal.read_bytes())
        with closing(connect.reader(store.path)) as connection:
            for sql in ("DELETE FROM alarms", "PRAGMA user_version=7"):
                with pytest.raises(sqlite3.OperationalError):
                    connection.execute(sql)
            connection.execute("PRAGMA query_only=OFF")
            with pytest.raises(sqlite3.OperationalError, match="readonly"):
                connection.execute("DELETE FROM alarms")
            with pytest.raises(sqlite3.OperationalError):
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        assert (store.path.read_bytes(), wal.read_bytes()) == before

    tell(store, story)
    code = f"from netopsd.store.read import Reader; print(len(Reader('sqlite:///{store.path}').alarms()))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, timeout=30
    )
    assert done.stdout == "5\n"


def test_a_reader_does_not_make_a_database(tmp_path: Path) -> None:
    with pytest.raises(StoreBroken, match="unable to open"):
        Reader(f"sqlite:///{tmp_path}/netopsd.db").alarms()
    assert list(tmp_path.iterdir()) == []


def test_a_commit_waits_while_another_process_holds_the_lock(tmp_path: Path) -> None:
    store = at(tmp_path)

    async def story() -> None:
        with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            commit = asyncio.create_task(store.commit([raised(alarm())], []))
            await asyncio.sleep(0.1)
            assert not commit.done()
            other.execute("ROLLBACK")
            await commit
        assert not store.health().broken

    tell(store, story)


class NoRoom(Ballast):
    """A ballast on a disk that is full."""

    def tight(self) -> bool:
        return True

    def lay(self) -> bool:
        return False


@pytest.mark.parametrize("why", [connect.DiskFull, connect.Locked])
def test_a_transaction_that_waits_shows_that_it_tries(tmp_path: Path, why: type[Exception]) -> None:
    path = tmp_path / "netopsd.db"
    writer = Writer(path=path, ballast=NoRoom(path, 1024), patience=9, retry_s=0.0)
    shown: list[int] = []

    def work(connection: sqlite3.Connection, mode: Mode) -> None:
        shown.append(writer.health.tries)
        if len(shown) < 4:
            raise why("not now")

    writer.open()
    writer.write(work)
    writer.close()
    assert shown == [0, 1, 2, 3]
    assert (writer.health.tries, writer.health.waiting) == (3, "")


def test_a_trap_storm_s_wal_is_folded_in_while_it_goes_on(tmp_path: Path) -> None:
    store = at(tmp_path)
    wal = store.path.with_name("netopsd.db-wal")

    async def story() -> None:
        sizes = []
        for number in range(40):
            group = [raised(alarm(f"gw{number}-{n}")) for n in range(500)]
            await store.commit(group, [])
            sizes.append(wal.stat().st_size)
        assert max(sizes[20:]) <= max(sizes[:20]) * 1.5

    tell(store, story)


def test_an_empty_commit_writes_nothing_at_all(tmp_path: Path) -> None:
    store = at(tmp_path)

    async def story() -> None:
        before = store.health().commits
        await store.commit([Outcome(), Outcome()], [])
        assert store.health().commits == before

    tell(store, story)


def test_history_is_let_go_but_never_what_is_still_open(tmp_path: Path) -> None:
    store = at(tmp_path)
    cleared = alarm("osl-gw2", phase=Phase.CLEARED)
    closed = ticket(id="TT-2", status=TicketStatus.CLOSED)
    notes = [
        TicketNote(ticket=of, at=T0, by="ann", text="…", status=TicketStatus.HELD)
        for of in ("TT-000001", "TT-2")
    ]

    def trap(when: float) -> Event:
        return Event(at=later(when), device="d", source="s", name="n")

    outcome = raised(alarm(), cleared)
    outcome.tickets |= {"TT-000001": ticket(), "TT-2": closed}
    outcome.ticket_notes += notes
    outcome.events += [trap(0), trap(1)]

    async def story() -> None:
        await store.commit([outcome], [message(n) for n in range(1, 5)])
        await store.commit([Outcome(events=[trap(9000)])], [message(9000)])
        pending = await store.pending()
        await store.delivered([pending[0].id, pending[4].id])
        await store.park(pending[1].id, "no")
        gone = await store.prune(later(3600))
        assert (gone.changes, gone.notes, gone.events, gone.sent) == (1, 1, 1, 1)
        assert await store.prune(later(3600)) == type(gone)()
        assert len((await store.load()).alarms) == 2
        assert await store.depth() == (2, 1, later(3))

    tell(store, story)
    read = Reader(f"sqlite:///{store.path}")
    assert [change.alarm for change in read.changes()] == [alarm().key]
    assert [note.ticket for note in read.notes("TT-000001")] == ["TT-000001"]
    assert read.notes("TT-2") == []
    assert [event.at for event in read.events()] == [later(9000)]


def test_pruning_goes_on_until_nothing_old_is_left(tmp_path: Path) -> None:
    store = at(tmp_path)
    many = [raised(alarm(f"gw{n}", phase=Phase.CLEARED)) for n in range(5000)]

    async def story() -> None:
        await store.commit(many, [])
        assert (await store.prune(later(3600))).changes == 5000

    tell(store, story)


def test_the_log_of_what_was_sent_has_a_length(tmp_path: Path) -> None:
    store = at(tmp_path, sent_kept=10)

    async def story() -> None:
        for first in range(0, 40, 4):
            await store.commit([], [message(n) for n in range(first, first + 4)])
            await store.delivered([p.id for p in await store.due("office", later(99), 10)])
        await store.commit([], [message(100)])

    tell(store, story)
    tell(store, lambda: store.delivered([41]))
    read = Reader(f"sqlite:///{store.path}")
    kept = read.outbox(states=["sent"])
    assert keys([p.pending for p in kept]) == [f"usage/{n}" for n in (*range(31, 40), 100)]
    assert read.outbox() == []


def test_a_long_queue_costs_no_more_to_look_at_than_a_short_one(tmp_path: Path) -> None:
    store = at(tmp_path)

    async def story() -> None:
        for first in range(0, 20_000, 5000):
            batch = [message(n, stream=f"A-{n % 50}") for n in range(first, first + 5000)]
            await store.commit([], batch)
        due = await store.due("office", later(10**6), 50)
        assert [p.id for p in due] == list(range(1, 51))
        for pending in due:
            await store.postpone(pending.id, later(2 * 10**6), "down")
        assert await store.due("office", later(10**6), 50) == []

    tell(store, story)
    steps = 0

    def step() -> int:
        nonlocal steps
        steps += 1
        return 0

    with closing(connect.reader(store.path)) as connection:
        connection.set_progress_handler(step, 100)
        from netopsd.store import outbox

        assert outbox.due(connection, "office", later(10**6), 50) == []
        assert outbox.depth(connection)[0] == 20_000
    assert steps < 20_000 * 3 / 100 + 50  # counting them, and nothing like it for `due`
