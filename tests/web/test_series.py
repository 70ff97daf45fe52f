"""What the network said, as Prometheus reads it."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isnan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from netopsd.clock import ManualClock
from netopsd.core.fleet import Fleet, Grid, Member, Part, batches
from netopsd.core.inventory import Device
from netopsd.core.model import Batch, Blind, Clocks, Layout, Sweep, Table
from netopsd.web import labelled
from netopsd.web.exposition import label_value
from netopsd.web.series import Series

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
GW1 = Device(name="osl-gw1", site="oslo", interval_s=30.0)
GW2 = Device(name="osl-gw2", site="oslo", interval_s=30.0)


def ports(names: tuple[str, ...], alias: tuple[str, ...] | None = None) -> Layout:
    return Layout(
        table="if",
        rows=names,
        index=tuple(str(i + 1) for i in range(len(names))),
        labels={
            "ifIndex": tuple(str(i + 1) for i in range(len(names))),
            "ifName": names,
            "ifAlias": alias or ("",) * len(names),
        },
        counters=("ifHCInOctets", "ifHCOutOctets"),
        widths=(64, 64),
        gauges=("ifOperStatus",),
    )


def look(
    device: str,
    layout: Layout,
    counters: list[list[int]],
    gauges: list[list[float]],
    missing: list[list[bool]] | None = None,
) -> Batch:
    table = Table(
        layout,
        np.array(counters, dtype=np.uint64),
        np.array(gauges, dtype=np.float64),
        None if missing is None else np.array(missing, dtype=np.bool_),
    )
    return Batch(device=device, at=NOON, mono_s=0.0, tables=(table,))


def text(series: Series) -> str:
    async def collect() -> bytes:
        return b"".join([chunk async for chunk in series.chunks()])

    return asyncio.run(collect()).decode()


def lines(series: Series) -> list[str]:
    return [line for line in text(series).splitlines() if not line.startswith("#")]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(NOON)


@pytest.fixture
def series(clock: ManualClock) -> Series:
    return Series(clock, {"ifHCInOctets": "Octets received. - 1.3.6.1.2.1.31.1.1.1.6"})


def test_names_and_labels_are_those_of_snmp_exporter_with_device_and_site(series: Series) -> None:
    series.take(look("osl-gw1", ports(("eth0",), ("up-link",)), [[17], [18]], [[1.0]]), GW1)
    assert (
        'ifHCInOctets{device="osl-gw1",site="oslo",ifIndex="1",ifName="eth0",ifAlias="up-link"} 17'
        in lines(series)
    )
    assert "# HELP ifHCInOctets Octets received. - 1.3.6.1.2.1.31.1.1.1.6\n" in text(series)
    assert "# TYPE ifHCInOctets counter\n" in text(series)
    assert "# TYPE ifOperStatus gauge\n" in text(series)


def test_every_family_is_one_group_over_all_devices(series: Series) -> None:
    for device in (GW1, GW2):
        series.take(look(device.name, ports(("a", "b")), [[1, 2], [3, 4]], [[1, 2]]), device)
    names = [line.split("{")[0] for line in lines(series)]
    groups = [name for i, name in enumerate(names) if i == 0 or names[i - 1] != name]
    assert len(groups) == len(set(groups))
    assert names.count("ifHCInOctets") == 4
    for family in set(names):
        assert text(series).count(f"# TYPE {family} ") == 1


@given(st.lists(st.integers(min_value=0, max_value=2**64 - 1), min_size=1, max_size=600))
def test_counters_are_exact_to_the_last_octet(values: list[int]) -> None:
    series = Series(ManualClock(NOON))
    names = tuple(f"p{i}" for i in range(len(values)))
    series.take(look("d", ports(names), [values, values], [[1.0] * len(values)]), Device(name="d"))
    told = [line.rsplit(" ", 1)[1] for line in lines(series) if line.startswith("ifHCInOctets{")]
    assert told == [str(value) for value in values]


@given(st.lists(st.floats(allow_nan=True), min_size=1, max_size=40))
def test_gauges_read_back_as_they_were_and_nan_is_left_out(values: list[float]) -> None:
    series = Series(ManualClock(NOON))
    names = tuple(f"p{i}" for i in range(len(values)))
    series.take(
        look("d", ports(names), [[0] * len(values)] * 2, [values]), Device(name="d", site="s")
    )
    told = [line.rsplit(" ", 1)[1] for line in lines(series) if line.startswith("ifOperStatus{")]
    assert [float(text) for text in told] == [value for value in values if not isnan(value)]


def test_what_could_not_be_read_has_no_sample(series: Series) -> None:
    batch = look(
        "osl-gw1",
        ports(("a", "b")),
        [[5, 6], [7, 8]],
        [[1.0, float("nan")]],
        [[True, False], [False, False]],
    )
    series.take(batch, GW1)
    shown = {(line.split("{")[0], line.split('ifName="')[1][0]) for line in lines(series)[1:]}
    assert ("ifHCInOctets", "a") not in shown
    assert ("ifHCInOctets", "b") in shown
    assert ("ifOperStatus", "a") in shown
    assert ("ifOperStatus", "b") not in shown
    assert series.shown == len(shown) + 1  # and netopsd_device_up


def test_a_device_that_does_not_answer_has_only_its_up_at_zero(series: Series) -> None:
    series.take(look("osl-gw1", ports(("a",)), [[1], [2]], [[1.0]]), GW1)
    blind = Batch(device="osl-gw1", at=NOON, mono_s=0.0, blind=Blind.UNREACHABLE)
    series.take(blind, GW1)
    assert lines(series) == ['netopsd_device_up{device="osl-gw1",site="oslo"} 0']


def test_a_look_we_did_not_get_to_says_nothing_about_the_device(series: Series) -> None:
    series.take(look("osl-gw1", ports(("a",)), [[1], [2]], [[1.0]]), GW1)
    before = text(series)
    series.take(Batch(device="osl-gw1", at=NOON, mono_s=0.0, blind=Blind.SKIPPED), GW1)
    assert text(series) == before


def test_numbers_nobody_renews_vanish_after_three_intervals(
    series: Series, clock: ManualClock
) -> None:
    series.take(look("osl-gw1", ports(("a",)), [[1], [2]], [[1.0]]), GW1)
    clock.move(90)
    assert any(line.startswith("ifHCInOctets") for line in lines(series))
    clock.move(1)
    assert lines(series) == []  # and we do not claim that the device is down either


def test_a_table_read_seldom_lives_as_long_as_its_own_interval_says(clock: ManualClock) -> None:
    series = Series(clock, every_s={"if": 300.0})
    series.take(look("osl-gw1", ports(("a",)), [[1], [2]], [[1.0]]), GW1)
    clock.move(290)
    series.take(Batch(device="osl-gw1", at=NOON, mono_s=0.0), GW1)
    assert any(line.startswith("ifHCInOctets") for line in lines(series))
    clock.move(620)
    series.take(Batch(device="osl-gw1", at=NOON, mono_s=0.0), GW1)
    assert not any(line.startswith("ifHCInOctets") for line in lines(series))


def test_a_new_walk_brings_new_labels(series: Series) -> None:
    series.take(look("osl-gw1", ports(("old",)), [[1], [2]], [[1.0]]), GW1)
    assert 'ifName="old"' in text(series)
    series.take(look("osl-gw1", ports(("new",)), [[1], [2]], [[1.0]]), GW1)
    assert 'ifName="new"' in text(series)
    assert 'ifName="old"' not in text(series)


def test_a_device_moved_to_another_site_says_so_at_once(series: Series) -> None:
    layout = ports(("a",))
    series.take(look("osl-gw1", layout, [[1], [2]], [[1.0]]), GW1)
    text(series)
    series.take(look("osl-gw1", layout, [[1], [2]], [[1.0]]), Device(name="osl-gw1", site="bergen"))
    assert 'site="oslo"' not in text(series)


def test_a_removed_device_is_forgotten(series: Series) -> None:
    series.take(look("osl-gw1", ports(("a",)), [[1], [2]], [[1.0]]), GW1)
    series.retain({"osl-gw2"})
    assert lines(series) == []


def test_sys_uptime_comes_from_the_devices_clock(series: Series) -> None:
    series.take(
        Batch(device="osl-gw1", at=NOON, mono_s=0.0, clocks=Clocks(sys_uptime_ticks=4242)), GW1
    )
    assert 'sysUpTime{device="osl-gw1",site="oslo"} 4242' in lines(series)


def table(name: str, labels: dict[str, tuple[str, ...]], gauges: dict[str, list[float]]) -> Table:
    rows = next(iter(labels.values()))
    layout = Layout(
        table=name, rows=rows, index=rows, labels=labels, counters=(), widths=(),
        gauges=tuple(gauges),
    )  # fmt: skip
    return Table(layout, np.zeros((0, len(rows)), np.uint64), np.array(list(gauges.values())))


def told(series: Series, *tables: Table) -> list[str]:
    series.take(Batch(device="osl-gw1", at=NOON, mono_s=0.0, tables=tables), GW1)
    front = 'device="osl-gw1",site="oslo",'
    return [line.replace(front, "") for line in lines(series) if not line.startswith("netopsd")]


def test_two_tables_of_a_device_with_a_column_of_one_name_are_both_shown(series: Series) -> None:
    bgp = table("bgp", {"peer": ("10.0.0.1",)}, {"state": [6.0]})
    ospf = table("ospf", {"neighbor": ("10.0.0.2", "10.0.0.3")}, {"state": [8.0, 1.0]})
    assert told(series, bgp, ospf) == [
        'state{peer="10.0.0.1"} 6',
        'state{neighbor="10.0.0.2"} 8',
        'state{neighbor="10.0.0.3"} 1',
    ]


def test_of_two_tables_with_one_row_in_common_that_row_is_shown_once(series: Series) -> None:
    first = table("if", {"ifName": ("a", "b"), "ifAlias": ("", "x")}, {"speed": [1.0, 2.0]})
    second = table(
        "port", {"ifAlias": ("x", "x", ""), "ifName": ("b", "c", "a")}, {"speed": [7.0, 8.0, 9.0]}
    )
    other = table("lag", {"ifName": ("a", "d")}, {"speed": [5.0, 6.0]})
    for _ in range(2):  # an empty label is none, the order of labels says nothing
        assert told(series, first, second, other) == [
            'speed{ifName="a",ifAlias=""} 1',
            'speed{ifName="b",ifAlias="x"} 2',
            'speed{ifAlias="x",ifName="c"} 8',
            'speed{ifName="d"} 6',
        ]
    new = table("if", {"ifName": ("c",), "ifAlias": ("x",)}, {"speed": [3.0]})  # a new walk
    assert told(series, new, second, other) == [
        'speed{ifName="c",ifAlias="x"} 3',
        'speed{ifAlias="x",ifName="b"} 7',
        'speed{ifAlias="",ifName="a"} 9',
        'speed{ifName="d"} 6',
    ]


def test_two_columns_whose_names_become_one_are_no_series_told_twice(series: Series) -> None:
    both = table("x", {"i": ("1",)}, {"in-octets": [1.0], "in.octets": [2.0]})
    assert told(series, both) == ['in_octets{i="1"} 1']


def test_a_device_watched_by_two_collectors_shows_nothing_twice(series: Series) -> None:
    snmp = look("osl-gw1", ports(("a",)), [[1], [2]], [[1.0]])
    netconf = Batch(
        device="osl-gw1", at=NOON, mono_s=0.0, tables=snmp.tables, source="netconf",
        clocks=Clocks(sys_uptime_ticks=1),
    )  # fmt: skip
    series.take(snmp, GW1)
    series.take(netconf, GW1)
    keys = [line.rsplit(" ", 1)[0] for line in lines(series)]
    assert len(keys) == len(set(keys))


def test_two_tables_with_one_column_name_are_one_group(series: Series) -> None:
    mine = ports(("a",))
    other = Layout(
        table="mine", rows=("a",), index=("1",), labels={"ifIndex": ("1",)},
        counters=("ifHCInOctets",), widths=(64,), gauges=(),
    )  # fmt: skip
    second = Table(other, np.array([[9]], dtype=np.uint64), np.empty((0, 1)))
    both = (*look("osl-gw1", mine, [[1], [2]], [[1.0]]).tables, second)
    series.take(Batch(device="osl-gw1", at=NOON, mono_s=0.0, tables=both), GW1)
    assert text(series).count("# TYPE ifHCInOctets ") == 1
    assert sum(line.startswith("ifHCInOctets{") for line in lines(series)) == 2


def test_rows_that_labels_cannot_tell_apart_are_numbered(series: Series) -> None:
    layout = Layout(
        table="t", rows=("x" * 999 + "1", "x" * 999 + "2"), index=("1", "2"),
        labels={"name": ("x" * 999 + "1", "x" * 999 + "2")},
        counters=(), widths=(), gauges=("temperature",),
    )  # fmt: skip
    table = Table(layout, np.empty((0, 2), dtype=np.uint64), np.array([[20.5, 21.0]]))
    series.take(Batch(device="osl-gw1", at=NOON, mono_s=0.0, tables=(table,)), GW1)
    told = [line for line in lines(series) if line.startswith("temperature")]
    assert len({line.rsplit(" ", 1)[0] for line in told}) == 2


def test_an_endless_table_is_cut_and_the_rest_counted(series: Series) -> None:
    rows = labelled.LONGEST_TABLE + 7
    names = tuple(f"p{i}" for i in range(rows))
    series.take(look("osl-gw1", ports(names), [[1] * rows] * 2, [[1.0] * rows]), GW1)
    told = [line for line in lines(series) if line.startswith("ifHCInOctets")]
    assert len(told) == labelled.LONGEST_TABLE
    assert series.hidden == 7


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ('a"b', 'a\\"b'),
        ("a\\b", "a\\\\b"),
        ("a\nb", "a\\nb"),
        ('"} 1\nnetopsd_device_up{device="x', '\\"} 1\\nnetopsd_device_up{device=\\"x'),
        ("\x1b[31m", "\\\\x1b[31m"),
        ("\x00", "\\\\x00"),
        ("\u202egnp", "\\\\u202egnp"),
        ("\udcff", "\ufffd"),
        ("æøå 100% %s %d", "æøå 100% %s %d"),
        ("x" * 300, "x" * 256 + "…"),
    ],
)
def test_what_a_device_says_stays_inside_its_quotes(said: str, shown: str) -> None:
    assert label_value(said) == shown


@given(st.dictionaries(st.text(max_size=9), st.text(max_size=40), max_size=3), st.text())
def test_no_string_of_a_device_breaks_the_text(names: Mapping[str, str], alias: str) -> None:
    series = Series(ManualClock(NOON))
    labels = {name: (value,) for name, value in names.items()}
    layout = Layout(
        table="if", rows=("a",), index=("1",), labels={**labels, "ifAlias": (alias,)},
        counters=("ifHCInOctets",), widths=(64,), gauges=(),
    )  # fmt: skip
    device = Device(name=alias or "d", site=alias)
    table = Table(layout, np.array([[7]], dtype=np.uint64), np.empty((0, 1)))
    series.take(Batch(device=device.name, at=NOON, mono_s=0.0, tables=(table,)), device)
    families = list(text_string_to_metric_families(text(series)))
    samples = [(sample.name, sample.value) for family in families for sample in family.samples]
    assert samples == [("netopsd_device_up", 1.0), ("ifHCInOctets_total", 7.0)]  # its own suffix


def test_a_column_cannot_pass_for_one_of_our_own(series: Series) -> None:
    layout = Layout(
        table="t", rows=("a",), index=("1",), labels={"device": ("other",), "0 bad": ("x",)},
        counters=(), widths=(), gauges=("netopsd_device_up", "9 lives"),
    )  # fmt: skip
    table = Table(layout, np.empty((0, 1), dtype=np.uint64), np.array([[1.0], [9.0]]))
    series.take(Batch(device="osl-gw1", at=NOON, mono_s=0.0, tables=(table,)), GW1)
    told = lines(series)
    assert sum(line.startswith("netopsd_device_up{") for line in told) == 1
    assert any(line.startswith("_9_lives{") for line in told)
    assert all('exported_device="other"' in line for line in told[1:])


def test_who_is_no_longer_watched_keeps_no_sweep_in_memory() -> None:
    layout = ports(("ge-0/0/1",))
    part = Part(layout, Grid(0, 2, (2, 1), None, None), Grid(2, 1, (1, 1), None, None))
    fleet = Fleet.of((Member(device="osl-gw1", size=3, parts=(part,), clocks={}),))
    sweep = Sweep(
        at=NOON, mono_s=0.0, fleet=fleet, present=np.array([True]), when_s=np.zeros(1),
        took_s=np.zeros(1), numbers=np.array([7, 8, 1, 0], np.uint64),
    )  # fmt: skip
    series = Series(ManualClock(NOON))
    series.take_sweep(sweep, {"osl-gw1": GW1})
    assert 'ifHCOutOctets{device="osl-gw1"' in text(series)
    series.take_sweep(sweep, {"osl-gw1": GW1})
    known = weakref.ref(fleet)

    series.retain(())
    del sweep, fleet
    gc.collect()

    assert known() is None


def _fleet(*names: str) -> Fleet:
    layout = ports(("ge-0/0/1",))
    part = Part(layout, Grid(0, 2, (2, 1), None, None), Grid(2, 1, (1, 1), None, None))
    return Fleet.of(tuple(Member(device=name, size=3, parts=(part,), clocks={}) for name in names))


@pytest.mark.parametrize("seed", range(20))
def test_sweeps_show_what_their_looks_would_one_by_one(seed: int) -> None:
    dice = random.Random(seed)
    names = ("a", "b", "c", "d", "e")
    devices = {name: Device(name=name, interval_s=5.0) for name in names}
    clock = ManualClock(NOON)
    together, alone = Series(clock), Series(clock)
    fleets = [_fleet(*names), _fleet(*names[1:])]
    for _ in range(60):
        clock.move(dice.choice((0.0, 1.0, 5.0, 12.0)))
        if dice.random() < 0.7:
            fleet = dice.choice(fleets)
            n = len(fleet.names)
            sweep = Sweep(
                at=clock.now(), mono_s=clock.mono_s(), fleet=fleet, took_s=np.zeros(n),
                present=np.array([dice.random() < 0.8 for _ in range(n)]),
                when_s=np.full(n, clock.mono_s()),
                numbers=np.array([dice.randrange(1000) for _ in range(fleet.size)], np.uint64),
            )  # fmt: skip
            together.take_sweep(sweep, devices)
            for batch in batches(sweep):
                alone.take(batch, devices[batch.device])
        elif dice.random() < 0.5:
            why = dice.choice((Blind.UNREACHABLE, Blind.SKIPPED))
            batch = Batch(
                device=dice.choice(names), at=clock.now(), mono_s=clock.mono_s(), blind=why
            )
            together.take(batch, devices[batch.device])
            alone.take(batch, devices[batch.device])
        elif dice.random() < 0.3:
            devices = dict(devices)  # a reload
            together.retain(devices)
            alone.retain(devices)
        if dice.random() < 0.4:
            assert sorted(lines(together)) == sorted(lines(alone))


def test_the_dead_keep_no_sweep_in_memory() -> None:
    series, devices = Series(ManualClock(NOON)), {name: Device(name=name) for name in ("a", "b")}
    fleet = _fleet("a", "b")

    def sweep(*present: bool, of: Fleet = fleet) -> weakref.ref[Any]:
        numbers = np.arange(of.size, dtype=np.uint64)
        n = len(present)
        told = Sweep(
            at=NOON, mono_s=0.0, fleet=of, present=np.array(present), when_s=np.zeros(n),
            took_s=np.zeros(n), numbers=numbers,
        )  # fmt: skip
        series.take_sweep(told, devices)
        return weakref.ref(numbers)

    known = sweep(True, True)
    series.take(Batch(device="a", at=NOON, mono_s=0.0, blind=Blind.UNREACHABLE), devices["a"])
    sweep(False, True)
    gc.collect()

    assert known() is None
    known = sweep(True, True)
    assert sum(line.startswith("ifHCInOctets") for line in lines(series)) == 2
    series.take(Batch(device="a", at=NOON, mono_s=0.0, blind=Blind.UNREACHABLE), devices["a"])
    sweep(True, of=_fleet("b"))  # the others have found another squad
    assert sum(line.startswith("ifHCInOctets") for line in lines(series)) == 1
    gc.collect()

    assert known() is None
