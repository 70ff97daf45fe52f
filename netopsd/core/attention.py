"""Whether people should hear of an alarm: what explains it, what was planned, what they made of it.

None of it clears an alarm: that is the instrumentation's word (alarm.py).
"""

from __future__ import annotations

from datetime import datetime

from netopsd.core import agenda
from netopsd.core import alarm as alarms
from netopsd.core.beliefs import Alarm, Phase
from netopsd.core.model import Acknowledge, Shelve
from netopsd.core.outcome import AlarmNotice
from netopsd.core.values import replace
from netopsd.core.world import World


def explain(world: World, alarm: Alarm, root: str, at: datetime, why: str) -> None:
    """Set (or with "" lift) the alarm that explains this one."""
    if alarm.root == root:
        return
    for old, change in ((alarm.root, False), (root, True)):
        if old:
            members = world.symptoms.get(old) or frozenset()
            world.symptoms[old] = members | {alarm.key} if change else members - {alarm.key}
    after = replace(alarm, root=root, why=why, changed_at=at)
    alarms.keep(world, after, "suppressed" if root else "unsuppressed", by="netopsd")


def hush(world: World) -> None:
    """Take back what this input would tell of alarms that it has explained, or found planned.

    Only where it would tell of their raise: who hears that must hear the rest.
    """
    moved, notices = world.out.alarms, world.out.notices
    quiet = {
        now.occurrence_id: now
        for notice in notices
        if isinstance(notice, AlarmNotice)
        and notice.what == "raised"
        and ((now := moved[notice.alarm.key]).root or now.maintenance)
        and now.occurrence == notice.alarm.occurrence
        and now.phase is Phase.ACTIVE
    }
    if not quiet:
        return
    for alarm in quiet.values():
        world.alarms[alarm.key] = replace(alarm, announced=False)
        if newer := world.told.get(alarm.key):
            world.told[alarm.key] = replace(newer, announced=False)
    notices[:] = [
        notice
        for notice in notices
        if not isinstance(notice, AlarmNotice) or notice.alarm.occurrence_id not in quiet
    ]


def maintain(world: World, alarm: Alarm, window: str, at: datetime, why: str) -> None:
    """Mark an alarm as falling into a maintenance window, or lift that mark."""
    if alarm.maintenance != window:
        after = replace(alarm, maintenance=window, why=why, changed_at=at)
        alarms.keep(world, after, "maintenance" if window else "maintenance over", by="netopsd")


def acknowledge(world: World, act: Acknowledge) -> None:
    """Note that a person has seen an alarm, or takes that back."""
    alarm = world.alarms[act.alarm]
    after = replace(
        alarm,
        acked_by="" if act.undo else act.by,
        acked_at=None if act.undo else act.at,
        changed_at=act.at,
        why=act.note or ("acknowledgement withdrawn" if act.undo else "acknowledged"),
    )
    alarms.keep(world, after, "unacked" if act.undo else "acked", by=act.by)


def shelve(world: World, act: Shelve) -> None:
    """Put an alarm out of sight until a time, or back."""
    alarm = world.alarms[act.alarm]
    after = replace(
        alarm,
        shelved_until=act.until,
        shelved_by=act.by if act.until else "",
        changed_at=act.at,
        why=act.note
        or (f"shelved until {act.until:%Y-%m-%d %H:%MZ}" if act.until else "unshelved"),
    )
    alarms.keep(world, after, "shelved" if act.until else "unshelved", by=act.by)
    if act.until is not None:
        agenda.put(world, act.until, "unshelve", alarm.key)


def unshelve_if_due(world: World, key: str, at: datetime) -> None:
    """End a shelving whose time is up."""
    alarm = world.alarms.get(key)
    if alarm is not None and alarm.shelved_until is not None and alarm.shelved_until <= at:
        after = replace(
            alarm, shelved_until=None, shelved_by="", changed_at=at, why="shelving timed out"
        )
        alarms.keep(world, after, "unshelved", by="netopsd")
