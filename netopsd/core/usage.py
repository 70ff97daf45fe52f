"""Octets per service and slot from counters: what went through, and by name what we cannot know.

A delta between two good samples is split over the slots it spans by time, in integers, so that the
parts add up to the whole. A reset, a wrap that cannot be told, an impossible rate: a named gap.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from netopsd.core.beliefs import Meter, UsageRecord
from netopsd.core.deltas import gap, grown, overtaken
from netopsd.core.inventory import Service
from netopsd.core.looks import Look, TableLook
from netopsd.core.model import Resource
from netopsd.core.outcome import UsageNotice
from netopsd.core.slots import LONGEST_S, MICRO, boundary, ends, iso, micros, named
from netopsd.core.values import replace
from netopsd.core.world import World

WIDE = ("ifHCInOctets", "ifHCOutOctets", 64)
NARROW = ("ifInOctets", "ifOutOctets", 32)
PAST_IF_SPEED = 0xFFFF_FFFF  # "more than that" (RFC 2863)
FOUR = Decimal("0.0001")
UNTIL = "usage until|"  # of a meter closed: what ends by then is told
AHEAD_S = 300.0  # less than that, or than a slot, is waited out: then nothing is lost
STAMP = "%Y%m%dT%H%M%SZ"


def observe(world: World, device: str, look: Look) -> None:
    """Advance every meter on `device` by a look that saw something."""
    for service, resource in world.index.meters.get(device, ()):
        if service.active_until is not None and look.at >= service.active_until:
            close_meter(world, (service.id, str(resource)), look.at)
            continue
        if service.active_from is not None and look.at < service.active_from:
            continue
        table = look.tables.get(resource.table)
        at = table.where.get(resource.row) if table is not None else None
        if table is None or at is None:
            continue
        reading = _read(service, resource, table, at)
        if reading is not None:
            _advance(world, service, reading)


def _read(service: Service, resource: Resource, table: TableLook, at: int) -> Meter | None:
    """Return the port's counters as a meter that starts here; None where they were not read."""
    layout, values = table.table.layout, table.table
    for in_name, out_name, width in (WIDE, NARROW):
        if in_name not in layout.counters or out_name not in layout.counters:
            continue
        i, o = layout.counters.index(in_name), layout.counters.index(out_name)
        if values.missing is not None and (values.missing[i, at] or values.missing[o, at]):
            continue
        return Meter(
            service=service.id,
            customer=service.customer,
            account=service.account,
            resource=resource,
            at=table.at,
            in_octets=int(values.counters[i, at]),
            out_octets=int(values.counters[o, at]),
            width=width,
            speed=_speed(table, at),
            clock_ticks=table.clocks.sys_uptime_ticks,
            discontinuity=_gauge(table, "ifCounterDiscontinuityTime", at),
            slot=0,
            opened_at=table.at,
        )
    return None


def _gauge(table: TableLook, name: str, at: int) -> float | None:
    gauges = table.table.layout.gauges
    value = float(table.table.gauges[gauges.index(name), at]) if name in gauges else math.nan
    return None if math.isnan(value) else value


def _speed(table: TableLook, at: int) -> float:
    """Return the port's speed in bits per second: 0 where unknown, infinite where past ifSpeed."""
    high = _gauge(table, "ifHighSpeed", at)
    if high:
        return high * 1e6
    low = _gauge(table, "ifSpeed", at) or 0.0
    return low if low < PAST_IF_SPEED else math.inf


def known(world: World) -> Iterable[tuple[str, str]]:
    """Return the keys of all meters, stored or not yet."""
    return dict.fromkeys(key for m in (world.meters, world.running) for key, _ in m.items())


def current(world: World, key: tuple[str, str]) -> Meter | None:
    """Return where a meter stands: the newest value, stored or not yet."""
    newest = world.running.get(key)
    return (newest or None) if newest is not None else world.meters.get(key)


def _advance(world: World, service: Service, now: Meter) -> None:
    key = (service.id, str(now.resource))
    was = current(world, key)
    length = world.inventory.policy.usage_interval_s
    if was is None:
        _open(world, key, now, int(now.at.timestamp()) // length * length)
        return
    if now.at <= was.at:
        return
    if now.width < was.width and (now.at - was.at).total_seconds() < length:
        return  # the 64-bit counter could not be read this time: the next look has it again
    if overtaken(was, now):
        return
    why = gap(was, now, world.inventory.policy.max_rate_over_speed)
    meter, records = _spread(world, service, was, now, why)
    world.running[key] = meter
    stored = world.meters.get(key)
    old = stored is None or (now.at - stored.at).total_seconds() >= _checkpoint(world)
    if records or why or old:
        world.meters[key] = meter
    for record in records:
        world.out.usage.append(record)
        world.out.notices.append(UsageNotice(record=record, at=now.at))


def _open(world: World, key: tuple[str, str], now: Meter, slot: int) -> None:
    """Begin to meter, or begin again: numbers go on, and a slot told of is not told of twice."""
    name = "|".join(key)
    if slot < (world.sequences.get(f"{UNTIL}{name}") or 0):
        return
    sequence = world.sequences.get(f"usage|{name}") or 0
    world.meters[key] = world.running[key] = replace(now, slot=slot, sequence=sequence)


def _revision(world: World, name: str, slot: int) -> int:
    """Return which record of a slot comes next: 0 but for slots told when the clock was ahead."""
    if slot >= (world.sequences.get(f"usage ahead|{name}") or 0):
        return 0
    return world.sequences.get(f"usage revision|{name}") or 0


def _checkpoint(world: World) -> float:
    return world.inventory.policy.checkpoint_s


def _spread(
    world: World, service: Service, was: Meter, now: Meter, why: str
) -> tuple[Meter, list[UsageRecord]]:
    """Return the meter at `now` and a record for each slot that ended on the way."""
    length = world.inventory.policy.usage_interval_s
    start, end = micros(was.at), micros(now.at)
    if not why and end - start > LONGEST_S * MICRO:
        why = "looks more than 31 days apart"
    octets = (0, 0) if why else grown(was, now)
    device = world.inventory.devices.get(now.resource.device)
    far_apart = (end - start) / MICRO > max(3 * (device.interval_s if device else 0.0), 1.0)
    records: list[UsageRecord] = []
    meter, done, cursor = was, (0, 0), start
    for mark in (*_marks(was, (start, end), length, service.zone), None):
        until = end if mark is None else mark * MICRO
        upto = tuple(g * (until - start) // (end - start) for g in octets)
        long = mark is not None and mark * MICRO - cursor > length * MICRO
        if until > cursor:
            meter = replace(
                meter,
                slot_in=meter.slot_in + upto[0] - done[0],
                slot_out=meter.slot_out + upto[1] - done[1],
                slot_covered_s=meter.slot_covered_s + (0.0 if why else (until - cursor) / MICRO),
                slot_gaps=named(meter.slot_gaps, cursor, until, why),
                slot_reconstructed=meter.slot_reconstructed or ((far_apart or long) and not why),
            )
        done, cursor = (upto[0], upto[1]), until
        if mark is not None:
            meter, record = _close(world, service, meter, mark)
            records.append(record)
    return _standing(meter, was, now, why), records


def _marks(was: Meter, span: tuple[int, int], length: int, zone: str) -> Iterator[int]:
    """Yield where records end; the slot another account came in ends one, however long they are."""
    start, end = span
    handed = end if was.handed_over is None else boundary(micros(was.handed_over), length) * MICRO
    if start < handed < end:
        yield from ends(start, handed, length, zone)
        start = handed
    yield from ends(start, end, length, zone)


def _standing(meter: Meter, was: Meter, now: Meter, why: str) -> Meter:
    """Return `meter` with the counters of `now`."""
    # What was not read is as it was, but not beyond a gap: another boot's times begin anew.
    before = None if why else was.discontinuity
    return replace(
        meter,
        at=now.at,
        in_octets=now.in_octets,
        out_octets=now.out_octets,
        width=now.width,
        speed=now.speed,
        clock_ticks=now.clock_ticks,
        discontinuity=before if now.discontinuity is None else now.discontinuity,
    )


def _close(world: World, service: Service, meter: Meter, end: int) -> tuple[Meter, UsageRecord]:
    """Return the meter in its next slot and the record of the one it leaves at `end`."""
    record = _record(world, meter, end)
    handed = meter.handed_over
    stays = handed is not None and end * MICRO < micros(handed)
    following = replace(
        meter,
        customer=meter.customer if stays else service.customer,
        account=meter.account if stays else service.account,
        handed_over=handed if stays else None,
        slot=end,
        slot_in=0,
        slot_out=0,
        slot_covered_s=0.0,
        slot_gaps=(),
        slot_reconstructed=False,
        sequence=record.sequence,
    )
    return following, record


def _record(world: World, meter: Meter, end: int) -> UsageRecord:
    """Return the record of the open slot, which ends at `end`."""
    starts = datetime.fromtimestamp(meter.slot, UTC)
    ends = datetime.fromtimestamp(end, UTC)
    length = end - meter.slot
    gaps = meter.slot_gaps
    if meter.opened_at > starts:
        gaps = (
            f"{iso(meter.slot * MICRO)}/{iso(micros(meter.opened_at))} not yet metered",
            *gaps,
        )
    name = f"{meter.service}|{meter.resource}"
    revision = _revision(world, name, meter.slot)
    return UsageRecord(
        key=f"{name}|octets|{starts:{STAMP}}|{ends:{STAMP}}|{revision}",
        service=meter.service,
        customer=meter.customer,
        account=meter.account,
        resource=meter.resource,
        starts=starts,
        ends=ends,
        in_octets=meter.slot_in,
        out_octets=meter.slot_out,
        covered_s=meter.slot_covered_s,
        completeness=Decimal(str(min(1.0, meter.slot_covered_s / length))).quantize(FOUR),
        gaps=gaps,
        reconstructed=meter.slot_reconstructed,
        sequence=meter.sequence + 1,
        revision=revision,
    )


def put_right(world: World, at: datetime) -> None:
    """Begin anew where what was told reaches well beyond `at`, our own clock's present.

    It was ahead, and we were stopped until it was right: nothing would be counted until time has
    caught up. What was told stands, with the octets of then. What goes through now is told besides,
    in records of the next revision, until the slots are new ones: each octet is in one record.
    """
    length = world.inventory.policy.usage_interval_s
    limit = at + timedelta(seconds=max(AHEAD_S, length))
    for key in known(world):
        meter = current(world, key)
        if meter is not None and meter.at > limit:
            close_meter(world, key, at, "clock was ahead")
    told = world.sequences
    for until, end in tuple(told.items()):
        if until.startswith(UNTIL) and end > limit.timestamp():
            name = until.removeprefix(UNTIL)
            told[f"usage revision|{name}"] = (told.get(f"usage revision|{name}") or 0) + 1
            told[f"usage ahead|{name}"] = max(told.get(f"usage ahead|{name}") or 0, end)
            told[until] = int(at.timestamp()) // length * length


def hand_over(world: World, service: Service, key: tuple[str, str], at: datetime) -> None:
    """Note that the service may be another account's from `at` on.

    A slot is told to the account the service was of when the slot began. What an older version
    kept does not say whose it is: the account's that has the service.
    """
    meter = current(world, key)
    if meter is None:
        return
    ours = (meter.customer, meter.account) == (service.customer, service.account)
    if not meter.customer:
        meter = replace(meter, customer=service.customer, account=service.account)
    elif ours and meter.handed_over is not None:  # it was taken back
        meter = replace(meter, handed_over=None)
    elif not ours and meter.handed_over is None:
        meter = replace(meter, handed_over=at)
    else:
        return
    world.meters[key] = world.running[key] = meter


def close_meter(
    world: World, key: tuple[str, str], at: datetime, why: str = "metering ended"
) -> None:
    """End a meter for good: tell its open slot, naming the rest of it, and forget it."""
    meter = current(world, key)
    if meter is None:
        return
    world.running[key] = ()
    world.out.meters_gone.append(key)
    name = "|".join(key)
    if not meter.customer:  # of an older version, and the service went meanwhile: nobody's
        world.sequences[f"usage|{name}"] = meter.sequence
        return
    end = boundary(micros(meter.at), world.inventory.policy.usage_interval_s)
    gaps = named(meter.slot_gaps, micros(meter.at), end * MICRO, why)
    record = _record(world, replace(meter, slot_gaps=gaps), end)
    world.sequences[f"usage|{name}"] = record.sequence
    world.sequences[f"{UNTIL}{name}"] = end
    world.out.usage.append(record)
    world.out.notices.append(UsageNotice(record=record, at=at))
