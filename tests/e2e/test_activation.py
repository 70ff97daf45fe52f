"""A service order survives any death of the daemon: on all devices or on none, and told truly."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.e2e.activation import story

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def test_killed_at_a_dozen_steps_every_device_has_all_of_each_service_or_none(
    tmp_path: Path,
) -> None:
    verdict = asyncio.run(story(tmp_path, kills=12))
    assert verdict.wrong == []
    assert verdict.kills == 12
    assert verdict.completed > 5


def test_a_daemon_that_confirms_before_its_decision_is_durable_is_found_out(
    tmp_path: Path,
) -> None:
    verdict = asyncio.run(story(tmp_path, kills=40, planted=True))
    assert verdict.wrong != []
