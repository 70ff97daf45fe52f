"""What a process and its children cost: processor seconds and resident memory, from /proc."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

TICK = os.sysconf("SC_CLK_TCK")
PAGE = os.sysconf("SC_PAGE_SIZE")


def tree(pid: int) -> list[int]:
    """Return `pid` and all its descendants that live now."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        with contextlib.suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                todo += [int(child) for child in (task / "children").read_text().split()]
    return found


def cpu_s(pid: int) -> float:
    """Return user and system seconds of the whole tree, ended and waited-for children included."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15]))
    return total / TICK


def rss_mb(pid: int) -> float:
    """Return the resident memory of the whole tree in MiB."""
    total = 0
    for one in tree(pid):
        with contextlib.suppress(OSError):
            total += int(Path(f"/proc/{one}/statm").read_text().split()[1])
    return total * PAGE / 2**20


def end(process: subprocess.Popen[bytes]) -> None:
    """End a process that we started, by asking and then without."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextlib.contextmanager
def started(
    command: Sequence[str], core: int | None = None, log: Path | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """Give a running process, bound to one core where asked; end it in any case.

    What it says goes to `log`, or nowhere.
    """
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    with (log or Path(os.devnull)).open("wb") as out:
        process = subprocess.Popen(
            [*pinned, *command], stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    try:
        yield process
    finally:
        end(process)


def cores() -> list[int]:
    """Return the cores this process may use."""
    return sorted(os.sched_getaffinity(0))
