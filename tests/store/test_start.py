"""A start opens and loads at once: it believes, and refuses, what it would one after the other."""

from __future__ import annotations

import asyncio
import random
import sqlite3
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from pathlib import Path

import pytest

from netopsd.clock import ManualClock
from netopsd.core.outcome import Beliefs, Outcome
from netopsd.errors import StoreBroken
from netopsd.ports import Message
from netopsd.start import read
from netopsd.store import connect
from netopsd.store.load import CURRENT
from netopsd.store.sqlite import SqliteStore
from tests.store.contract import T0, alarm, later, message, raised


def at(where: Path) -> SqliteStore:
    return SqliteStore(f"sqlite:///{where}/netopsd.db", ballast_bytes=0)


def committed(store: SqliteStore, told: Outcome, messages: Sequence[Message]) -> None:
    async def whole() -> None:
        await store.open()
        await store.commit([told], messages)
        await store.close()

    asyncio.run(whole())


def test_opening_and_loading_at_once_believes_and_says_what_one_after_the_other_does(
    tmp_path: Path,
) -> None:
    told = raised(*(alarm(f"gw{n}", text="x" * 300) for n in range(100)))
    store = at(tmp_path)
    committed(store, told, [message(n) for n in range(100)])
    whole, dice = store.path.read_bytes(), random.Random(2)
    believed, refused = str(at_once(tmp_path)), 0
    assert believed == str(in_turn(tmp_path))
    assert "gw99" in believed
    for _ in range(60):
        damaged = bytearray(whole)
        where = dice.randrange(len(damaged))
        damaged[where : where + 64] = dice.randbytes(len(damaged[where : where + 64]))
        store.path.write_bytes(damaged)
        said = in_turn(tmp_path)
        assert str(at_once(tmp_path)) == str(said)
        refused += isinstance(said, StoreBroken)
    assert refused > 5
    store.path.write_bytes(whole)
    assert str(at_once(tmp_path)) == believed


def test_a_page_that_is_damaged_is_found_though_the_rows_could_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = []

    def look(path: Path, tables: tuple[str, ...]) -> None:
        looked.append(tables)
        raise StoreBroken("no")

    def check(connection: sqlite3.Connection, path: Path, tables: tuple[str, ...]) -> None:
        looked.append(tables)

    monkeypatch.setattr(connect, "look", look)
    monkeypatch.setattr(connect, "check", check)
    assert at_once(tmp_path) == Beliefs()  # what the second look says counts
    assert looked == [CURRENT, CURRENT]


def begun(where: Path, begin: Callable[[SqliteStore], Awaitable[Beliefs]]) -> Beliefs | StoreBroken:
    """Return what is believed of the store in `where`, or why nothing is."""
    store = at(where)

    async def go() -> Beliefs:
        try:
            return await begin(store)
        finally:
            await store.close()

    try:
        return asyncio.run(go())
    except StoreBroken as error:
        return error


def at_once(where: Path) -> Beliefs | StoreBroken:
    """Return what a start believes of the store in `where`, or why it does not."""
    return begun(where, SqliteStore.open_and_load)


def in_turn(where: Path) -> Beliefs | StoreBroken:
    """Do as `at_once`, opening first and loading then."""

    async def begin(store: SqliteStore) -> Beliefs:
        await store.open()
        return await store.load()

    return begun(where, begin)


def test_a_start_imports_nothing_of_sqlalchemy() -> None:
    code = (
        "import sys, netopsd.start, netopsd.app\n"
        "print([name for name in ('sqlalchemy', 'sqlmodel') if name in sys.modules])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n")[0] == "[]"


def test_what_was_noted_while_the_clock_was_ahead_is_dated_now_once_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    to_come = T0 + timedelta(days=90)
    wrong = alarm("gw1", since=to_come, raised_at=to_come, changed_at=to_come)
    right = alarm("gw2", since=T0, raised_at=T0, changed_at=T0)
    messages = [message(1, at=to_come), message(2, at=T0)]
    committed(at(tmp_path), raised(wrong, right), messages)
    clock = ManualClock(later(60))

    async def start() -> tuple[Beliefs, int]:
        store = at(tmp_path)
        try:
            return await read(store, clock), len(await store.due("office", clock.now(), 10))
        finally:
            await store.close()

    for _ in range(2):
        beliefs, due = asyncio.run(start())
        found = beliefs.alarms[wrong.key]
        assert (found.raised_at, found.changed_at) == (later(60), later(60))
        assert beliefs.alarms[right.key] == right
        assert due == 2, "what is to be told waits no longer either"
    said = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert said == ["the clock was ahead: 1 beliefs were dated later than now; they are dated now"]
