"""Availability per service and calendar month, the downtime budget, and promises broken.

A = (T − M − U) / (T − M): T the seconds of the period in which the service was active, M excused
seconds (the union of maintenance windows), U unavailable seconds not in M. Unknown is neither up
nor down: it is kept apart, and the bounds are [A with unknown down, A with unknown up].
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from zoneinfo import ZoneInfo

from netopsd.core import maintenance
from netopsd.core.beliefs import Outage, SlaPeriod, State, Violation
from netopsd.core.inventory import Service
from netopsd.core.outcome import BudgetNotice, ViolationNotice
from netopsd.core.values import replace
from netopsd.core.world import World

NINE = Decimal("0.000000001")
MICRO = timedelta(microseconds=1)
FOREVER = datetime(9999, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=4096)
def month(zone: str, year: int, number: int) -> tuple[datetime, datetime]:
    """Return the UTC start and end of a calendar month of `zone`."""
    tz = ZoneInfo(zone)
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return (
        datetime(year, number, 1, tzinfo=tz).astimezone(UTC),
        datetime(*following, 1, tzinfo=tz).astimezone(UTC),
    )


def month_of(zone: str, at: datetime) -> tuple[str, datetime, datetime]:
    """Return the name ("2026-11") and UTC bounds of the month that `at` falls into in `zone`."""
    local = at.astimezone(ZoneInfo(zone))
    starts, ends = month(zone, local.year, local.month)
    return f"{local.year:04d}-{local.month:02d}", starts, ends


def period_of(world: World, service: Service, at: datetime) -> SlaPeriod:
    """Return the service's account of the month of `at`, opened where there is none yet.

    Its bounds are those of the zone as it is now: where a customer moved, `at` may lie beyond the
    month of the old one. What is booked stays where it is, and the name is that of the same month.
    """
    name, starts, ends = month_of(service.zone, at)
    known = world.periods.get((service.id, name))
    if known is not None:
        if (known.starts, known.ends, known.target) == (starts, ends, service.target):
            return known
        return replace(known, starts=starts, ends=ends, target=service.target)
    return SlaPeriod(
        service=service.id, period=name, starts=starts, ends=ends, target=service.target
    )


def active_s(service: Service, period: SlaPeriod) -> float:
    """T: elapsed seconds of the period in which the service is active."""
    starts = max(period.starts, service.active_from or LONG_AGO)
    ends = min(period.ends, service.active_until or FOREVER)
    return max(0.0, (ends - starts).total_seconds())


def budget_s(service: Service, period: SlaPeriod) -> float:
    """Return how many seconds of downtime the promise allows in this period."""
    return float(_base(service, period) * (1 - period.target))


def _base(service: Service, period: SlaPeriod) -> Decimal:
    """T − M, in seconds, to the microsecond."""
    return _exact(active_s(service, period)) - _exact(period.excused_s)


def _exact(seconds: float) -> Decimal:
    return Decimal(round(seconds * 1_000_000)) / 1_000_000


def availability(service: Service, period: SlaPeriod) -> tuple[Decimal, Decimal]:
    """Return [A_min, A_max] for the whole period, nine decimals; the future counts as up."""
    base = _base(service, period)
    if base <= 0:
        return Decimal(1), Decimal(1)
    down, unknown = _exact(period.down_s), _exact(period.unknown_s)
    worst = max(Decimal(0), (base - down - unknown) / base)
    return worst.quantize(NINE), ((base - down) / base).quantize(NINE)


def burn(service: Service, period: SlaPeriod) -> float:
    """Return the share of the downtime budget used, 1.0 = all of it."""
    budget = budget_s(service, period)
    if budget <= 0:
        return 0.0 if period.down_s <= 0 else float("inf")
    return period.down_s / budget


def ahead_key(service: str) -> str:
    """Name the number that says until when a service's time was booked ahead, in microseconds."""
    return f"booked until|{service}"


def account(world: World, service: Service, state: State, span: tuple[datetime, datetime]) -> None:
    """Book [span) as `state`, cut at months, maintenance and the service's own active time.

    Where the clock was ahead some of it was booked before it came: no second is booked twice, but
    what was unknown then is now booked as what it is.
    """
    starts = max(span[0], service.active_from or LONG_AGO)
    ends = min(span[1], service.active_until or FOREVER)
    ahead = LONG_AGO + (world.sequences.get(ahead_key(service.id)) or 0) * MICRO
    if state is State.UNKNOWN:  # then it is as it was booked, be it years
        starts = max(starts, ahead)
    while starts < ends:
        period = period_of(world, service, starts)
        again = starts < ahead
        until = min(ends, period.ends, ahead if again else ends)
        windows = maintenance.windows_of(world.inventory, service)
        excused = sum(
            (b - a for a, b in maintenance.excused(windows, starts, until)), timedelta()
        ).total_seconds()
        counted = (until - starts).total_seconds() - excused
        starts = until
        if again:
            world.periods[service.id, period.period] = _known_at_last(period, state, counted)
            continue
        world.periods[service.id, period.period] = replace(
            period,
            up_s=period.up_s + (counted if state is State.UP else 0.0),
            down_s=period.down_s + (counted if state is State.DOWN else 0.0),
            unknown_s=period.unknown_s + (counted if state is State.UNKNOWN else 0.0),
            excused_s=period.excused_s + excused,
        )


def _known_at_last(period: SlaPeriod, state: State, seconds: float) -> SlaPeriod:
    """Return the account where so many seconds booked as unknown turn out to be `state`."""
    moved = min(seconds, period.unknown_s)
    return replace(
        period,
        up_s=period.up_s + (moved if state is State.UP else 0.0),
        down_s=period.down_s + (moved if state is State.DOWN else 0.0),
        unknown_s=period.unknown_s - moved,
    )


def judge(
    world: World, service: Service, outage: Outage, booked: tuple[datetime, datetime]
) -> None:
    """Warn of the budget and record each promise now broken, in every month of [booked).

    `outage` is the evidence: the one that goes on, or the latest one.
    """
    starts, ends = booked
    while starts < ends:
        period = period_of(world, service, starts)
        _judge(world, service, outage, period, ends)
        starts = period.ends


def _judge(world: World, service: Service, outage: Outage, period: SlaPeriod, at: datetime) -> None:
    if period.down_s <= 0:
        return
    base = _base(service, period)
    if base <= 0:
        return
    period = _warn(world, service, period, at)
    down = _exact(period.down_s)
    for tier in service.tiers:
        # By what it promises, not by its place: tiers may have changed since another was broken.
        worse = period.broken_below is None or tier.below < period.broken_below
        if not worse or not base - down < base * tier.below:
            continue
        n, credited = period.tiers_broken + 1, max(period.credited, tier.credit)
        violation = Violation(
            id=f"{service.id}/{period.period}/tier-{n}",
            service=service.id,
            customer=service.customer,
            account=service.account,
            period=period.period,
            tier=n,
            below=tier.below,
            credit_share=credited - period.credited,
            target=period.target,
            availability=availability(service, period)[1],
            down_s=period.down_s,
            budget_s=budget_s(service, period),
            detected_at=at,
            outage=outage.id,
            outage_starts=outage.starts,
            alarms=outage.alarms,
            samples_sha256=outage.samples_sha256,
            ticket=_ticket(world, outage),
        )
        period = replace(period, tiers_broken=n, broken_below=tier.below, credited=credited)
        world.out.violations[violation.id] = violation
        world.out.notices.append(
            ViolationNotice(violation=violation, outage=outage, zone=service.zone, at=at)
        )
    world.periods[service.id, period.period] = period


def _warn(world: World, service: Service, period: SlaPeriod, at: datetime) -> SlaPeriod:
    used = burn(service, period) * 100
    reached: Iterator[int] = (w for w in world.inventory.policy.burn_warnings if used >= w)
    highest = max(reached, default=0)
    if highest <= period.burn_told:
        return period
    period = replace(period, burn_told=highest)
    world.out.notices.append(
        BudgetNotice(
            period=period, customer=service.customer, account=service.account, burn=highest, at=at
        )
    )
    return period


def _ticket(world: World, outage: Outage) -> str:
    for occurrence in outage.alarms:
        if ticket := world.ticket_of.get(occurrence.rpartition("#")[0]):
            return ticket
    return ""
