"""What a broken promise costs us. Decimal and integers only, rounded once.

The sum of a month's credits is the credit of the worst tier reached, to the smallest coin: each
violation is worth the rounded total up to its tier less the rounded total up to the tier before.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from bss_bridge.money import times, to_minor
from bss_bridge.settings import Contract
from netopsd.core.beliefs import Violation


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """A credit already given for the same service and month."""

    incident: str  # outage id
    minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Credit:
    """What one violation is worth. `minor` is never negative; `why` says how it came about."""

    minor: int
    currency: str
    why: str


def price(contract: Contract, violation: Violation, given: Sequence[Given]) -> Credit:
    """Return the credit of `violation`, after what was `given` for earlier tiers of its month.

    The tier adds `violation.credit_share` of the fee to the shares before it. A cap clips the
    credit to what is left below it and never drops the rest; a credit of 0 is still a credit.
    """
    share_before = _share_before(contract, violation)
    share = share_before + violation.credit_share
    minor = _owed(contract, share) - _owed(contract, share_before)
    why = [f"tier {violation.tier}: below {violation.below}, {violation.credit_share} of the fee"]
    for name, left in _caps_left(contract, violation.outage, given):
        if minor > left:
            minor = left
            why.append(f"clipped by the {name} cap")
    return Credit(minor=minor, currency=contract.currency, why="; ".join(why))


def _share_before(contract: Contract, violation: Violation) -> Decimal:
    """The share owed before the violation: what its tier is worth less what that adds.

    Where terms changed in mid-month, other tiers may have been broken than are milder now.
    """
    for tier in contract.tiers:
        if tier.below == violation.below:
            return max(Decimal(0), tier.credit - violation.credit_share)
    milder = [tier.credit for tier in contract.tiers if tier.below > violation.below]
    return milder[-1] if milder else Decimal(0)


def _owed(contract: Contract, share: Decimal) -> int:
    """Minor units owed in a month whose worst tier is worth `share` of the fee, before caps."""
    if share <= 0:
        return 0
    return to_minor(
        max(times(contract.monthly_fee, share), contract.minimum_credit), contract.currency
    )


def _caps_left(contract: Contract, incident: str, given: Sequence[Given]) -> list[tuple[str, int]]:
    left = []
    if contract.incident_cap is not None:
        spent = sum(credit.minor for credit in given if credit.incident == incident)
        left.append(("incident", _left(contract, contract.incident_cap, spent)))
    if contract.monthly_cap is not None:
        spent = sum(credit.minor for credit in given)
        left.append(("monthly", _left(contract, contract.monthly_cap, spent)))
    return left


def _left(contract: Contract, cap: Decimal, spent: int) -> int:
    return max(0, to_minor(cap, contract.currency) - spent)


def given_before(contract: Contract, violation: Violation) -> tuple[Given, ...]:
    """Return the credits of the month's milder tiers, recomputed from the violation's evidence.

    Which of them this very outage broke follows from its times: a tier was broken before the
    outage if availability had already fallen below it then. Tiers broken by earlier outages are
    taken as one incident each.
    """
    without = _down_share_before_outage(violation)
    before = _share_before(contract, violation)
    given: list[Given] = []
    share = Decimal(0)
    for number, tier in enumerate(contract.tiers, start=1):
        if tier.below <= violation.below:
            break
        reached = min(tier.credit, before)
        minor = _owed(contract, reached) - _owed(contract, share)
        share = reached
        incident = f"tier-{number}" if 1 - without < tier.below else violation.outage
        for _, left in _caps_left(contract, incident, given):
            minor = min(minor, left)
        given.append(Given(incident=incident, minor=minor))
    if share < before:  # by terms that are no longer in force
        minor = _owed(contract, before) - _owed(contract, share)
        given.append(Given(incident="earlier terms", minor=minor))
    return tuple(given)


def _down_share_before_outage(violation: Violation) -> Decimal:
    """The share of the period that was down before the outage that broke this tier began."""
    if violation.down_s <= 0:
        return Decimal(0)
    lasted = (violation.detected_at - violation.outage_starts).total_seconds()
    before = max(0.0, violation.down_s - max(0.0, lasted))
    down_share = 1 - violation.availability
    return down_share * Decimal(str(before)) / Decimal(str(violation.down_s))
