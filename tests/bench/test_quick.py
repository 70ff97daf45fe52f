"""The quick bench, by `pytest -m bench`, alone: ratios, and only far off (twice the bar) fails.

Absolute times say more of the machine than of netopsd, and a shared one is slow at will.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.bench import poll

ROOT = Path(__file__).parents[2]
FAR_OFF = 2.0


def measured(row: str, tmp_path: Path) -> dict[str, Any]:
    out = tmp_path / f"{row}.json"
    words = [sys.executable, "-m", "tests.bench", row, "--quick", "--json", str(out)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    found: dict[str, Any] = json.loads(out.read_text())
    return found


@pytest.mark.bench
@pytest.mark.root
@pytest.mark.peer("snmpd", "snmpget", "ip", "prometheus-snmp-exporter", "collectd")
def test_polling_is_not_far_dearer_than_promised(tmp_path: Path) -> None:
    """So few devices share a daemon's resting cost among them: the full row has the real ratio."""
    found = measured("poll", tmp_path)
    named = {row["name"]: row for row in found["contenders"]}

    assert set(named) == {"ours", "snmp_exporter", "collectd"}
    assert named["ours"]["answers_per_device_cycle"] >= 4 * 0.9, "it did not keep up"
    assert found["ours_over_best_peer"] <= FAR_OFF * poll.MUST


@pytest.mark.bench
@pytest.mark.root
@pytest.mark.peer("snmptrapd", "ip")
def test_a_storm_is_accounted_for_and_not_far_dearer_than_logging_it(tmp_path: Path) -> None:
    found = measured("storm", tmp_path)
    (row,) = found["rows"]

    assert row["unaccounted"] == 0
    assert found["cpu_over_snmptrapd"] <= FAR_OFF


@pytest.mark.bench
@pytest.mark.root
@pytest.mark.peer("ip")
def test_a_value_costs_much_the_same_whatever_the_number_of_devices(tmp_path: Path) -> None:
    assert measured("growth", tmp_path)["dearest_over_cheapest"] <= 1 + FAR_OFF * 0.2


@pytest.mark.bench
def test_metrics_are_rendered_much_faster_than_by_the_client_library(tmp_path: Path) -> None:
    found = measured("metrics", tmp_path)

    assert found["same_series"]
    assert found["times_faster"] >= 8 / FAR_OFF
