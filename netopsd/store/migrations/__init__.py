"""The schema, step by step. Each step is one transaction together with its version row.

A step once released is never changed: the next one follows it. A process that dies in a step finds
the database as it was before it, and goes on from there.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from netopsd.errors import StoreBroken, StoreTooNew
from netopsd.store.migrations import v0001, v0002
from netopsd.store.tables import MigrationRow, Row


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One numbered change. `apply` runs inside the step's transaction and commits nothing."""

    version: int
    name: str
    apply: Callable[[sqlite3.Connection], None]


STEPS: tuple[Step, ...] = (
    Step(version=1, name="first", apply=v0001.apply),
    Step(version=2, name="service orders", apply=v0002.apply),
)


def version(connection: sqlite3.Connection) -> int:
    """Return the version of the database's schema, 0 for an empty one."""
    name = MigrationRow.__tablename__
    found = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
    if not connection.execute(found, (name,)).fetchone()[0]:
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
    for table in Row.metadata.sorted_tables:
        found = {row[1] for row in connection.execute(f"PRAGMA table_info({table.name})")}
        wanted = {column.name for column in table.c}
        if found != wanted:
            raise StoreBroken(
                f"{path}: table {table.name} differs from the schema this program knows "
                f"(lacks {sorted(wanted - found)}, has besides {sorted(found - wanted)})"
            )


def statements() -> list[str]:
    """Return the DDL of today's tables: what all steps together must come to."""
    dialect = sqlite.dialect()
    made: list[str] = []
    for table in Row.metadata.sorted_tables:
        made.append(str(sa.schema.CreateTable(table).compile(dialect=dialect)))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        made += [str(sa.schema.CreateIndex(index).compile(dialect=dialect)) for index in indexes]
    return [" ".join(text.split()) for text in made]
