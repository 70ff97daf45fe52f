"""The schema grows step by step, survives being killed in a step, and is never taken backwards."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import AutoString

from netopsd.core.beliefs import Alarm, Meter
from netopsd.errors import StoreBroken, StoreTooNew
from netopsd.store import connect, migrations
from netopsd.store.migrations import STEPS, Step, layout, migrate, statements, version
from netopsd.store.read import Reader
from netopsd.store.shape import micros
from netopsd.store.shapes import ALARMS
from netopsd.store.sqlite import SqliteStore
from netopsd.store.tables import Row
from tests.store.contract import alarm, message, ticket, usage

# The forked child touches nothing but its database and ends by os._exit.
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
V1 = Path(__file__).parent / "cases" / "version-1.sql"
ROWS = 300


def wide(at: Callable[[int], None] = lambda _: None) -> Step:
    """A made-up next step of several statements; `at` is called between them."""

    def apply(connection: sqlite3.Connection) -> None:
        at(0)
        connection.execute("CREATE TABLE sites (name VARCHAR PRIMARY KEY, alarms INTEGER)")
        at(1)
        for number in range(ROWS):
            connection.execute("INSERT INTO sites VALUES (?, ?)", (f"site {number}", number))
            at(2 + number)
        connection.execute("UPDATE alarms SET why = 'migrated: ' || why")
        at(2 + ROWS)

    return Step(version=STEPS[-1].version + 1, name="sites", apply=apply)


def older(where: Path) -> Path:
    """Return a database as the first version left it."""
    path = where / "netopsd.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(V1.read_text())
    return path


def schema(connection: sqlite3.Connection) -> set[str]:
    made = connection.execute("SELECT sql FROM sqlite_master WHERE sql IS NOT NULL")
    return {"".join(sql.split()) for (sql,) in made if "sqlite_sequence" not in sql}


def test_all_steps_together_come_to_the_tables_of_this_program(tmp_path: Path) -> None:
    path = tmp_path / "netopsd.db"
    with closing(connect.writer(path)) as connection:
        assert version(connection) == 0
        assert migrate(connection, path) == STEPS[-1].version
        wanted = {"".join(statement.split()) for statement in statements()}
        assert schema(connection) == wanted, "tables.py changed: it needs a migration step"
        migrations.check_schema(connection, path)


def test_what_the_steps_make_has_the_columns_types_and_keys_that_are_declared() -> None:
    """A start reads and writes by `layout`, which needs no SQLModel; tables.py is what is meant."""
    declared = {
        table.name: {c.name: (_kind(c.type), c.primary_key) for c in table.c}
        for table in Row.metadata.sorted_tables
    }
    assert {
        name: {c: tuple(kept) for c, kept in table.items()} for name, table in layout().items()
    } == declared
    assert [list(layout()[name]) for name in declared] == [
        list(declared[name]) for name in declared
    ]


def _kind(declared: Any) -> type:
    return str if isinstance(declared, AutoString) else declared.python_type


def test_steps_are_numbered_from_one_without_a_hole() -> None:
    assert [step.version for step in STEPS] == list(range(1, len(STEPS) + 1))


def test_a_database_of_version_1_is_brought_up_to_date_with_all_it_holds(tmp_path: Path) -> None:
    path = older(tmp_path)
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=0)

    async def story() -> None:
        await store.open()
        beliefs = await store.load()
        assert beliefs.alarms == {alarm().key: alarm()}
        assert beliefs.tickets == {"TT-000001": ticket(services=("acme", "ø"))}
        assert beliefs.sequences == {"ticket": 1}
        assert [p.message for p in await store.pending()] == [message()]
        await store.close()

    asyncio.run(story())
    assert Reader(f"sqlite:///{path}").usage() == [usage()]


def test_who_was_told_of_the_alarms_of_version_2_is_read_from_their_history(
    tmp_path: Path,
) -> None:
    """An alarm found planned or explained after it was told must be told to be over."""
    path = older(tmp_path)
    key = "osl-gw1/if/ge-0/0/1!link-down"
    lines = {
        "stands for itself": ({}, ()),
        "shelved": ({"shelved_until": alarm().since}, ()),
        "planned at once": ({"maintenance": "work"}, (("maintenance", 0),)),
        "planned later": ({"maintenance": "work"}, (("maintenance", 300),)),
        "explained at once": ({"root": key}, (("suppressed", 0),)),
        "explained later": ({"root": key}, (("suppressed", 60), ("acked", 90))),
        "explained at once, then seen": ({"root": key}, (("suppressed", 0), ("acked", 9))),
    }
    with closing(connect.writer(path)) as connection:
        migrate(connection, path, STEPS[:2])
        for name, (what, marks) in lines.items():
            one = alarm(name, **what)
            _alarm_of_version_2(connection, one)
            for mark, after_s in marks:
                at = micros(one.raised_at or one.since) + after_s * 1_000_000
                connection.execute(
                    "INSERT INTO alarm_changes (alarm, occurrence, at, what, by, why, severity)"
                    " VALUES (?, ?, ?, ?, 'netopsd', '', 'major')",
                    (one.key, one.occurrence, at, mark),
                )
            connection.execute(  # what was so in another occurrence says nothing
                "INSERT INTO alarm_changes (alarm, occurrence, at, what, by, why, severity)"
                " VALUES (?, 0, ?, 'maintenance', 'netopsd', '', 'major')",
                (one.key, micros(one.changed_at) + 1),
            )
        assert migrate(connection, path) == STEPS[-1].version
        told = connection.execute("SELECT resource_device FROM alarms WHERE announced").fetchall()
    assert {name for (name,) in told} == {
        "osl-gw1",
        *("stands for itself", "shelved", "planned later", "explained later"),
    }


def test_which_tiers_of_version_2_were_broken_is_read_from_their_violations(tmp_path: Path) -> None:
    path = older(tmp_path)
    with closing(connect.writer(path)) as connection:
        migrate(connection, path, STEPS[:2])
        for service in ("kept", "broken"):
            connection.execute(
                "INSERT INTO sla_periods VALUES (?, '2026-11', 0, 1, '0.999', 0, 0, 0, 0, 0, 2)",
                (service,),
            )
        for n, below, share in ((1, "0.999", "0.10"), (2, "0.99", "0.15")):
            connection.execute(
                "INSERT INTO violations VALUES (?, 'broken', '', '', '2026-11', ?, ?, ?, '0.999',"
                " '0.98', 0, 0, 0, '', 0, '[]', '', '')",
                (f"broken/2026-11/tier-{n}", n, below, share),
            )
        migrate(connection, path)
        found = connection.execute("SELECT service, broken_below, credited FROM sla_periods")
        assert set(found) == {("kept", None, "0"), ("broken", "0.99", "0.25")}


def _alarm_of_version_2(connection: sqlite3.Connection, alarm: Alarm) -> None:
    names = [column.name for column in ALARMS.columns if column.name != "announced"]
    (row,) = ALARMS.rows([alarm])
    values = dict(zip((column.name for column in ALARMS.columns), row, strict=True))
    connection.execute(
        f"INSERT INTO alarms ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
        [values[name] for name in names],
    )


def test_an_older_meters_slot_is_of_the_account_that_was_told_last(tmp_path: Path) -> None:
    path = older(tmp_path)
    with closing(sqlite3.connect(path)) as connection:
        meter = (0, "7", "8", 64, None, None, 0, "5", "6", 1.0, "[]", 0, 9, 0)
        for row in ("ge-0/0/1", "ge-0/0/2"):
            of = ("acme-internet", f"osl-gw1/if/{row}", "osl-gw1", "if", row)
            marks = ", ".join("?" * len(of + meter))
            connection.execute(f"INSERT INTO meters VALUES ({marks})", of + meter)
        connection.commit()
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=0)

    async def story() -> list[Meter]:
        await store.open()
        beliefs = await store.load()
        await store.close()
        return list(beliefs.meters.values())

    told, untold = asyncio.run(story())
    assert (told.customer, told.account, told.handed_over) == ("acme", "A-1", None)
    assert (untold.customer, untold.account) == ("", "")
    assert (told.in_octets, told.slot_in, told.sequence) == (7, 5, 9)


def test_a_second_step_is_applied_once_and_in_one_piece(tmp_path: Path) -> None:
    path = older(tmp_path)
    applied: list[int] = []
    steps = (*STEPS, wide(applied.append))
    with closing(connect.writer(path)) as connection:
        for _ in range(3):
            assert migrate(connection, path, steps) == steps[-1].version
        assert len(applied) == ROWS + 3
        (why,) = connection.execute("SELECT why FROM alarms").fetchone()
        assert why == f"migrated: {alarm().why}"


def test_a_step_that_fails_leaves_nothing_of_itself(tmp_path: Path) -> None:
    def fail(at: int) -> None:
        if at == 100:
            raise sqlite3.OperationalError("planted")

    path = older(tmp_path)
    with closing(connect.writer(path)) as connection:
        migrate(connection, path)
        before = schema(connection)
        with pytest.raises(sqlite3.OperationalError):
            migrate(connection, path, (*STEPS, wide(fail)))
        assert version(connection) == STEPS[-1].version
        assert schema(connection) == before
        assert migrate(connection, path, (*STEPS, wide())) == STEPS[-1].version + 1


@pytest.mark.parametrize("moment", [0, 1, 2, 99, ROWS + 1, ROWS + 2])
def test_a_process_killed_in_a_step_goes_on_from_before_it(tmp_path: Path, moment: int) -> None:
    path = older(tmp_path)

    def die(at: int) -> None:
        if at == moment:
            os._exit(9)

    child = os.fork()
    if child == 0:
        connection = connect.writer(path)
        connection.execute("PRAGMA cache_size=1")  # spill: half a step really is in the file
        migrate(connection, path, (*STEPS, wide(die)))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with closing(connect.writer(path)) as connection:
        assert version(connection) == STEPS[-1].version
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert migrate(connection, path, (*STEPS, wide())) == STEPS[-1].version + 1
        assert connection.execute("SELECT count(*) FROM sites").fetchone() == (ROWS,)
        assert connection.execute("SELECT why FROM alarms").fetchone() == (
            f"migrated: {alarm().why}",
        )


def test_the_first_start_may_be_killed_too(tmp_path: Path) -> None:
    path = tmp_path / "netopsd.db"

    def dying(connection: sqlite3.Connection) -> None:
        STEPS[0].apply(connection)
        os._exit(9)

    child = os.fork()
    if child == 0:
        migrate(connect.writer(path), path, (Step(version=1, name="first", apply=dying),))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    with closing(connect.writer(path)) as connection:
        assert version(connection) == 0
        assert migrate(connection, path) == STEPS[-1].version


def test_an_older_program_refuses_a_newer_database_and_leaves_it_alone(tmp_path: Path) -> None:
    path = older(tmp_path)
    with closing(connect.writer(path)) as connection:
        migrate(connection, path, (*STEPS, wide()))
    before = path.read_bytes()
    known = STEPS[-1].version
    said = f"schema version {known + 1}; this netopsd knows up to {known}"
    for refused in (opened(path), lambda: Reader(f"sqlite:///{path}").alarms()):
        with pytest.raises(StoreTooNew, match=said):
            refused()
    assert path.read_bytes() == before


def opened(path: Path) -> Callable[[], Any]:
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=0)
    return lambda: asyncio.run(store.open())


def test_a_schema_that_is_not_what_its_version_says_is_refused(tmp_path: Path) -> None:
    path = older(tmp_path)
    with closing(connect.writer(path)) as connection:
        migrate(connection, path)
        connection.execute("ALTER TABLE alarms DROP COLUMN why")
    with pytest.raises(StoreBroken, match=r"alarms .*lacks \['why'\]"):
        opened(path)()


def test_a_reader_asks_for_a_database_to_be_brought_up_to_date_first(tmp_path: Path) -> None:
    path = tmp_path / "netopsd.db"
    with closing(connect.writer(path)):
        pass
    with pytest.raises(StoreBroken, match="older schema"):
        Reader(f"sqlite:///{path}").alarms()
