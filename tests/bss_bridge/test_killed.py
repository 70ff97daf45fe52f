"""kill -9 at any moment, again and again: the office holds each message exactly once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bss_bridge.office.booking import entry
from bss_bridge.office.books import open_books
from bss_bridge.office.revenue import assure
from tests.bss_bridge.bridge_process import ACCOUNTS, EACH, story

KILLS = 8


def tell(folder: Path, seed: int, *options: str) -> int:
    """Run the story to its end, killed KILLS times on the way; return how often it was."""
    chance = random.Random(seed)
    killed = 0
    for _ in range(4 * KILLS):  # who is killed too late has ended by itself
        last = killed == KILLS
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.bss_bridge.bridge_process", str(folder), *options],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            if not last:
                time.sleep(chance.uniform(0.0, 0.25))
                process.kill()
            rest = process.stdout.read()
            code = process.wait(timeout=60)
        finally:
            process.kill()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        killed += code == -9
        assert code in (0, -9)
        if last:
            break
    assert rest == "done\n"
    return killed


@pytest.mark.e2e
def test_killed_at_any_moment_the_office_holds_everything_exactly_once(tmp_path: Path) -> None:
    killed = tell(tmp_path, seed=1)
    assert killed == KILLS
    expected = {one.key: entry(one, []).sha256 for one in story()}
    with open_books(tmp_path / "office.db") as books:
        assert books.received() == expected
        counts, result = books.counts(), assure(books)
    assert counts["usage_record"] == ACCOUNTS * EACH
    assert counts["credit"] == counts["sla_violation"] == 3 * ACCOUNTS
    assert counts["care_notice"] == ACCOUNTS * (EACH // 8 + 3)
    assert result.findings == ()
    assert result.totals.in_octets == ACCOUNTS * 1000 * EACH * (EACH + 1) // 2
    assert result.totals.credit_minor == {"NOK": 149000 * ACCOUNTS}


@pytest.mark.e2e
def test_the_test_above_would_see_a_message_noted_before_it_was_delivered(tmp_path: Path) -> None:
    tell(tmp_path, 1, "eager")
    with open_books(tmp_path / "office.db") as books:
        assert len(books.received()) < len(story())
