"""When to try again: later and later, never all at once, and always the same for one message."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bss_bridge.retry import GiveUp, Later, next_try
from bss_bridge.settings import RetrySettings
from tests.bss_bridge.world import T0


def _wait(
    retry: RetrySettings, attempts: int, key: str = "k", after_s: float | None = None
) -> float:
    decided = next_try(retry, key, attempts, T0, after_s)
    assert isinstance(decided, Later)
    return (decided.at - T0).total_seconds()


@given(st.text(), st.integers(1, 10**6), st.none() | st.floats(-1, 1e9))
def test_a_wait_is_between_half_the_step_and_the_cap(
    key: str, attempts: int, after_s: float | None
) -> None:
    retry = RetrySettings()
    wait = _wait(retry, attempts, key, after_s)
    assert wait == _wait(retry, attempts, key, after_s)
    assert wait >= min(retry.most_s, 2.0 ** min(attempts - 1, 60)) / 2 - 1e-5
    assert wait <= max(retry.most_s, min(after_s or 0, 86400.0))


def test_waits_grow_to_the_cap() -> None:
    waits = [_wait(RetrySettings(), attempts) for attempts in (1, 4, 8, 40)]
    assert waits == sorted(waits)
    assert waits[0] <= 1.0


def test_the_other_sides_retry_after_is_the_least_waited() -> None:
    assert _wait(RetrySettings(), 1, after_s=120.0) == 120.0
    assert _wait(RetrySettings(), 1, after_s=1e9) == 86400.0


def test_a_thousand_messages_do_not_return_in_one_instant() -> None:
    waits = {_wait(RetrySettings(), 5, key=str(n)) for n in range(1000)}
    assert len(waits) > 990
    assert max(waits) - min(waits) > 7


def test_only_who_is_told_to_gives_up() -> None:
    assert isinstance(next_try(RetrySettings(), "k", 10**6, T0), Later)
    assert isinstance(next_try(RetrySettings(park_after=5), "k", 4, T0), Later)
    gave_up = next_try(RetrySettings(park_after=5), "k", 5, T0)
    assert gave_up == GiveUp(why="gave up after 5 attempts")


@pytest.mark.parametrize("attempts", [1, 63, 64, 10**9])
def test_no_number_of_attempts_is_too_many(attempts: int) -> None:
    assert Later(at=T0) != next_try(RetrySettings(factor=10), "k", attempts, T0)
    assert _wait(RetrySettings(factor=10), attempts) <= timedelta(seconds=300).total_seconds()
