"""What a look says of the rows it was planned for: that they may be others by now. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from collectors.snmp_poll.engine import Values
from collectors.snmp_poll.look import IDLE_WALKS, LookPlan
from collectors.snmp_poll.parse import ABSENCES
from collectors.snmp_poll.uptime import Uptime, began_anew
from netopsd.core.fleet import NEGATIVE

TOO_OFTEN = "the rows change too often to follow"
NOT_LEARNT = "the rows may have changed and could not be learnt anew"
ABSENT, RESTART, WATCH = "absent", "uptime", "watch"  # what says that rows changed


def uptime_of(plan: LookPlan, values: Values) -> Uptime | None:
    """Return sysUpTime, None where it was not read, or is below zero."""
    for slot, name, *_ in plan.clocks:
        if name == "sys_uptime_ticks" and slot not in values.wrong:
            ticks = int(values.raw[slot])
            return Uptime(ticks, values.mono_s) if ticks < NEGATIVE else None
    return None


def uptime_after(plan: LookPlan, values: Values, before: Uptime) -> Uptime:
    """Return sysUpTime as last seen, after this look; as never seen, where it is no more."""
    for slot, name, *_ in plan.clocks:
        if name == "sys_uptime_ticks" and values.wrong.get(slot) in ABSENCES:
            return Uptime()
    return uptime_of(plan, values) or before


def restarted(plan: LookPlan, values: Values, before: Uptime) -> bool:
    """Return whether the device restarted since sysUpTime was `before`, shortly ago."""
    now = uptime_of(plan, values)
    if now is None:
        return False
    return bool(began_anew(before.ticks, now.ticks, now.seen_s - before.seen_s))


def stale(plan: LookPlan, values: Values, restart: bool) -> dict[str, str]:
    """Return the tables whose rows may have changed, and what says so."""
    found: dict[str, str] = {}
    if restart:
        found = {s.layout.table: RESTART for s in plan.segments if not s.learnt.spec.scalar}
    for slot, learnt, oid in plan.watch:
        known = learnt.watch.get(oid)
        if known is None or slot in values.wrong or learnt.idle_walks >= IDLE_WALKS:
            continue
        if int(values.raw[slot]) != known and not learnt.spec.scalar:
            found.setdefault(learnt.spec.name, WATCH)
    if values.wrong:
        lost = [slot for slot, why in values.wrong.items() if why in ABSENCES]
        for segment in plan.segments:
            learnt, span = segment.learnt, segment.slots
            if not learnt.fresh and not learnt.spec.scalar and any(slot in span for slot in lost):
                found.setdefault(segment.layout.table, ABSENT)
    return found


def distrust(plan: LookPlan, values: Values, doubt: Mapping[str, str], why: str) -> Values:
    """Return `values` without the tables whose rows may have been renumbered."""
    for segment in plan.segments:
        if doubt.get(segment.layout.table) in (WATCH, RESTART):
            for slot in segment.slots:
                values.wrong.setdefault(slot, why)
    return values


def distrust_rows(plan: LookPlan, values: Values, tables: Collection[str]) -> None:
    """Leave out of `values` the rows of some tables that are others since they were learnt anew."""
    for segment in plan.segments:
        rows, known = segment.learnt.rows, segment.layout
        if known.table not in tables or rows is None:
            continue
        stayed = set(zip(rows.index, rows.names, strict=True))
        pairs = zip(known.index, known.rows, strict=True)
        others = {index for index, name in pairs if (index, name) not in stayed}
        for slot in segment.slots if others else ():
            if segment.cell(slot)[1] in others:
                values.wrong[slot] = TOO_OFTEN
