"""Rows against rules: what one look at a device says of its alarms."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from netopsd.core import agenda, rates, rules
from netopsd.core import alarm as alarms
from netopsd.core.alarm import Seen as Told
from netopsd.core.alarm import Sight
from netopsd.core.beliefs import AlarmType, Phase, Severity, alarm_key
from netopsd.core.inventory import Device
from netopsd.core.looks import Look, Rows, Seen, TableLook
from netopsd.core.model import Batch, Resource, Table
from netopsd.core.rates import Restart
from netopsd.core.rules import RulePlan
from netopsd.core.values import replace
from netopsd.core.world import World

RESTARTED = "device-restarted"
RESTARTED_S = 300.0


def judge(world: World, device: Device, before: Look | None, batch: Batch) -> Look:
    """Judge every table of a look and return it for the next one to be compared with."""
    last = before.seen.get(batch.source) if before is not None else None
    restarted_s = last.restarted_s if last is not None else -math.inf
    if last is not None:
        restart = rates.restarted(last.clocks, batch.clocks, batch.mono_s - last.mono_s)
        if restart is not Restart.NONE:
            restarted_s = batch.mono_s
        if restart is Restart.DEVICE:
            _say_restarted(world, device, batch, restart)
    tables: dict[str, TableLook] = {}
    for table in batch.tables:
        was = before.tables.get(table.layout.table) if before is not None else None
        usable = batch.mono_s - was.mono_s if was and was.mono_s > restarted_s else 0.0
        tables[table.layout.table] = _judge_table(world, was, table, (usable, batch))
    seen = {batch.source: Seen(batch.at, batch.mono_s, batch.clocks, restarted_s)}
    if before is not None:
        # A table read less often than the rest, or by another source, keeps its latest values.
        if not tables.keys() >= before.tables.keys():
            tables = {**before.tables, **tables}
        if len(before.seen) > 1 or batch.source not in before.seen:
            seen = {**before.seen, **seen}
    _see_good(world, device.name, tables, batch)
    at = batch.at if before is None else max(before.at, batch.at)
    return Look(at=at, seen=seen, tables=tables)


def _say_restarted(world: World, device: Device, batch: Batch, restart: Restart) -> None:
    resource = Resource(device.name)
    alarms.see(
        world,
        Told.BAD_FOR_LONG,
        Sight(
            resource=resource,
            alarm=RESTARTED,
            type=AlarmType.EQUIPMENT,
            severity=Severity.WARNING,
            probable_cause="equipmentRestart",
            text=f"{device.name} restarted",
            why=f"{restart}, by its own clocks",
            at=batch.at,
        ),
    )
    key = alarm_key(resource, RESTARTED)
    agenda.put(world, batch.at + agenda.seconds(RESTARTED_S), "momentary", key)


def _judge_table(
    world: World,
    was: TableLook | None,
    table: Table,
    look: tuple[float, Batch],
) -> TableLook:
    elapsed, batch = look
    layout = table.layout
    thresholds = world.index.thresholds.get(layout.table, ())
    same = was is not None and was.table.layout is layout and was.plan.thresholds is thresholds
    if was is not None and same:
        plan, where = was.plan, was.where
    else:
        plan = RulePlan.of(layout, thresholds)
        where = {row: i for i, row in enumerate(layout.rows)}
    grown = None
    if plan.rated and was is not None and was.table.layout is layout and elapsed > 0:
        grown = rates.deltas(plan.counters, was.table, table, elapsed)
    known = was.bad if was is not None and same else _remembered(world, batch.device, plan, where)
    bad = rules.judge(plan, table, grown, known)
    now = TableLook(
        at=batch.at,
        mono_s=batch.mono_s,
        clocks=batch.clocks,
        table=table,
        plan=plan,
        bad=bad,
        where=where,
        grown=grown,
    )
    if bad is not known:
        _see_bad(world, now, bad & ~known, batch)
    return now


def _remembered(world: World, device: str, plan: RulePlan, where: Mapping[str, int]) -> rules.Bools:
    """Return which rows have their alarm up or waiting: all we know after a restart or new walk."""
    bad = np.zeros((len(plan.rules), len(where)), np.bool_)
    waiting = [world.pending.get(key) or None for key in world.waiting.get(device) or ()]
    up = [world.alarms[key] for key in world.by_device.get(device) or ()]
    for alarm in (*up, *waiting):
        if alarm is None:
            continue  # it waits no longer
        rule, row = plan.by_alarm.get(alarm.alarm), where.get(alarm.resource.row)
        if alarm.resource.table == plan.layout.table and rule is not None and row is not None:
            bad[rule, row] = True
    return bad


def _see_bad(world: World, now: TableLook, new: rules.Bools, batch: Batch) -> None:
    """Rows that turned bad; those that must hold for long are seen again by `_see_good`."""
    if not new.any():
        return
    device = batch.device
    for i, row in np.argwhere(new).tolist():
        sight = _sight(now, i, row, batch)
        alarms.see(world, Told.BAD, sight)
        if world.pending.get(sight.key):
            waiting = world.waiting.get(device) or ()
            if sight.key not in waiting:
                world.waiting[device] = (*waiting, sight.key)
        elif (known := world.alarms.get(sight.key)) is None or known.phase is not Phase.ACTIVE:
            now.bad[i, row] = False  # refused (too many alarms): news again at the next look


def _sight(look: TableLook, i: int, row: int, batch: Batch) -> Sight:
    """Say what is wrong with one row, in the operator's words and with its number."""
    rule, layout = look.plan.rules[i], look.plan.layout
    threshold = rule.threshold
    name = layout.rows[row]
    value = float(rules.numbers(rule, look.table, look.grown)[row])
    labels = {label: texts[row] for label, texts in layout.labels.items()}
    words = {**labels, "device": batch.device, "row": name, "column": threshold.column}
    held = f", held for {threshold.hold_s:g} s" if threshold.hold_s else ""
    return Sight(
        resource=Resource(batch.device, layout.table, name),
        alarm=threshold.alarm,
        type=threshold.type,
        severity=threshold.severity,
        probable_cause=threshold.probable_cause,
        text=fill(threshold.text or "{device} {row}: {column}", {**words, "value": f"{value:.6g}"}),
        why=f"{threshold.column} of {name} is {value:.6g}{held}",
        at=batch.at,
        hold_s=threshold.hold_s,
    )


def fill(text: str, words: Mapping[str, str]) -> str:
    """Put `words` into an operator's text; what it does not know stays as written."""
    out = text
    for key, value in words.items():
        out = out.replace("{" + key + "}", value)
    return out


def _see_good(world: World, device: str, tables: Mapping[str, TableLook], batch: Batch) -> None:
    """Alarms of this device that are up or waiting, against what the look says of them."""
    waiting = world.waiting.get(device) or ()
    if waiting:
        world.waiting[device] = tuple(k for k in waiting if _see_again(world, k, tables, batch))
    keys = world.by_device.get(device)
    for key in sorted(keys) if keys else ():
        _see_again(world, key, tables, batch)


def _see_again(world: World, key: str, tables: Mapping[str, TableLook], batch: Batch) -> bool:
    """See one known alarm again; True while it still waits for its hold time."""
    known = world.pending.get(key) or world.alarms.get(key)
    if not known:
        return False
    table = tables.get(known.resource.table)
    if table is None or table.at is not batch.at:
        return bool(world.pending.get(key))
    rule = table.plan.by_alarm.get(known.alarm)
    if rule is None:
        if world.pending.get(key):
            world.pending[key] = ()  # the rule it waited for is gone
        return False
    row = table.where.get(known.resource.row)
    if row is None:
        why = f"{known.resource.row} is gone from {known.resource.table}"
        sight = Sight(resource=known.resource, alarm=known.alarm, why=why, at=batch.at)
        alarms.see(world, Told.GOOD, sight)
        return False
    if not table.bad[rule, row]:
        why = f"{table.plan.rules[rule].threshold.column} of {known.resource.row} is good again"
        sight = Sight(resource=known.resource, alarm=known.alarm, why=why, at=batch.at)
        alarms.see(world, Told.GOOD, sight)
    elif known.phase is Phase.PENDING or known.flapping:
        # What was not read stays bad in `table.bad`, and that is no news: neither good nor bad.
        told = Told.BAD if _was_read(table, rule, row) else Told.NOTHING
        alarms.see(world, told, _sight(table, rule, row, batch))
    return bool(world.pending.get(key))


def _was_read(look: TableLook, i: int, row: int) -> bool:
    """Whether a row's number, and all that the rule asks for besides, was read in this look."""
    rule = look.plan.rules[i]
    number = float(rules.numbers(rule, look.table, look.grown)[row])
    conditions = (float(look.table.gauges[column, row]) for column, _ in rule.when)
    return not any(map(math.isnan, (number, *conditions)))


def row_called(rows: Rows | None, word: str) -> str:
    """Return the name of the row whose index or name is `word`; "#word" where there is none."""
    if rows is not None:
        layout, where = rows
        try:
            return layout.rows[layout.index.index(word)]
        except ValueError:
            if word in where:
                return word
    return f"#{word}"


def judge_anew(world: World, resource: Resource, alarm: str) -> None:
    """Let the next look raise `alarm` again: something other than a look has ended it."""
    seen = world.look(resource.device)
    table = seen.tables.get(resource.table) if seen is not None else None
    if seen is None or table is None:
        return
    rule, row = table.plan.by_alarm.get(alarm), table.where.get(resource.row)
    if rule is None or row is None or not table.bad[rule, row]:
        return
    bad = table.bad.copy()
    bad[rule, row] = False
    tables = {**seen.tables, resource.table: replace(table, bad=bad)}
    world.looks[resource.device] = replace(seen, tables=tables)
