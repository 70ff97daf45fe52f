"""Values made by name are those the dataclasses make: every field, and nothing beside."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from dataclasses import replace as replaced

import pytest
from hypothesis import given

from netopsd.core import copies
from netopsd.core.beliefs import Alarm, Change, Phase, Severity
from netopsd.core.model import Event, Resource
from netopsd.core.outcome import AlarmNotice
from tests.store.strategies import EVENTS, TEXTS, any_of

ALARMS = any_of(Alarm)


@given(ALARMS)
def test_an_alarm_opened_and_closed_is_the_same_alarm(alarm: Alarm) -> None:
    again = copies.closed(copies.opened(alarm))
    assert again == alarm
    assert type(again) is Alarm
    assert again is not alarm


@given(ALARMS, ALARMS)
def test_an_alarm_filled_field_by_field_is_one_replaced(alarm: Alarm, other: Alarm) -> None:
    filled, blank = copies.opened(alarm), copies.blank()
    for field in fields(Alarm):
        setattr(filled, field.name, getattr(other, field.name))
        setattr(blank, field.name, getattr(other, field.name))
    assert copies.closed(filled) == copies.closed(blank) == other
    why = copies.opened(alarm)
    why.why = other.why
    assert copies.closed(why) == replaced(alarm, why=other.why)


@given(ALARMS)
def test_what_is_closed_is_frozen(alarm: Alarm) -> None:
    with pytest.raises(FrozenInstanceError):
        copies.closed(copies.opened(alarm)).text = "other"  # type: ignore[misc]


@given(ALARMS, TEXTS, TEXTS)
def test_history_and_notice_are_those_of_the_alarm(alarm: Alarm, what: str, by: str) -> None:
    severity = Severity.CLEARED if alarm.phase is Phase.CLEARED else alarm.severity
    assert copies.change(alarm, what, by) == Change(
        alarm=alarm.key,
        occurrence=alarm.occurrence,
        at=alarm.changed_at,
        what=what,
        by=by,
        why=alarm.why,
        severity=severity,
    )
    assert copies.notice(alarm, what) == AlarmNotice(alarm=alarm, what=what, at=alarm.changed_at)


@given(TEXTS, TEXTS, TEXTS)
def test_a_resource_is_found_by_its_equal(device: str, table: str, row: str) -> None:
    made = copies.resource(device, table, row)
    assert {Resource(device, table, row): "here"}[made] == "here"


@given(EVENTS)
def test_a_traps_event_is_one_that_nothing_vouches_for(e: Event) -> None:
    made = copies.event(e.at, e.device, e.source, e.name, e.values, e.count)
    assert made == Event(
        at=e.at, device=e.device, source=e.source, name=e.name, values=e.values, count=e.count
    )
