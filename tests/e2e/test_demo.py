"""`netopsd demo` as a user runs it: the whole main job in a minute, and an end at any moment."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from netopsd.store.read import Reader
from tests.e2e.daemon import BROKEN, ROOT, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(150)]


def demo(where: Path, *words: str) -> subprocess.Popen[str]:
    # A shell starts what runs in its background deaf to SIGINT; a user's terminal does not.
    return subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "netopsd", "demo", *words],
        cwd=where, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip


def of(where: Path) -> list[str]:
    """Return the command lines of living processes that work in `where`."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if Path(os.readlink(process / "cwd")).is_relative_to(where):
                found.append((process / "cmdline").read_text().replace("\0", " "))
        except OSError:
            continue
    return found


def owed(*services: str) -> float:
    """Return the first tier's credit of these contracts, as their paper says."""
    told = tomllib.loads((ROOT / "config" / "demo" / "customers.toml").read_text())
    paper = {contract["service"]: contract for contract in told["contract"]}
    return sum(
        float(paper[name]["monthly_fee"]) * paper[name]["tier"][0]["credit"] / 100
        for name in services
    )


def test_the_story_of_a_minute_is_in_the_books(tmp_path: Path) -> None:
    running = demo(tmp_path, "--for", "60s", "--json")
    out, shown = running.communicate(timeout=110)
    assert running.returncode == 0, shown
    told = json.loads(out)
    assert told["devices"] == 10
    assert told["polls"] >= 10 * 50
    assert told["varbinds"] > 10_000
    assert told["flapping"] >= 1
    assert told["suppressed"] >= 4
    assert (told["tickets_opened"], told["tickets_resolved"]) == (2, 2), "for the cut and the fan"
    assert (told["orders"], told["orders_completed"], told["netconf_alarms"]) == (1, 1, 1)
    assert (told["outages"], told["sla_breaches"], told["credits"]) == (2, 2, 2)
    assert told["credit_total"] == owed("NORDLYS-1", "FJORD-1")
    assert told["notices"] >= 4
    assert told["usage_records"] >= 3 * 4
    assert told["outbox_pending"] == 0
    books = Reader(f"sqlite:///{tmp_path / 'demo-data' / 'config' / 'state' / 'netopsd.db'}")
    assert sum(record.in_octets for record in books.usage(service="TORG-1")) > 100_000_000
    assert told["alarms_raised"] == told["alarms_cleared"] >= 6
    log = (tmp_path / "demo-data" / "daemon.log").read_text()
    assert not BROKEN.search(log), log[-3000:]
    assert "Traceback" not in shown
    assert of(tmp_path) == []


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_ctrl_c_at_any_early_moment_ends_it_cleanly(tmp_path: Path, seed: int) -> None:
    wait_s = random.Random(seed).uniform(0.0, 2.5) * seed
    running = demo(tmp_path)
    until((tmp_path / "demo-data").exists, 20, "it never began", 0.01)
    time.sleep(wait_s)
    os.killpg(running.pid, signal.SIGINT)  # as a terminal does: to the whole foreground group
    out, shown = running.communicate(timeout=40)
    assert running.returncode in (0, 130), (running.returncode, shown)
    assert "Traceback" not in out + shown, out + shown
    until(lambda: of(tmp_path) == [], 5, lambda: str(of(tmp_path)))
    log = tmp_path / "demo-data" / "daemon.log"
    assert not log.exists() or not BROKEN.search(log.read_text()), log.read_text()[-3000:]
