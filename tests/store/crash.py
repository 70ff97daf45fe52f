"""Kills a teller again and again at random moments and looks at what it left.

`python -m tests.store.crash DATABASE MODE ROUNDS SEED` prints one JSON object: rounds, facts said,
facts lost (said, and not there after reopening), and the first thing found wrong. The teller is
forked from this process, which has loaded everything and started no thread, so a round costs
milliseconds.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from netopsd.errors import StoreBroken
from tests.store.teller import stored, tell

BROKEN = 74


def kill_rounds(path: Path, mode: str, rounds: int, seed: int) -> dict[str, object]:
    """Return what `rounds` kills did to the database at `path`."""
    dice = random.Random(seed)
    said: set[int] = set()
    wrong = ""
    lost: set[int] = set()
    for _ in range(rounds):
        said |= killed_teller(path, mode, after=dice.randrange(40), wait_s=dice.random() * 0.004)
        found, wrong = stored(path)
        lost |= said - found
        if wrong or lost:
            break
    return {"rounds": rounds, "said": len(said), "lost": sorted(lost), "wrong": wrong}


def killed_teller(
    path: Path, mode: str, after: int, wait_s: float, cut: Callable[[], None] | None = None
) -> set[int]:
    """Return the facts a teller said before it was killed, `wait_s` after the `after`-th.

    `cut` is done just before. Then what it says from there on does not count, since without power
    nobody says anything; and a teller that finds its disk gone may end by itself.
    """
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.dup2(into, 1)
        os.close(out)
        import asyncio

        try:
            asyncio.run(tell(path, mode, 10**6))
        except StoreBroken:
            os._exit(BROKEN)
        finally:
            os._exit(1)
    os.close(into)
    said = b""
    while said.count(b"\n") < after:
        more = os.read(out, 4096)
        if not more:
            break
        said += more
    until = time.monotonic() + wait_s
    while time.monotonic() < until:
        pass
    if cut is not None:
        said += waiting(out)
        cut()
    os.kill(child, signal.SIGKILL)
    while more := os.read(out, 65536):
        said += more if cut is None else b""
    os.close(out)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == BROKEN, "the teller ended by itself"
    return {int(number) for number in said.split(b"\n")[:-1]}


def waiting(pipe: int) -> bytes:
    """Return what can be read at once."""
    os.set_blocking(pipe, False)
    found = b""
    with suppress(BlockingIOError):
        while more := os.read(pipe, 65536):
            found += more
    os.set_blocking(pipe, True)
    return found


if __name__ == "__main__":
    name, how, many, start = sys.argv[1:5]
    print(json.dumps(kill_rounds(Path(name), how, int(many), int(start))))
