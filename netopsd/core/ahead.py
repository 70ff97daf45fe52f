"""Beliefs dated ahead of the present: the machine's clock was wrong when they were formed.

While we run, our clock never goes back; at a start it may be hours behind what was noted. Left as
they are, alarms would wait for that time to end and tickets to open. Money is not dated back:
time that was booked stays booked (`sla.account`), and only what it was is put right.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from typing import TypeVar

from netopsd.core import sla
from netopsd.core.beliefs import Alarm, DeviceState, Outage, ServiceState, Ticket
from netopsd.core.ordered import Ordered
from netopsd.core.outcome import Beliefs, Outcome
from netopsd.core.slots import micros
from netopsd.core.values import replace

T = TypeVar("T", Alarm, DeviceState, Outage, ServiceState, Ticket)

MORE_THAN = timedelta(seconds=5)  # less passes before anybody minds
OF_ALARM = ("since", "raised_at", "cleared_at", "changed_at", "acked_at", "flap_at")
OF_TICKET = ("opened_at", "changed_at", "resolved_at")
OF_DEVICE = ("since", "first_missed_at", "answered_at")
DATED = ("alarms", "tickets", "devices", "services", "outages", "ordered")


def put_back(beliefs: Beliefs, now: datetime) -> Outcome:
    """Return what must change so that nothing believed has its time still to come."""
    limit = now + MORE_THAN
    out = Outcome()
    late = (one for one in beliefs.alarms.values() if _is_late(one, limit))  # there may be many
    out.alarms = {one.key: one for one in _back(late, OF_ALARM, now)}
    out.tickets = {one.id: one for one in _back(beliefs.tickets.values(), OF_TICKET, now)}
    out.devices = {one.name: one for one in _back(beliefs.devices.values(), OF_DEVICE, now)}
    still_open = (one for one in beliefs.outages.values() if one.ends is None)
    out.outages = {one.id: one for one in _back(still_open, ("starts",), now)}
    for state in beliefs.services.values():
        if state.until > limit:
            key, until = sla.ahead_key(state.service), micros(state.until)
            out.sequences[key] = max(until, beliefs.sequences.get(key, 0))
    services = _back(beliefs.services.values(), ("since", "until"), now)
    out.services = {one.service: one for one in services}
    out.ordered = {one.id: one for one in _begun(beliefs.ordered.values(), now)}
    return out


def count(outcome: Outcome) -> int:
    """Return how many beliefs were put back."""
    return sum(len(getattr(outcome, name)) for name in DATED)


def believed(beliefs: Beliefs, outcome: Outcome) -> Beliefs:
    """Return `beliefs` with what `outcome` changes of them."""
    return Beliefs(
        **{
            one.name: {**getattr(beliefs, one.name), **getattr(outcome, one.name)}
            for one in fields(Beliefs)
        }
    )


def _is_late(alarm: Alarm, limit: datetime) -> bool:
    raised, flap = alarm.raised_at, alarm.flap_at
    return (
        alarm.changed_at > limit
        or (raised is not None and raised > limit)
        or (flap is not None and flap > limit)
    )


def _back(beliefs: Iterable[T], names: tuple[str, ...], now: datetime) -> Iterator[T]:
    for one in beliefs:
        times = {name: getattr(one, name) for name in names}
        late = {name: at for name, at in times.items() if at is not None and at > now}
        if late and max(late.values()) > now + MORE_THAN:
            yield replace(one, **dict.fromkeys(late, now))


def _begun(ordered: Iterable[Ordered], now: datetime) -> Iterator[Ordered]:
    """What was ordered is active from the moment it was: never from one to come."""
    for one in ordered:
        since = one.service.active_from
        if since is not None and since > now + MORE_THAN:
            yield replace(one, service=replace(one.service, active_from=now))
