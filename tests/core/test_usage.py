"""Octets are conserved: usage and named gaps together are the truth, to the octet."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from netopsd.core.beliefs import UsageRecord
from netopsd.core.engine import decide
from netopsd.core.inventory import Device, Inventory, Policy
from netopsd.core.model import Batch, Blind, Clocks, Layout, Table
from netopsd.core.outcome import Beliefs
from netopsd.core.restore import restore
from netopsd.core.usage import current
from tests.core import network
from tests.core.network import T0, Net, Ports, gold, port

SLOT = 300
PORT = port("pe1", "p1")
KEY = ("s1", str(PORT))


MICRO = timedelta(microseconds=1)


def inventory(zone: str = "Europe/Oslo") -> Inventory:
    return Inventory(
        devices={"pe1": Device(name="pe1", interval_s=30)},
        services={"s1": replace(gold("s1", [PORT], meters=[PORT]), zone=zone)},
        policy=Policy(usage_interval_s=SLOT, checkpoint_s=60),
    )


@dataclass
class Port:
    """A port that knows how many octets really went through it, and what its counters show."""

    width: int = 64
    true_in: int = 0
    true_out: int = 0
    shown_in: int = 0
    shown_out: int = 0
    uptime_s: float = 50_000.0
    discontinuity: float = 0.0
    unread: bool = False  # the discontinuity, in the next look
    speed: float = 1000.0  # Mb/s
    said_in: str = "ifHighSpeed"
    layout: Layout = field(init=False)

    def __post_init__(self) -> None:
        names = (
            ("ifHCInOctets", "ifHCOutOctets") if self.width == 64 else ("ifInOctets", "ifOutOctets")
        )
        self.layout = Layout(
            table="if",
            rows=("p1",),
            index=("1",),
            labels={},
            counters=names,
            widths=(self.width, self.width),
            gauges=("ifOperStatus", self.said_in, "ifCounterDiscontinuityTime"),
        )

    def flow(self, seconds: float, into: int, out: int) -> None:
        self.true_in += into
        self.true_out += out
        mask = (1 << self.width) - 1
        self.shown_in = (self.shown_in + into) & mask
        self.shown_out = (self.shown_out + out) & mask
        self.uptime_s += seconds

    def batch(self, at: datetime) -> Batch:
        counters = np.array([[self.shown_in], [self.shown_out]], dtype=np.uint64)
        discontinuity = math.nan if self.unread else self.discontinuity
        gauges = np.array([[1.0], [self.speed], [discontinuity]])
        ticks = round(self.uptime_s * 100) % 2**32
        return Batch(
            device="pe1",
            at=at,
            mono_s=(at - T0).total_seconds(),
            tables=(Table(self.layout, counters, gauges),),
            clocks=Clocks(sys_uptime_ticks=ticks),
        )


class Metered:
    """netopsd metering one port; may lose looks and be restarted from what it stored."""

    def __init__(self, zone: str = "Europe/Oslo") -> None:
        self.world = restore(inventory(zone))
        self.records: list[UsageRecord] = []
        self.truth: dict[datetime, tuple[int, int]] = {}
        self.shown = (0, 0)

    def look(self, port: Port, at: datetime) -> None:
        self.truth[at] = (port.true_in, port.true_out)
        self.shown = (port.shown_in, port.shown_out)
        self._say(port.batch(at))

    def miss(self, at: datetime) -> None:
        self._say(Batch(device="pe1", at=at, mono_s=0.0, blind=Blind.UNREACHABLE, why="lost"))

    def restart(self) -> None:
        stored = {k: dict(getattr(self.world, k).items()) for k in Beliefs.__slots__}
        self.world = restore(inventory(), Beliefs(**stored))

    def _say(self, batch: Batch) -> None:
        outcome = decide(self.world, batch)
        self.world.apply(outcome)
        self.records += outcome.usage

    def accounted(self) -> tuple[int, int]:
        """Octets told in records, standing in the open slot, and really passed in named gaps."""
        meter = current(self.world, KEY)
        assert meter is not None
        gaps = {g for r in self.records for g in r.gaps} | set(meter.slot_gaps)
        total = [
            sum(r.in_octets for r in self.records) + meter.slot_in,
            sum(r.out_octets for r in self.records) + meter.slot_out,
        ]
        for starts, ends in joined(gaps):
            for i in (0, 1):
                total[i] += self.truth[ends][i] - self.truth[starts][i]
        return total[0], total[1]


def joined(gaps: set[str]) -> list[tuple[datetime, datetime]]:
    """Put gaps cut at slot boundaries together again."""
    spans = sorted(
        (datetime.fromisoformat(a), datetime.fromisoformat(b))
        for text in gaps
        if "not yet metered" not in text
        for a, b in [text.split(" ")[0].split("/")]
    )
    out: list[tuple[datetime, datetime]] = []
    for a, b in spans:
        if out and out[-1][1] == a:
            out[-1] = (out[-1][0], b)
        else:
            out.append((a, b))
    return out


Step = tuple[str, int, int, int]
STEP = st.tuples(
    st.sampled_from(
        ["look"] * 6
        + ["lost", "lost for long", "restart", "reboot", "reset", "cleared", "wrap"]
        + ["unread", "reboot unread", "reboot long ago", "reset long ago"]
    ),
    st.integers(20, 40),  # seconds
    st.integers(0, 2_000_000_000),  # octets in, below 1 Gb/s × 20 s
    st.integers(0, 2_000_000_000),
)


def befall(port: Port, metered: Metered, what: str) -> None:
    """Let something happen to the port or to us."""
    match what:
        case "reboot" | "reboot unread" | "reboot long ago":
            port.shown_in = port.shown_out = 0
            port.uptime_s = 1.0
            port.discontinuity = 0.0  # none since the agent began (RFC 2863)
        case "reset" | "reset long ago":
            port.shown_in = port.shown_out = 0
            port.discontinuity = port.uptime_s * 100
        case "cleared" if any(metered.shown):  # by a command on the router: only the fall shows it
            port.shown_in = port.shown_out = 0
        case "wrap":
            ends = (1 << port.width) - 1000
            port.shown_in = port.shown_out = ends
            port.discontinuity = port.uptime_s * 100
        case "restart":
            metered.restart()
    port.unread = "unread" in what


@settings(max_examples=150, deadline=None)
@given(st.lists(STEP, min_size=3, max_size=60))
@example([("reboot", 20, 0, 0), ("reset", 20, 0, 0), ("reboot", 20, 0, 0), ("reset", 20, 0, 1)])
@example([("reset", 20, 0, 0), ("reboot", 20, 0, 0), ("reboot long ago", 20, 0, 1)])
@example(
    [("reboot", 20, 0, 0), ("reset", 20, 0, 0), ("reboot unread", 20, 0, 0), ("reset", 20, 0, 1)]
)
def test_usage_and_named_gaps_are_the_truth_to_the_octet(steps: list[Step]) -> None:
    port, metered, at = Port(), Metered(), T0
    metered.look(port, at)
    began = metered.truth[at]
    for what, seconds, into, out in steps:
        at += timedelta(seconds=seconds)
        port.flow(seconds, into, out)
        befall(port, metered, what)
        if "long" in what:  # nobody looks, and octets go on
            at += timedelta(seconds=3000)
            port.flow(3000, out, into)
        if "lost" in what:
            metered.miss(at)
        else:
            metered.look(port, at)
    at += timedelta(seconds=30)
    port.flow(30, 1, 1)
    port.unread = False
    metered.look(port, at)

    ended = metered.truth[at]
    assert metered.accounted() == (ended[0] - began[0], ended[1] - began[1])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(5, 10), st.integers(0, 600_000_000)), min_size=5, max_size=80)
)
def test_a_32_bit_counter_that_is_read_often_enough_loses_nothing(
    steps: list[tuple[int, int]],
) -> None:
    port, metered, at = Port(width=32), Metered(), T0
    metered.look(port, at)
    for seconds, octets in steps:
        at += timedelta(seconds=seconds)
        port.flow(seconds, octets, octets // 3)
        metered.look(port, at)

    assert metered.accounted() == metered.truth[at]
    meter = current(metered.world, KEY)
    assert meter is not None
    assert [g for r in metered.records for g in r.gaps if "not yet" not in g] == []


def test_a_32_bit_counter_read_too_rarely_is_a_gap_and_no_guess() -> None:
    port, metered = Port(width=32), Metered()
    metered.look(port, T0)
    port.flow(60, 100, 100)
    metered.look(port, T0 + timedelta(seconds=60))  # wraps in 34 s at 1 Gb/s

    meter = current(metered.world, KEY)
    assert meter is not None
    assert "wrapped unseen" in meter.slot_gaps[-1]
    assert meter.slot_in == 0


UNTOLD, FAST_ETHERNET, BEYOND = math.nan, 100e6, 0xFFFF_FFFF


@pytest.mark.parametrize(
    ("if_speed", "seconds", "octets", "known"),
    [
        (UNTOLD, 900, 900 * 12_500_000, False),  # 100 Mb/s, wrapped twice: 8.6 GB would be lost
        (UNTOLD, 60, 1_000_000, False),
        (UNTOLD, 15, 1_000_000, True),  # even a gigabit port has not wrapped yet
        (UNTOLD, 900, 0, True),  # not moved at all
        (FAST_ETHERNET, 900, 900 * 12_500_000, False),
        (FAST_ETHERNET, 60, 60 * 12_500_000, True),
        (BEYOND, 15, 1_000_000, False),
    ],
)
def test_octets_of_a_port_without_ifxtable_are_known_or_a_gap(
    if_speed: float, seconds: int, octets: int, known: bool
) -> None:
    port, metered = Port(width=32, speed=if_speed, said_in="ifSpeed"), Metered()
    metered.look(port, T0)
    port.flow(seconds, octets, 0)
    metered.look(port, T0 + timedelta(seconds=seconds))

    meter = current(metered.world, KEY)
    assert meter is not None
    gaps = {g.partition(" ")[2] for r in metered.records for g in r.gaps} | set(
        g.partition(" ")[2] for g in meter.slot_gaps
    )
    unseen = "32-bit counter may have wrapped unseen"
    unknown = ", port speed unknown" if math.isnan(if_speed) else ""
    assert gaps == (set() if known else {unseen + unknown})
    assert metered.accounted() == (port.true_in, 0)
    assert sum(r.in_octets for r in metered.records) + meter.slot_in == (octets if known else 0)


def test_a_port_faster_than_ifspeed_can_say_may_be_as_fast_as_it_is() -> None:
    port, metered = Port(speed=BEYOND, said_in="ifSpeed"), Metered()
    metered.look(port, T0)
    port.flow(30, 30_000_000_000, 0)  # 8 Gb/s
    metered.look(port, T0 + timedelta(seconds=30))
    assert metered.accounted() == (30_000_000_000, 0)
    assert not {g for r in metered.records for g in r.gaps}


def test_records_are_sequenced_without_holes_and_never_twice() -> None:
    port, metered, at = Port(), Metered(), T0
    for n in range(200):
        metered.look(port, at)
        port.flow(30, 1000, 10)
        at += timedelta(seconds=30)
        if n % 17 == 5:
            metered.restart()

    assert [r.sequence for r in metered.records] == list(range(1, len(metered.records) + 1))
    assert len({r.key for r in metered.records}) == len(metered.records)
    assert {r.ends - r.starts for r in metered.records} == {timedelta(seconds=SLOT)}
    assert all(r.completeness == Decimal("1.0000") for r in metered.records[1:])


def test_a_long_silence_is_reconstructed_and_says_so() -> None:
    port, metered = Port(), Metered()
    metered.look(port, T0)
    port.flow(3600, 36_000, 3600)
    metered.look(port, T0 + timedelta(hours=1))

    assert len(metered.records) == 12
    assert all(r.reconstructed for r in metered.records)
    assert sum(r.in_octets for r in metered.records) == 36_000
    assert {r.in_octets for r in metered.records} == {3000}


AWAY = st.tuples(
    st.sampled_from(["look", "restart", "reboot long ago"]),
    st.sampled_from([30, 3600, 8 * 3600, 9 * 3600, 96 * 3600, 100 * 3600, 30 * 86_400])
    | st.integers(1, 31 * 86_400)
    | st.integers(31 * 86_400 + 1, 4000 * 86_400),
    st.integers(0, 2**40),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(AWAY, min_size=1, max_size=8))
def test_however_long_nobody_looked_few_records_account_for_all_of_it(
    steps: list[tuple[str, int, int]],
) -> None:
    port, metered, at = Port(), Metered(), T0
    metered.look(port, at)
    for what, seconds, octets in steps:
        port.flow(seconds, min(octets, seconds * 100_000_000), 7)
        befall(port, metered, what)
        at += timedelta(seconds=seconds)
        port.flow(60, 1000, 1)
        at += timedelta(seconds=60)
        before = len(metered.records)
        metered.look(port, at)
        assert len(metered.records) - before <= 120

    assert metered.accounted() == metered.truth[at]
    for one, following in pairwise(metered.records):
        assert one.ends == following.starts
        assert following.sequence == one.sequence + 1
    assert not {r.ends.timestamp() % SLOT for r in metered.records} - {0}
    assert len({r.key for r in metered.records}) == len(metered.records)


def test_a_stop_of_three_days_is_told_by_the_hour_and_one_of_two_weeks_by_the_day() -> None:
    for days, most in ((3, 3600), (14, 86_400)):
        port, metered = Port(), Metered()
        metered.look(port, T0)
        port.flow(days * 86_400, days * 86_400_000, 0)
        metered.look(port, T0 + timedelta(days=days))
        lengths = [round((r.ends - r.starts).total_seconds()) for r in metered.records]
        assert max(lengths) == most
        assert lengths[0] == SLOT  # the open slot is told by itself
        assert all(r.reconstructed and r.completeness == 1 for r in metered.records)
        rates = {r.in_octets / s for r, s in zip(metered.records, lengths, strict=True)}
        assert rates == {1000}


@pytest.mark.parametrize("zone", ["Europe/Oslo", "Asia/Kolkata", "America/Los_Angeles"])
@pytest.mark.parametrize("days", [3, 12])
def test_what_went_through_while_nobody_looked_is_billed_in_the_month_it_came(
    zone: str, days: int
) -> None:
    """A bill ends at a midnight where the customer is: no record goes past one."""
    here = ZoneInfo(zone)
    midnight = datetime(2026, 12, 1, tzinfo=here)
    began = midnight.astimezone(UTC) - timedelta(days=2, minutes=20)
    port, metered = Port(), Metered(zone)
    metered.look(port, began)
    port.flow(days * 86_400, days * 86_400_000, 0)
    metered.look(port, began + timedelta(days=days))
    for record in metered.records:
        first, last = (at.astimezone(here).date() for at in (record.starts, record.ends - MICRO))
        assert first == last
    november = sum(r.in_octets for r in metered.records if r.starts < midnight)
    assert november == (2 * 86_400 + 1200) * 1000


@pytest.mark.parametrize("away_s", [30, 3652 * 86_400], ids=["our clock jumped", "so long away"])
def test_more_than_a_month_is_one_gap_and_little_work(away_s: int) -> None:
    port, metered = Port(), Metered()
    metered.look(port, T0)
    port.flow(away_s, 5_000, 0)
    metered.look(port, T0 + timedelta(days=3652))

    first, rest = metered.records
    assert [r.in_octets for r in metered.records] == [0, 0]
    assert rest.ends - first.starts == timedelta(days=3652)
    assert rest.gaps == (
        f"{rest.starts.isoformat()}/{rest.ends.isoformat()} looks more than 31 days apart",
    )


def test_a_spike_no_port_can_carry_is_a_gap() -> None:
    port, metered = Port(), Metered()
    metered.look(port, T0)
    port.shown_in += 10**15
    port.uptime_s += 30
    metered.look(port, T0 + timedelta(seconds=30))

    meter = current(metered.world, KEY)
    assert meter is not None
    assert meter.slot_in == 0
    assert "faster than the port" in meter.slot_gaps[-1]


@pytest.mark.parametrize("speed", [1000.0, 0.0, math.nan], ids=["one left", "none left", "unread"])
def test_what_a_lag_carried_before_it_lost_a_member_is_not_faster_than_the_port(
    speed: float,
) -> None:
    port, metered = Port(speed=2000.0), Metered()
    metered.look(port, T0)
    metered.restart()
    port.flow(30, 7_000_000_000, 0)  # both members were full until a moment ago
    port.speed = speed
    metered.look(port, T0 + timedelta(seconds=30))
    port.flow(30, 3_000_000_000, 0)
    metered.look(port, T0 + timedelta(seconds=60))

    meter = current(metered.world, KEY)
    assert meter is not None
    assert (meter.slot_in, meter.slot_gaps) == (10_000_000_000, ())


def test_two_looks_in_quick_succession_lose_no_octets_of_a_busy_port() -> None:
    service = gold("S1", (port("gw", "p1"),), meters=[port("gw", "p1")])
    net = Net(network.inventory({"gw": ()}, services=[service]))
    net.look("gw", Ports({"p1": 1}, {"p1": (0, 0)}))
    net.wait(0.02)  # the first look was stamped 30 ms after the agent had answered it
    net.look("gw", Ports({"p1": 1}, {"p1": (6_000_000, 0)}))
    (meter,) = net.world.running.own.values()
    assert (meter.slot_in, meter.slot_gaps) == (6_000_000, ())


@pytest.mark.parametrize("width", [64, 32])
def test_a_look_that_another_one_overtook_counts_nothing_twice(width: int) -> None:
    """A device changes hands: its last look by one collector, and the first by the other."""
    port, metered = Port(width=width), Metered()
    metered.look(port, T0)
    port.flow(10, 5_000_000, 600_000)
    earlier = port.batch(T0 + timedelta(seconds=10.06))  # answered first, and read last
    port.flow(0.02, 425_084, 116_892)
    metered.look(port, T0 + timedelta(seconds=10.04))
    metered._say(earlier)
    port.flow(10, 1_000_000, 100_000)
    metered.look(port, T0 + timedelta(seconds=20))

    meter = current(metered.world, KEY)
    assert meter is not None
    assert (meter.slot_in, meter.slot_out) == (port.true_in, port.true_out)
    assert not [gap for gap in meter.slot_gaps if "not yet metered" not in gap]


@pytest.mark.parametrize(
    ("before_s", "uptime_s", "later_s"),
    [(50_000, 0.5, 2.0), (2.0, 1.0, 2.0), (50_000, 50_002.0, 2.0), (50_000, 50_000.0, 30.0)],
    ids=["restarted", "restarted again", "set to 0", "set to 0, and its clock stands still"],
)
def test_counters_that_begin_anew_are_a_gap_and_no_look_overtaken(
    before_s: float, uptime_s: float, later_s: float
) -> None:
    port, metered = Port(uptime_s=before_s), Metered()
    port.flow(0, 5_000_000, 5_000_000)
    metered.look(port, T0)
    port.shown_in, port.shown_out, port.uptime_s = 10, 10, uptime_s
    metered.look(port, T0 + timedelta(seconds=later_s))
    port.flow(30, 100, 100)
    metered.look(port, T0 + timedelta(seconds=later_s + 30))

    meter = current(metered.world, KEY)
    assert meter is not None
    assert (meter.slot_in, meter.slot_out) == (100, 100)
    assert len([gap for gap in meter.slot_gaps if "not yet metered" not in gap]) == 1
