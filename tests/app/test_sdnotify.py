"""What the service manager hears."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from netopsd.clock import ManualClock
from netopsd.sdnotify import STALLED_S, STARTING_S, Notify, Progress


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind(str(tmp_path / "notify"))
        end.settimeout(2)
        yield end


def told(manager: socket.socket) -> str:
    return manager.recv(4096).decode()


def notify(manager: socket.socket, **more: str) -> Notify:
    return Notify({"NOTIFY_SOCKET": manager.getsockname(), **more})


def test_each_step_of_a_life_is_told(manager: socket.socket) -> None:
    way = notify(manager)
    way.ready("200 devices")
    assert told(manager) == "READY=1\nSTATUS=200 devices"
    way.reloading(12.5)
    assert told(manager) == "RELOADING=1\nMONOTONIC_USEC=12500000"
    way.alive()
    assert told(manager) == "WATCHDOG=1"
    way.stopping()
    assert told(manager) == "STOPPING=1"
    way.status("cut off from the network")
    assert told(manager) == "STATUS=cut off from the network"


def test_a_status_is_one_line_whatever_it_holds(manager: socket.socket) -> None:
    notify(manager).status("a\nREADY=1\r\x00\udcff" + "x" * 999)
    line = told(manager)
    assert "\n" not in line
    assert len(line) < 250


def test_an_abstract_socket_is_understood() -> None:
    name = f"netopsd-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as end:
        end.bind("\0" + name)
        end.settimeout(2)
        Notify({"NOTIFY_SOCKET": "@" + name}).ready()
        assert told(end) == "READY=1"


@pytest.mark.parametrize("path", ["", "relative/path", "vsock:2:1"])
def test_without_a_manager_nothing_happens(path: str) -> None:
    way = Notify({"NOTIFY_SOCKET": path})
    way.ready()
    assert way.lost == 0
    assert way.watchdog_s is None


def test_a_manager_that_is_gone_is_counted_and_hurts_nobody(tmp_path: Path) -> None:
    way = Notify({"NOTIFY_SOCKET": str(tmp_path / "gone")})
    way.ready()
    assert way.lost == 1


def test_a_manager_that_does_not_read_never_blocks_us(manager: socket.socket) -> None:
    way = notify(manager)
    for _ in range(2000):
        way.alive()
    assert way.lost > 0


@pytest.mark.parametrize(
    ("period", "pid", "expected"),
    [
        ("30000000", "", 30.0),
        ("30000000", "ours", 30.0),
        ("30000000", "1", None),
        ("0", "", None),
        ("soon", "", None),
        ("²", "", None),
    ],
)
def test_the_watchdog_is_ours_only_when_it_names_us(
    period: str, pid: str, expected: float | None
) -> None:
    pid = str(os.getpid()) if pid == "ours" else pid
    assert Notify({"WATCHDOG_USEC": period, "WATCHDOG_PID": pid}).watchdog_s == expected


def test_the_watchdog_is_fed_only_while_work_goes_on(manager: socket.socket) -> None:
    way = notify(manager, WATCHDOG_USEC="30000000")
    clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
    asked = 0

    def progressing() -> bool:
        nonlocal asked
        asked += 1
        if asked == 4:
            raise asyncio.CancelledError
        return asked != 2

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(way.feed(progressing, clock))
    manager.setblocking(False)
    fed = [told(manager), told(manager)]
    assert fed == ["WATCHDOG=1"] * 2
    with pytest.raises(BlockingIOError):
        manager.recv(64)
    assert clock.mono_s() == 30.0


class Work:
    """What the watchdog's question looks at: the latest tick, and the store's tries."""

    def __init__(self, ticked: bool = True) -> None:
        self.clock = ManualClock(datetime(2026, 11, 23, tzinfo=UTC))
        self.ticked = self.clock.now() if ticked else None
        self.tries = 0
        self.progress = Progress(self.clock, lambda: self.ticked, lambda: self.tries)

    def asked(self, *, seconds: int, ticks: bool = False, tries: bool = False) -> list[bool]:
        """Return the answers, one in ten seconds, while work goes on as said."""
        answers = []
        for second in range(1, seconds + 1):
            self.clock.move(1)
            if ticks:
                self.ticked = self.clock.now()
            if tries and second % 5 == 0:
                self.tries += 1
            if second % 10 == 0:
                answers.append(self.progress())
        return answers


def test_work_goes_on_while_ticks_are_judged_and_not_without() -> None:
    work = Work()
    assert all(work.asked(seconds=60, ticks=True))
    assert work.asked(seconds=30) == [True, False, False]
    assert all(work.asked(seconds=60, ticks=True))


def test_a_store_that_waits_and_tries_is_no_reason_for_a_restart() -> None:
    work = Work()
    assert all(work.asked(seconds=3600, tries=True))
    assert all(work.asked(seconds=60, ticks=True))


def test_a_store_that_hangs_in_its_waiting_is_found_out() -> None:
    work = Work()
    assert all(work.asked(seconds=60, tries=True))
    assert work.asked(seconds=30) == [True, False, False]


def test_a_start_has_its_time_and_no_more() -> None:
    work = Work(ticked=False)
    assert all(work.asked(seconds=int(STARTING_S - STALLED_S)))
    assert work.asked(seconds=30)[-1] is False
