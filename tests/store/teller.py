"""Tells a store numbered facts and says each aloud once it is committed: what the crash tests kill.

`python -m tests.store.teller DATABASE MODE COUNT`: modes are `honest`, `folding` (the WAL is folded
in often), and three with a planted bug which the checks must find: `early` says a fact before it is
committed, `deaf` says it although the commit failed, `lazy` does not wait for the disk. Ends with
74 when the store is broken, as the daemon does.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from netopsd.core.outcome import Outcome
from netopsd.errors import StoreBroken
from netopsd.store import connect, load, migrations
from netopsd.store.sqlite import SqliteStore
from tests.store.contract import alarm, message, raised, usage

GROUP = 3  # facts in one commit


def fact(number: int) -> Outcome:
    """Fact `number`: an alarm, a line of its history and a usage record, all of that name."""
    outcome = raised(alarm(f"gw{number}", count=number))
    outcome.usage.append(usage(key=f"usage/{number}", sequence=number))
    return outcome


async def tell(path: Path, mode: str, count: int) -> None:
    """Commit facts from where the database stands, GROUP at a time, and say their numbers."""
    often = 100 if mode == "folding" else 10**6
    if mode == "lazy":
        setattr(connect, "writer", _lazy)  # noqa: B010  (a planted bug, not a style)
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=65536, checkpoint_rows=often)
    await store.open()
    try:
        await speak(store, mode, count)
    finally:
        await store.close()


def _lazy(path: Path, open_one: Callable[[Path], sqlite3.Connection] = connect.writer) -> Any:
    connection = open_one(path)
    connection.execute("PRAGMA synchronous=NORMAL")
    return connection


async def speak(store: SqliteStore, mode: str, count: int) -> None:
    said = len((await store.load()).alarms)
    for first in range(said + 1, said + count + 1, GROUP):
        group = range(first, first + GROUP)
        if mode == "early":
            say(group)
        try:
            await store.commit([fact(n) for n in group], [message(n) for n in group])
        except StoreBroken:
            if mode != "deaf":
                raise
        if mode != "early":
            say(group)
        if first % 2:  # deliver some, so that killing hits those writes as well
            due = await store.due("office", message(10**6).at, 2)
            await store.delivered([pending.id for pending in due])


def say(numbers: range) -> None:
    os.write(1, "".join(f"{number}\n" for number in numbers).encode())


def stored(path: Path) -> tuple[set[int], str]:
    """Return the facts that are in the database, and what is wrong with it ("" if nothing)."""
    with closing(connect.writer(path)) as connection:
        (found,) = connection.execute("PRAGMA integrity_check").fetchone()
        if found != "ok":
            return set(), found
        if migrations.version(connection) == 0:
            return set(), ""  # it was killed before there was anything
        migrations.migrate(connection, path)  # what was cut short is resumed, as by the next start
        load.load(connection, path)
        parts = {
            "alarms": numbers(connection, "SELECT count FROM alarms"),
            "changes": numbers(connection, "SELECT substr(alarm, 3) FROM alarm_changes"),
            "usage": numbers(connection, "SELECT sequence FROM usage_records"),
            "messages": numbers(connection, "SELECT substr(key, 7) FROM outbox"),
        }
    facts = parts["alarms"]
    for name, part in parts.items():
        if part != facts:
            return (
                set(),
                f"half a fact: alarms and {name} differ in {sorted(set(part) ^ set(facts))}",
            )
    if facts != list(range(1, len(facts) + 1)):
        return set(), f"holes or doubles among {facts}"
    if len(facts) % GROUP:
        return set(), f"half a group: {len(facts)} facts"
    return set(facts), ""


def numbers(connection: sqlite3.Connection, query: str) -> list[int]:
    found = []
    for (value,) in connection.execute(query):
        text = str(value)
        digits = text[: next((i for i, c in enumerate(text) if not c.isdigit()), len(text))]
        found.append(int(digits))
    return sorted(found)


def main() -> int:
    path, mode, count = sys.argv[1:4]
    try:
        asyncio.run(tell(Path(path), mode, int(count)))
    except StoreBroken as error:
        print(error, file=sys.stderr)
        return 74
    return 0


if __name__ == "__main__":
    sys.exit(main())
