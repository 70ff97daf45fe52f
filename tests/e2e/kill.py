"""Kill the daemon again and again while a story is told, then compare the books with the truth.

`python -m tests.e2e.kill --kills 200 --seed 1` tells as many stories as that takes.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from netopsd.core.beliefs import Phase
from simulators.session import Session
from simulators.session import running as simulated
from tests.e2e import story
from tests.e2e.daemon import Daemon, until
from tests.e2e.verdict import Truth, problems
from tests.ports import free_port

DRAINED_WITHIN_S = 25.0
CAUGHT_UP_WITHIN_S = 2.5
Kill = Callable[[Daemon, random.Random], None]


def at_a_moment(daemon: Daemon, chance: random.Random) -> None:
    """Kill it at any moment, while it starts too; but never two lives in a row before it has seen
    the network, or the time between would rightly be called unknown.
    """
    if had_looked(daemon) and chance.random() < 0.5:
        time.sleep(chance.uniform(0.05, 2.0))
    else:
        let_it_look(daemon, chance)
    daemon.kill9()


def in_a_sync(daemon: Daemon, chance: random.Random) -> None:
    """Have the kernel kill it at the entry of one of its fdatasync calls (Debian: strace).

    The life that is running is killed first, and the next one at that call.
    """
    let_it_look(daemon, chance)
    daemon.kill9()
    when = chance.choice((2, 5, 9, 14, 20, 27, 35))
    inject = f"inject=fdatasync:signal=KILL:when={when}"
    out = str(daemon.config / "strace.log")
    daemon.spawn(
        [
            "strace",
            "-D",
            "-f",
            "--seccomp-bpf",
            "-qq",
            "-o",
            out,
            "-e",
            "trace=fdatasync",
            "-e",
            inject,
        ]
    )
    try:
        daemon.wait(8)
    except subprocess.TimeoutExpired:  # nothing to say, nothing to sync: so be it
        daemon.kill9()


def had_looked(daemon: Daemon) -> bool:
    """Whether the life before this one was long enough to see something."""
    if len(daemon.lives) < 2:
        return True
    _, ready, ended = daemon.lives[-2]
    return ready is not None and ended is not None and ended - ready > 1.5


def let_it_look(daemon: Daemon, chance: random.Random) -> None:
    daemon.wait_ready()
    time.sleep(chance.uniform(1.6, 4.0))


def tell(
    folder: Path,
    seed: int,
    kills: Sequence[Kill],
    told: tuple[story.Told, ...] = story.LONG,
    lasts_s: float = story.LONG_S,
    env: dict[str, str] | None = None,
) -> tuple[list[str], dict[str, int]]:
    """Tell one story with these kills; return what is wrong afterwards, and what there was."""
    chance = random.Random(seed)
    traps_port = free_port()
    said = story.scenario(told, lasts_s, traps_port)
    with simulated(said, folder, ["--hold"]) as network:
        daemon = Daemon(story.config(folder / "config", network.port), env=env)
        daemon.traps_port = traps_port
        try:
            return _tell(daemon, network, chance, kills, lasts_s)
        finally:
            daemon.end()


def _tell(
    daemon: Daemon,
    network: Session,
    chance: random.Random,
    kills: Sequence[Kill],
    lasts_s: float,
) -> tuple[list[str], dict[str, int]]:
    daemon.start()
    metered = len(story.METERED)
    until(lambda: len(daemon.reader.meters()) == metered, 20, "no meter of every port")
    network.ask(do="begin")
    began = time.monotonic()
    quiet_from = datetime.now(UTC) + timedelta(seconds=lasts_s - story.QUIET_S + 1.0)
    done = 0
    for kill in kills:
        if time.monotonic() - began > lasts_s - story.QUIET_S:
            break
        kill(daemon, chance)
        done += 1
        daemon.spawn()
    daemon.wait_ready()
    time.sleep(max(0.0, began + lasts_s - time.monotonic()))
    until(lambda: drained(daemon), DRAINED_WITHIN_S, lambda: undrained(daemon))
    wrong: list[str] = []
    try:
        until(
            lambda: caught_up(daemon, quiet_from), CAUGHT_UP_WITHIN_S, "no meter has seen the end"
        )
    except AssertionError as late:
        wrong.append(str(late))
    code = daemon.stop()
    wrong += daemon.unclean() + ([] if code == 0 else [f"exit code {code}"])
    truth = Truth.of(network.lines(), network.truth())
    journal = daemon.state / "journal.jsonl"
    lives = [(s, r, None if n == len(daemon.lives) - 1 else e)
             for n, (s, r, e) in enumerate(daemon.lives)]  # fmt: skip
    wrong += problems(daemon.state, truth, lives, journal)
    return wrong, {"kills": done, **counts(daemon)}


def caught_up(daemon: Daemon, quiet_from: datetime) -> bool:
    """Whether every stored meter has seen the quiet at the end."""
    return all(meter.at >= quiet_from for meter in daemon.reader.meters())


def drained(daemon: Daemon) -> bool:
    """Whether every message is delivered and nothing is wrong."""
    reader = daemon.reader
    return (
        not reader.outbox(limit=1)
        and not reader.alarms(phases=(Phase.ACTIVE, Phase.PENDING))
        and not any(outage.ends is None for outage in reader.outages())
    )


def undrained(daemon: Daemon) -> str:
    reader = daemon.reader
    left = [posted.pending for posted in reader.outbox(limit=3)]
    alarms = reader.alarms(phases=(Phase.ACTIVE, Phase.PENDING))
    return f"still {left} {alarms} {[o for o in reader.outages() if o.ends is None]}"


def counts(daemon: Daemon) -> dict[str, int]:
    """Return what there was to get wrong."""
    tally = daemon.reader.tally()
    with daemon.books() as books:
        office = books.counts()
    return {
        "outages": tally["outages.ended"],
        "tickets": tally["tickets.resolved"],
        "events": tally["events"],
        **{name: office[name] for name in ("usage_record", "sla_violation", "credit",
                                           "care_notice", "received")},
    }  # fmt: skip


def main() -> int:
    """Tell stories until there were enough kills; print a line of JSON for each."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--kills", type=int, default=200)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--in-sync", type=float, default=0.3, help="share of kills in fdatasync")
    words = asked.parse_args()
    left, seed, bad = words.kills, words.seed, 0
    if shutil.which("strace") is None:
        words.in_sync = 0.0
    while left > 0:
        chance = random.Random(seed)
        kills = [in_a_sync if chance.random() < words.in_sync else at_a_moment
                 for _ in range(min(left, 40))]  # fmt: skip
        folder = Path(tempfile.mkdtemp(prefix="kill-"))
        wrong, had = tell(folder, seed, kills)
        print(json.dumps({"seed": seed, **had, "wrong": wrong}), flush=True)
        bad += bool(wrong)
        if wrong:
            print(f"kept in {folder}", flush=True)
        else:
            shutil.rmtree(folder)
        left -= had["kills"]
        seed += 1
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
