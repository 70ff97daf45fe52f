"""What a storm makes ten thousand times a second, made by name: moved alarms, and what tells of it.

The same as the dataclasses' own constructors make, at a quarter of the price: a frozen value is
filled dearly, so its twin is filled, which has the same slots and is not frozen, and then becomes
the value. `values.replace` does that for any value, field by field.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from netopsd.core.beliefs import Alarm, Change, Phase, Severity
from netopsd.core.model import Event, Resource
from netopsd.core.outcome import AlarmNotice


class _Alarm:
    __slots__ = Alarm.__slots__


class _Change:
    __slots__ = Change.__slots__


class _Notice:
    __slots__ = AlarmNotice.__slots__


class _Resource:
    __slots__ = Resource.__slots__


class _Event:
    __slots__ = Event.__slots__


def blank() -> Any:
    """Return an alarm of nothing yet, to be filled in every field; `closed` makes it an alarm."""
    return _Alarm()


def opened(alarm: Alarm) -> Any:
    """Return a copy of `alarm` that can be filled; `closed` makes it an alarm again."""
    new: Any = _Alarm()
    new.key = alarm.key
    new.resource = alarm.resource
    new.alarm = alarm.alarm
    new.qualifier = alarm.qualifier
    new.type = alarm.type
    new.severity = alarm.severity
    new.probable_cause = alarm.probable_cause
    new.text = alarm.text
    new.why = alarm.why
    new.phase = alarm.phase
    new.occurrence = alarm.occurrence
    new.since = alarm.since
    new.raised_at = alarm.raised_at
    new.cleared_at = alarm.cleared_at
    new.changed_at = alarm.changed_at
    new.source = alarm.source
    new.count = alarm.count
    new.acked_by = alarm.acked_by
    new.acked_at = alarm.acked_at
    new.shelved_until = alarm.shelved_until
    new.shelved_by = alarm.shelved_by
    new.flapping = alarm.flapping
    new.flap_weight = alarm.flap_weight
    new.flap_at = alarm.flap_at
    new.root = alarm.root
    new.maintenance = alarm.maintenance
    new.announced = alarm.announced
    return new


def closed(new: Any) -> Alarm:
    """Return what `opened` gave, filled, as the alarm it is now. Do not fill it any further."""
    new.__class__ = Alarm
    alarm: Alarm = new
    return alarm


def change(alarm: Alarm, what: str, by: str) -> Change:
    """Return the line of history that says `by` whom `alarm` has just become what it is."""
    new: Any = _Change()
    new.alarm = alarm.key
    new.occurrence = alarm.occurrence
    new.at = alarm.changed_at
    new.what = what
    new.by = by
    new.why = alarm.why
    new.severity = Severity.CLEARED if alarm.phase is Phase.CLEARED else alarm.severity
    new.__class__ = Change
    made: Change = new
    return made


def notice(alarm: Alarm, what: str) -> AlarmNotice:
    """Return the notice that `alarm` was raised, changed or cleared."""
    new: Any = _Notice()
    new.alarm = alarm
    new.what = what
    new.at = alarm.changed_at
    new.__class__ = AlarmNotice
    made: AlarmNotice = new
    return made


def resource(device: str, table: str, row: str) -> Resource:
    """Return the Resource of a row."""
    new: Any = _Resource()
    new.device = device
    new.table = table
    new.row = row
    new.__class__ = Resource
    made: Resource = new
    return made


def event(
    at: datetime, device: str, source: str, name: str, values: Mapping[str, str], count: int
) -> Event:
    """Return the Event of `count` equal traps that nothing vouches for."""
    new: Any = _Event()
    new.at = at
    new.device = device
    new.source = source
    new.name = name
    new.values = values
    new.authenticated = new.confirmed = False
    new.count = count
    new.alarm = new.severity = new.text = ""
    new.resource = None
    new.__class__ = Event
    made: Event = new
    return made
