"""Two sites and a core on one machine: whatever is killed, nothing is lost and nothing doubled."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.e2e import site_story
from tests.e2e.daemon import until

pytestmark = [pytest.mark.e2e, pytest.mark.peer("mosquitto"), pytest.mark.timeout(240)]
LOST = "netopsd/collector/{}!collector-lost"


def test_a_broker_killed_again_and_again_and_left_down_loses_and_doubles_nothing(
    tmp_path: Path,
) -> None:
    with site_story.scene(tmp_path) as scene:
        scene.traffic(True)
        time.sleep(3)
        before = scene.memory()
        site_story.kill_broker(scene, kills=6, every_s=2.0, down_s=20.0)
        scene.settle()
        assert scene.gaps() == []
        assert scene.counter("gaps") == 0
        after = scene.memory()
        assert all(after[name] < before[name] + (48 << 20) for name in before), (before, after)


def test_a_lost_collector_is_an_alarm_and_its_devices_go_on_being_watched(tmp_path: Path) -> None:
    with site_story.scene(tmp_path) as scene:
        scene.traffic(True)
        time.sleep(3)
        scene.collectors["oslo", "c1"].kill9()
        until(lambda: LOST.format("oslo/c1") in scene.alarms(), 10, "no alarm", 0.2)
        time.sleep(4)
        assert scene.all_seen()
        scene.collectors["oslo", "c1"].start()
        until(lambda: LOST.format("oslo/c1") not in scene.alarms(), 20, scene.tails, 0.2)
        # Both of the other site: nobody watches it, and that is said.
        for name in ("c1", "c2"):
            scene.collectors["bergen", name].kill9()
        alone = "netopsd/site/bergen!site-unwatched"
        until(lambda: alone in scene.alarms(), 15, lambda: f"{scene.alarms()}", 0.2)
        for name in ("c1", "c2"):
            scene.collectors["bergen", name].start()
        until(lambda: alone not in scene.alarms(), 20, scene.tails, 0.2)
        scene.settle()


def test_a_core_killed_again_and_again_goes_on_where_it_was(tmp_path: Path) -> None:
    with site_story.scene(tmp_path) as scene:
        scene.traffic(True)
        time.sleep(3)
        for _ in range(3):
            scene.core.kill9()
            time.sleep(3)
            scene.core.start()
            time.sleep(2)
        scene.settle()
        assert not scene.alarms(), scene.alarms()
