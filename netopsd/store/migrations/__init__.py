"""The schema, step by step. Each step is one transaction together with its version row.

A step once released is never changed: the next one follows it. A process that dies in a step finds
the database as it was before it, and goes on from there.

Together the steps come to what tables.py declares; a test holds them to it. SQLModel and SQLAlchemy
take a quarter of a second to import, so a start asks the steps, not tables.py, what the tables look
like (`layout`).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

from netopsd.errors import StoreBroken, StoreTooNew
from netopsd.store.migrations import v0001, v0002, v0003, v0004


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One numbered change. `apply` runs inside the step's transaction and commits nothing."""

    version: int
    name: str
    apply: Callable[[sqlite3.Connection], None]


STEPS: tuple[Step, ...] = (
    Step(version=1, name="first", apply=v0001.apply),
    Step(version=2, name="service orders", apply=v0002.apply),
    Step(version=3, name="announced alarms, broken tiers", apply=v0003.apply),
    Step(version=4, name="what a meter knows", apply=v0004.apply),
)


def version(connection: sqlite3.Connection) -> int:
    """Return the version of the database's schema, 0 for an empty one."""
    found = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = 'migrations'"
    if not connection.execute(found).fetchone()[0]:
        return 0
    (latest,) = connection.execute("SELECT max(version) FROM migrations").fetchone()
    return int(latest or 0)


def migrate(connection: sqlite3.Connection, path: Path, steps: Sequence[Step] = STEPS) -> int:
    """Bring the database up to the last of `steps`; return its version.

    Raises StoreTooNew, having touched nothing, where a newer netopsd has been at work.
    """
    check_version(version(connection), path, steps)
    for step in steps:
        connection.execute("BEGIN IMMEDIATE")
        try:
            if version(connection) < step.version:
                step.apply(connection)
                row = (step.version, step.name)
                connection.execute("INSERT INTO migrations (version, name) VALUES (?, ?)", row)
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    return version(connection)


def check_version(found: int, path: Path, steps: Sequence[Step] = STEPS) -> None:
    """Raise StoreTooNew where `found` is beyond what `steps` know."""
    known = steps[-1].version
    if found > known:
        raise StoreTooNew(
            f"{path} has schema version {found}; this netopsd knows up to {known}: "
            f"run the newer netopsd again, or restore the backup made before it"
        )


def check_schema(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreBroken where a table does not have the columns this program reads and writes."""
    for table, columns in layout().items():
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table})")}
        wanted = set(columns)
        if found != wanted:
            raise StoreBroken(
                f"{path}: table {table} differs from the schema this program knows "
                f"(lacks {sorted(wanted - found)}, has besides {sorted(found - wanted)})"
            )


class Kept(NamedTuple):
    """How a column keeps its values."""

    kind: type
    key: bool  # one of the primary key's


_KINDS = {"VARCHAR": str, "INTEGER": int, "FLOAT": float, "BOOLEAN": bool, "BLOB": bytes}


@cache
def layout() -> Mapping[str, Mapping[str, Kept]]:
    """Return every table's columns, in their order, as all steps together make them."""
    with closing(sqlite3.connect(":memory:")) as connection:
        for step in STEPS:
            step.apply(connection)
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        return {
            table: {
                name: Kept(_KINDS[declared], key > 0)
                for _, name, declared, _, _, key in connection.execute(
                    f"PRAGMA table_info({table})"
                )
            }
            for (table,) in names
            if table != "sqlite_sequence"
        }


def statements() -> list[str]:
    """Return the DDL of what tables.py declares: what all steps together must come to."""
    import sqlalchemy as sa
    from sqlalchemy.dialects import sqlite

    from netopsd.store.tables import Row

    dialect = sqlite.dialect()
    made: list[str] = []
    for table in Row.metadata.sorted_tables:
        made.append(str(sa.schema.CreateTable(table).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        made += [str(sa.schema.CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return [" ".join(text.split()) for text in made]
