"""What tests of the app share."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import apscheduler.schedulers.base
import pytest

from tests.app.machine import Machine
from tests.patience import StillLoop


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Machine]]:
    """Have APScheduler go by a machine on which no second is waited for."""
    loop = StillLoop()
    monkeypatch.setattr(apscheduler.schedulers.base, "datetime", Machine)
    monkeypatch.setattr(Machine, "ahead", timedelta())
    monkeypatch.setattr(Machine, "loop", loop, raising=False)
    yield Machine
    loop.close()
