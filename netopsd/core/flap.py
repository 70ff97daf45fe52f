"""Flap damping: an alarm that keeps changing is told once, then only counted (after Zino).

A weight doubles with each change and halves every `flap_half_life_s`. Above `flap_raise` the alarm
is flapping; it is steady again only below `flap_clear`, so the two never chase each other.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta

from netopsd.core.inventory import Policy


def decayed(weight: float, since: datetime | None, at: datetime, policy: Policy) -> float:
    """Return what is left at `at` of `weight` as of `since`."""
    if since is None or weight <= 0:
        return 0.0
    after_s = (at - since).total_seconds()
    if after_s <= 0:
        return weight
    left: float = weight * 0.5 ** (after_s / policy.flap_half_life_s)
    return left


def changed(weight: float, since: datetime | None, at: datetime, policy: Policy) -> float:
    """Return the weight after one more change at `at`."""
    more = 2 * decayed(weight, since, at, policy)
    return more if more > 1.0 else 1.0


def is_flapping(weight: float, was: bool, policy: Policy) -> bool:
    """Judge a weight with hysteresis."""
    return weight >= policy.flap_clear if was else weight > policy.flap_raise


def steady_at(weight: float, since: datetime, policy: Policy) -> datetime:
    """Return when `weight` as of `since` will have decayed below `flap_clear`."""
    halvings = max(0.0, math.log2(max(weight, 1e-9) / policy.flap_clear))
    return since + timedelta(seconds=math.ceil(halvings * policy.flap_half_life_s) + 1)
