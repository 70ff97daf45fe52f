"""When to try again. Pure: the jitter comes from the message's key, so a replay waits the same."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime, timedelta

from bss_bridge.settings import RetrySettings

MOST_AFTER_S = 86400.0  # a Retry-After beyond a day is not believed


@dataclass(frozen=True, slots=True, kw_only=True)
class Later:
    """Try again at `at`."""

    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class GiveUp:
    """Park it; a person must look."""

    why: str


def next_try(
    retry: RetrySettings, key: str, attempts: int, now: datetime, after_s: float | None = None
) -> Later | GiveUp:
    """Return what to do after attempt number `attempts` (1 …) of message `key` failed.

    Waits first_s x factor^(attempts-1), at most most_s, less up to half of it by the key's hash,
    so that a thousand messages do not return in one instant. `after_s`, the other side's own
    Retry-After, is the least waited (up to a day).
    """
    if retry.park_after is not None and attempts >= retry.park_after:
        return GiveUp(why=f"gave up after {attempts} attempts")
    wait = retry.most_s
    if attempts < 64:  # beyond, the power overflows and the cap has long been reached
        wait = min(wait, retry.first_s * retry.factor ** (attempts - 1))
    wait *= 1 - _jitter(key, attempts) / 2
    if after_s is not None and after_s > 0:
        wait = max(wait, min(after_s, MOST_AFTER_S))
    return Later(at=now + timedelta(seconds=wait))


def _jitter(key: str, attempts: int) -> float:
    """A number in [0, 1) that looks random and is always the same for the same arguments."""
    seed = f"{attempts}|{key}".encode("utf-8", "replace")
    return int.from_bytes(hashlib.sha256(seed).digest()[:6], "big") / 2**48
