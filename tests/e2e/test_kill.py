"""kill -9 at any moment: whatever was measured, promised and owed is in the books exactly once."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.e2e import story
from tests.e2e.daemon import ROOT, Daemon
from tests.e2e.kill import Kill, at_a_moment, in_a_sync, let_it_look, tell

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]
PLANTS = ROOT / "tests" / "e2e" / "plants"


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: the simulator's socket is below it."""
    with tempfile.TemporaryDirectory(prefix="k-") as name:
        yield Path(name)


@pytest.mark.peer("strace")
def test_killed_at_any_moment_the_books_are_those_of_the_truth(folder: Path) -> None:
    kills = [at_a_moment, in_a_sync, at_a_moment, at_a_moment, in_a_sync, *[at_a_moment] * 20]
    wrong, had = tell(folder, 20261123, kills)
    assert wrong == []
    assert had["kills"] >= 4  # a loaded machine takes its time to start us again
    assert had["sla_violation"] >= 2  # which must be there, the verdict says
    assert had["usage_record"] >= 4 * 8
    assert had["outages"] >= 4
    print(had)


def a_bug(folder: Path, plant: str, *kills: Kill) -> list[str]:
    """Tell a short story to a daemon with a planted bug; return what the verdict says of it."""
    wrong, _ = tell(
        folder, 5, kills, story.SHORT, story.SHORT_S,
        {
            "PYTHONPATH": str(PLANTS),
            "NETOPSD_PLANT": plant,
            "PLANT_DIED": str(folder / "died"),
        },
    )  # fmt: skip
    return wrong


def let_it_look_and_kill(daemon: Daemon, chance: random.Random) -> None:
    let_it_look(daemon, chance)
    daemon.kill9()


def test_meters_left_out_and_messages_marked_too_early_would_be_found(folder: Path) -> None:
    """The controls: two stories at once, each told to a daemon with a bug planted in it."""
    with ThreadPoolExecutor(2) as both:
        forgetful = both.submit(a_bug, made(folder / "a"), "no-meters", let_it_look_and_kill)
        hasty = both.submit(a_bug, made(folder / "b"), "early-mark", dies_by_itself)
    wrong = forgetful.result()
    assert any(one.startswith(("cr/g1", "usage", "disputes")) for one in wrong), wrong
    wrong = hasty.result()
    assert any("said to be delivered and not in the office" in one for one in wrong), wrong


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def dies_by_itself(daemon: Daemon, chance: random.Random) -> None:
    assert daemon.wait(40) == -9
