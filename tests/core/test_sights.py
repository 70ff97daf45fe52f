"""What a trap says of an alarm, filled field by field, is a Sight like any other."""

from __future__ import annotations

from dataclasses import fields

from hypothesis import given

from netopsd.core import event
from netopsd.core.alarm import Sight
from netopsd.core.model import Event, Resource
from tests.store.strategies import EVENTS, RESOURCES, TEXTS


@given(EVENTS, RESOURCES, TEXTS, TEXTS)
def test_the_sight_of_a_trap_is_whole(e: Event, resource: Resource, alarm: str, why: str) -> None:
    made = event._sight(e, resource, alarm, why)
    plain = Sight(resource=resource, alarm=alarm, why=why, at=e.at, source="trap", times=e.count)
    for field in fields(Sight):
        assert getattr(made, field.name) == getattr(plain, field.name), field.name
    assert event._sight(e, resource, alarm, why, "its key").key == "its key"
