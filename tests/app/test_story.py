"""A story recorded is a story replayed: same inputs, same judgement."""

from __future__ import annotations

import dataclasses
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import pytest

from netopsd.core.beliefs import Severity
from netopsd.core.engine import decide
from netopsd.core.inventory import Device, Inventory, Policy, Service, Threshold, Tier, Window
from netopsd.core.model import (
    Acknowledge,
    Batch,
    Blind,
    Clocks,
    Event,
    Events,
    Input,
    Layout,
    Reconfigured,
    Resource,
    Shelve,
    Table,
    Tick,
    TicketAct,
)
from netopsd.core.outcome import Beliefs, Outcome
from netopsd.core.restore import restore
from netopsd.errors import NotAllowed
from netopsd.plain import as_plain, from_plain
from netopsd.story import BadStory, Recorder, judge, read

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
PORT = Resource("osl-gw1", "if", "ge-0/0/0")
INVENTORY = Inventory(
    devices={
        "osl-gw1": Device(name="osl-gw1", interval_s=1.0, labels={"role": "core"}),
        "osl-gw2": Device(name="osl-gw2", upstream=(PORT,)),
    },
    thresholds=(
        Threshold(
            alarm="link-down",
            table="if",
            column="ifOperStatus",
            bad=frozenset({2.0, 7.0}),
            only_when=(("ifAdminStatus", 1.0),),
            severity=Severity.CRITICAL,
        ),
    ),
    services={
        "S1": Service(
            id="S1",
            name="Internet",
            customer="acme",
            account="A1",
            zone="Europe/Oslo",
            paths=((PORT,),),
            target=Decimal("0.999"),
            tiers=(Tier(below=Decimal("0.999"), credit=Decimal("0.1")),),
            meters=(PORT,),
        )
    },
    windows=(Window(name="w", starts=START, ends=START, devices=frozenset({"osl-gw2"})),),
    policy=Policy(ticket_hold_s=1.0),
)
LAYOUT = Layout(
    table="if",
    rows=("ge-0/0/0", "ge-0/0/1"),
    index=("1", "2"),
    labels={"ifName": ("ge-0/0/0", "ge-0/0/1")},
    counters=("ifHCInOctets", "ifHCOutOctets"),
    widths=(64, 64),
    gauges=("ifOperStatus", "ifAdminStatus"),
)


def look(second: float, oper: float) -> Batch:
    octets = (2**64 - 4_000_000 + int(second) * 1_000_000) % 2**64  # wraps on the way
    return Batch(
        device="osl-gw1",
        at=START + timedelta(seconds=second),
        mono_s=second,
        took_s=0.01,
        tables=(
            Table(
                LAYOUT,
                np.array([[octets, 1], [octets // 2, 2]], np.uint64),
                np.array([[oper, np.nan], [1.0, 1.0]]),
                np.array([[False, True], [False, False]]),
            ),
        ),
        clocks=Clocks(sys_uptime_ticks=int(1000 + second * 100)),
        facts={"sysName": "osl-gw1"},
        errors={"if.ifAlias": "noSuchInstance"},
    )


def story() -> list[Input]:
    at = START + timedelta(seconds=9)
    inputs: list[Input] = [Tick(START, 0.0)]
    for second, oper in enumerate((1, 1, 2, 2, 2, 2, 1, 1), 1):
        inputs += [look(second, oper), Tick(START + timedelta(seconds=second + 0.5), second + 0.5)]
    trap = Event(
        at=at,
        device="osl-gw1",
        source="192.0.2.1",
        name="1.3.6.1.6.3.1.1.5.3",
        values={"1.3.6.1.2.1.2.2.1.1.2": "2"},
        resource=PORT,
    )
    inputs += [
        Batch(device="osl-gw2", at=at, mono_s=9.0, blind=Blind.UNREACHABLE, why="timeout"),
        Events(at=at, items=(trap,)),
        Acknowledge(at=at, by="kari", alarm="osl-gw1/if/ge-0/0/0!link-down", note="på vei"),
        Shelve(at=at, by="kari", alarm="osl-gw1/if/ge-0/0/0!link-down", until=None),
        TicketAct(at=at, by="kari", ticket="TT-000001", status="inProgress"),
        Reconfigured(at=at, inventory=dataclasses.replace(INVENTORY, windows=())),
    ]
    return inputs


def recorded(inputs: list[Input], beliefs: Beliefs | None = None) -> str:
    file = io.StringIO()
    recorder = Recorder(file)
    recorder.begin(INVENTORY, beliefs or Beliefs())
    for said in inputs:
        recorder.record(said)
    return file.getvalue()


def test_a_recorded_story_is_judged_as_it_was_when_it_happened() -> None:
    told = list(judge(read(io.StringIO(recorded(story())))))
    world = restore(INVENTORY, Beliefs())
    raised = 0
    for (_, said, again), first in zip(told, story(), strict=True):
        assert type(said) is type(first)
        try:
            outcome = decide(world, first)
        except NotAllowed as refusal:
            assert str(again) == str(refusal)
            continue
        assert isinstance(again, Outcome)
        for name in ("alarms", "changes", "tickets", "outages", "periods", "usage", "notices"):
            assert getattr(again, name) == getattr(outcome, name)
        raised += len(outcome.alarms)
        world.apply(outcome)
    assert raised >= 2


def test_numbers_come_back_to_the_last_octet_and_absent_ones_stay_absent() -> None:
    ((_, said),) = read(io.StringIO(recorded([look(1, 2)]))).inputs
    assert isinstance(said, Batch)
    table, first = said.tables[0], look(1, 2).tables[0]
    assert table.counters.dtype == np.uint64
    assert (table.counters == first.counters).all()
    assert np.array_equal(table.gauges, first.gauges, equal_nan=True)
    assert table.missing is not None
    assert first.missing is not None
    assert (table.missing == first.missing).all()
    assert said.clocks == look(1, 2).clocks


def test_a_layout_is_told_once_and_shared_by_the_looks_that_follow() -> None:
    text = recorded([look(1, 1), look(2, 1), look(3, 1)])
    assert text.count('"layout":{"table"') == 1
    batches = [said for _, said in read(io.StringIO(text)).inputs]
    assert all(isinstance(one, Batch) for one in batches)
    layouts = {id(one.tables[0].layout) for one in batches if isinstance(one, Batch)}
    assert len(layouts) == 1


def test_what_was_believed_when_recording_began_is_believed_at_replay() -> None:
    world = restore(INVENTORY, Beliefs())
    for said in story()[:10]:
        world.apply(decide(world, said))
    stored = Beliefs(
        alarms=dict(world.alarms.items()),
        tickets=dict(world.tickets.items()),
        periods=dict(world.periods.items()),
        meters=dict(world.meters.items()),
    )
    assert stored.alarms
    assert stored.meters
    assert read(io.StringIO(recorded([], stored))).beliefs == stored


def test_every_configured_value_survives_the_way_to_json_and_back() -> None:
    assert from_plain(Inventory, json.loads(json.dumps(as_plain(INVENTORY)))) == INVENTORY


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "not JSON"),
        ("[]", "not an object"),
        ("{}", "one key"),
        ('{"tock": {}}', "none of"),
        ('{"tick": {}}', "at"),
        ('{"tick": {"at": "yesterday"}}', "yesterday"),
        ('{"tick": {"at": "2026-11-23T12:00:00"}}', "offset"),
        ('{"tick": {"at": 5}}', "datetime"),
        ('{"tick": {"at": "2026-11-23T12:00:00+00:00", "moon": 1}}', "moon"),
        ('{"tick": []}', "object"),
        ('{"layout": 5}', "one key"),
        ('{"layout": {"id": []}}', "one key"),
        ('{"batch": {"device": "a", "at": "2026-11-23T12:00:00Z", "mono_s": "x"}}', "number"),
        (
            '{"batch": {"device": "a", "at": "2026-11-23T12:00:00Z", "mono_s": 1, "tables":'
            ' [{"layout": 99, "counters": [], "gauges": []}]}}',
            "not told before",
        ),
        (
            '{"batch": {"device": "a", "at": "2026-11-23T12:00:00Z", "mono_s": 1, "blind": "no"}}',
            "no",
        ),
        (
            '{"batch": {"device": "a", "at": "2026-11-23T12:00:00Z", "mono_s": 1, "tables":'
            ' [{"layout": 0, "counters": [[1]], "gauges": [[1, 1], [1, 1]]}]}}',
            "shape",
        ),
        (
            '{"batch": {"device": "a", "at": "2026-11-23T12:00:00Z", "mono_s": 1, "tables":'
            ' [{"layout": 0, "counters": [[1, -1], [1, 1]], "gauges": [[1, 1], [1, 1]]}]}}',
            "negative",
        ),
        ("[" * 5000, "not JSON"),
    ],
)
def test_a_broken_line_is_named_with_its_number_and_reason(line: str, says: str) -> None:
    text = recorded([look(1, 1)]) + line + "\n"
    with pytest.raises(BadStory, match=r"line 4: ") as caught:
        list(read(io.StringIO(text)).inputs)
    assert says in str(caught.value)


@pytest.mark.parametrize("first", ["", "{}", '{"story": 2}', '{"story": 1, "inventory": 3}'])
def test_a_file_that_is_no_story_is_refused_at_its_first_line(first: str) -> None:
    with pytest.raises(BadStory, match="line 1"):
        read(io.StringIO(first))
