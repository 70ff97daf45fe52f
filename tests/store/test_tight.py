"""A disk that says it is full: the writer waits for room, and says so seldom."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from netopsd.store.ballast import Ballast
from netopsd.store.writer import Mode, Writer

MOST = 5000
SIZES = [0, 65536]  # no ballast at all; one for which the disk always has room


class Patience(threading.Event):
    """Counts how often somebody waited, without waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.waits = 0

    def wait(self, timeout: float | None = None) -> bool:
        self.waits += 1
        return False


@dataclass
class Work:
    """A transaction for which there is no room `full` times, or as long as all is to be kept."""

    full: int = 0
    history_fits: bool = True
    tries: list[bool] = field(default_factory=list)

    def __call__(self, connection: sqlite3.Connection, mode: Mode) -> None:
        self.tries.append(mode.tight)
        assert len(self.tries) < MOST, "it is tried for ever without a pause"
        if len(self.tries) <= self.full or not (mode.tight or self.history_fits):
            raise sqlite3.OperationalError("database or disk is full")


@contextmanager
def writer(folder: Path, size: int) -> Iterator[Writer]:
    path = folder / "netopsd.db"
    made = Writer(path=path, ballast=Ballast(path, size), patience=1, stop=Patience())
    made.open()
    try:
        yield made
    finally:
        made.close()


@pytest.mark.parametrize("size", SIZES)
def test_a_disk_that_stays_full_is_waited_for_and_told_of_once(
    tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(full=50)
    with writer(tmp_path, size) as store:
        store.write(work)
        assert work.tries == [False] + [True] * 50
        assert isinstance(store.stop, Patience)
        assert store.stop.waits == 49  # the first try after the ballast is gone is made at once
        assert len(caplog.records) == 2  # the ballast, and that it did not help
        store.write(work)
        assert not store.health.tight
        assert work.tries[-1] is False


@pytest.mark.parametrize("size", SIZES)
def test_where_room_is_promised_again_and_again_it_is_believed_in_ever_less(
    tmp_path: Path, size: int, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work(history_fits=False)
    with writer(tmp_path, size) as store:
        for _ in range(500):
            store.write(work)
        assert work.tries.count(False) == 9
        assert len(caplog.records) < 20
        work.history_fits = True
        for _ in range(1024):
            store.write(work)
        assert not store.health.tight
