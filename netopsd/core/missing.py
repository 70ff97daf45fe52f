"""The port of a service that is gone, row and all (a pulled card): no rule sees what is not."""

from __future__ import annotations

from datetime import datetime

from netopsd.core import alarm as alarms
from netopsd.core import cause
from netopsd.core.alarm import Seen, Sight
from netopsd.core.beliefs import AlarmType, Severity, alarm_key
from netopsd.core.model import Resource
from netopsd.core.world import World

ALARM = "port-missing"
WHY = "the row is gone"


def known(world: World, resource: Resource) -> bool:
    """Whether it is known that the row was there and is gone."""
    return (
        bool(world.by_device.get(resource.device))
        and cause.active(world, alarm_key(resource, ALARM)) is not None
    )


def say(world: World, resource: Resource, gone: bool, at: datetime) -> None:
    """Raise an alarm where the port of a service has vanished: no rule can, there is no row."""
    if gone == known(world, resource):
        return
    alarms.see(
        world,
        Seen.BAD_FOR_LONG if gone else Seen.GOOD,
        Sight(
            resource=resource,
            alarm=ALARM,
            type=AlarmType.EQUIPMENT,
            severity=Severity.MAJOR,
            probable_cause="equipmentMalfunction",
            text=f"{resource.device} {resource.row}, which carries a service, is gone",
            why=WHY if gone else "the row is back",
            at=at,
            source="self",
        ),
    )
