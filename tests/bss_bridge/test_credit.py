"""What a broken promise costs: to the smallest coin, capped, never lost."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from bss_bridge.credit import Given, given_before, price
from bss_bridge.money import CURRENCIES, as_text, exponent, from_minor, to_minor
from bss_bridge.settings import Contract
from netopsd.core.beliefs import Violation
from tests.bss_bridge.world import T0, TIERS, contract, outage, violation

SHARES = st.decimals(min_value="0.001", max_value="0.999", places=3)


@pytest.mark.parametrize(
    ("tier", "changes", "minor"),
    [
        (1, {}, 14900),
        (2, {}, 37250 - 14900),
        (3, {}, 149000 - 37250),
        (1, {"monthly_fee": "0.05", "tiers": [{"below": "0.999", "credit": "0.10"}]}, 0),
        (1, {"monthly_fee": "0.15", "tiers": [{"below": "0.999", "credit": "0.10"}]}, 2),
        (1, {"currency": "JPY", "monthly_fee": "10005"}, 1000),
        (1, {"currency": "KWD", "monthly_fee": "10.005"}, 1000),
        (1, {"minimum_credit": "200.00"}, 20000),
        (2, {"minimum_credit": "200.00"}, 37250 - 20000),
        (1, {"monthly_cap": "100.00"}, 10000),
        (2, {"monthly_cap": "160.00"}, 16000 - 14900),
        (3, {"monthly_cap": "160.00"}, 0),
        (1, {"incident_cap": "50.00"}, 5000),
    ],
)
def test_a_tier_is_worth_what_it_adds(tier: int, changes: dict[str, object], minor: int) -> None:
    terms = contract(**changes)
    said = violation(tier)
    assert price(terms, said, given_before(terms, said)).minor == minor


def test_a_cap_clips_to_what_is_left_and_says_so() -> None:
    terms = contract(monthly_cap="160.00")
    credit = price(terms, violation(2), [Given(incident="another", minor=14900)])
    assert credit.minor == 1100
    assert "clipped by the monthly cap" in credit.why


def test_an_incident_cap_counts_only_its_own_incident() -> None:
    terms = contract(incident_cap="160.00")
    this = price(terms, violation(2), [Given(incident=outage().id, minor=14900)])
    other = price(terms, violation(2), [Given(incident="another", minor=14900)])
    assert (this.minor, other.minor) == (1100, 16000)


def test_tiers_broken_by_earlier_outages_do_not_use_up_this_incidents_cap() -> None:
    terms = contract(incident_cap="160.00")
    one_outage = violation(2, down_s=26000.0, detected_at=T0 + timedelta(seconds=26000))
    second_outage = violation(2, down_s=26000.0, detected_at=T0 + timedelta(seconds=10))
    assert given_before(terms, one_outage) == (Given(incident=outage().id, minor=14900),)
    assert price(terms, one_outage, given_before(terms, one_outage)).minor == 1100
    assert price(terms, second_outage, given_before(terms, second_outage)).minor == 16000


@pytest.mark.parametrize("more", [{}, {"minimum_credit": "200.00"}, {"monthly_cap": "160.00"}])
@pytest.mark.parametrize(
    "tiers",
    [
        [{"below": "0.99", "credit": "0.25"}],
        [{"below": "0.9995", "credit": "0.20"}, {"below": "0.99", "credit": "0.25"}],
        [{"below": "0.9995", "credit": "0.05"}, {"below": "0.99", "credit": "0.25"}],
    ],
)
def test_what_was_given_by_earlier_terms_of_the_month_counts(
    tiers: list[dict[str, str]], more: dict[str, object]
) -> None:
    """10 % were given, the terms changed, and now 25 % are reached: that is the sum."""
    before = contract(**more)
    now = contract(tiers=tiers, target=tiers[0]["below"], **more)
    first = price(before, violation(1), given_before(before, violation(1)))
    second = price(now, violation(2), given_before(now, violation(2)))
    most = 16000 if "monthly_cap" in more else 37250
    assert first.minor + second.minor == most


@st.composite
def contracts(draw: st.DrawFn) -> Contract:
    count = draw(st.integers(1, 6))
    unique = st.lists(SHARES, min_size=count, max_size=count, unique=True)
    belows, credits = sorted(draw(unique), reverse=True), sorted(draw(unique))
    minimum = draw(st.sampled_from([Decimal(0), Decimal("1.11")]))
    caps = st.none() | st.decimals(min_value=minimum, max_value=2000, places=2)
    return contract(
        monthly_fee=draw(st.decimals(min_value=0, max_value=10**9, places=2)),
        currency=draw(st.sampled_from(sorted(CURRENCIES))),
        target=belows[0],
        tiers=[{"below": b, "credit": c} for b, c in zip(belows, credits, strict=True)],
        minimum_credit=minimum,
        monthly_cap=draw(caps),
        incident_cap=draw(caps),
    )


def _month(terms: Contract, reached: int) -> list[Violation]:
    """The violations of a month of one outage that reached tier `reached`."""
    shares = [Decimal(0), *(tier.credit for tier in terms.tiers)]
    return [
        violation(
            id=f"s1/2026-11/tier-{n}",
            below=terms.tiers[n - 1].below,
            credit_share=shares[n] - shares[n - 1],
            detected_at=T0 + timedelta(days=29),
            down_s=29 * 86400.0,
        )
        for n in range(1, reached + 1)
    ]


@settings(max_examples=300, deadline=None)
@given(contracts(), st.data())
def test_the_months_credits_are_exactly_the_tier_reached_within_the_caps(
    terms: Contract, data: st.DataObject
) -> None:
    reached = data.draw(st.integers(1, len(terms.tiers)))
    given_so_far: list[Given] = []
    for said in _month(terms, reached):
        assert given_before(terms, said) == tuple(given_so_far)  # recomputed, not remembered
        credit = price(terms, said, given_so_far)
        assert credit.minor >= 0
        given_so_far.append(Given(incident=said.outage, minor=credit.minor))
    owed = max(terms.monthly_fee * terms.tiers[reached - 1].credit, terms.minimum_credit)
    whole = to_minor(owed, terms.currency)
    for cap in (terms.monthly_cap, terms.incident_cap):
        whole = whole if cap is None else min(whole, to_minor(cap, terms.currency))
    assert sum(credit.minor for credit in given_so_far) == whole


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"target": "0.9995"}, "a gap"),
        ({"target": "0.998"}, "an overlap"),
        ({"tiers": [TIERS[0], TIERS[0]]}, "tier 2 .* overlaps tier 1"),
        ({"tiers": [TIERS[0], {"below": "0.9995", "credit": "0.2"}]}, "tier 2 .* overlaps tier 1"),
        ({"tiers": [TIERS[0], {"below": "0.9", "credit": "0.1"}]}, "no more than tier 1"),
        ({"tiers": [{"below": "0.999", "credit": "1.5"}]}, "less than or equal to 1"),
        ({"monthly_cap": "1.00", "minimum_credit": "2.00"}, "monthly_cap 1.00 is less than"),
        ({"monthly_fee": 1490.5}, "a float is not exact"),
        ({"monthly_fee": "-1"}, "greater than or equal to 0"),
        ({"monthly_fee": "99999999999999999999"}, "too large"),
        ({"currency": "XXY"}, "not an ISO 4217"),
        ({"monthly_fe": "1"}, "Extra inputs"),
    ],
)
def test_a_contract_that_makes_no_sense_is_refused_with_the_reason(
    changes: dict[str, object], says: str
) -> None:
    with pytest.raises(ValidationError, match=says):
        contract(**changes)


def test_money_is_exact_in_every_currency() -> None:
    assert (exponent("JPY"), exponent("NOK"), exponent("KWD"), exponent("CLF")) == (0, 2, 3, 4)
    assert as_text(123450, "NOK") == "1234.50"
    assert as_text(5, "JPY") == "5"
    for currency in CURRENCIES:
        assert to_minor(from_minor(2**63 - 1, currency), currency) == 2**63 - 1


@pytest.mark.parametrize(
    ("amount", "minor"), [("0.005", 0), ("0.015", 2), ("0.025", 2), ("1", 100)]
)
def test_money_is_rounded_half_to_even(amount: str, minor: int) -> None:
    assert to_minor(Decimal(amount), "EUR") == minor
