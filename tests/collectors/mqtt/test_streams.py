"""The order of a collector's looks: nothing twice, gaps asked for, what is lost is counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

from collectors.mqtt import wire
from collectors.mqtt.members import Members, owner, share
from collectors.mqtt.spool import RUN
from collectors.mqtt.streams import Streams, Verdict
from collectors.mqtt.topics import HERE, LOST, Collector
from collectors.mqtt.watchmen import Watchmen
from netopsd.clock import ManualClock
from netopsd.core.model import Batch
from tests.collectors.mqtt.looks import T0, layout, look

C1 = Collector(root="n", site="oslo", name="c1")
SHAPE = layout(2)
ID, DEFINITION = wire.define(SHAPE)


def parcel(
    seq: int, prev: int, floor: int = 0, *, batch: Batch | None = None, stream: int = 7,
    defined: bool = True,
) -> wire.Parcel:  # fmt: skip
    said = look("r1", SHAPE, seq % 1000) if batch is None else batch
    return wire.Parcel(
        kind=wire.LOOKS,
        stream=stream,
        seq=seq,
        prev=prev,
        floor=floor,
        definitions=wire.pack_definitions([(ID, DEFINITION)] if defined else []),
        looks=wire.pack_looks([said], {id(SHAPE): ID}),
    )


def streams(clock: ManualClock | None = None) -> Streams:
    return Streams({"r1": "oslo", "b1": "bergen"}, clock or ManualClock(T0), "run1")


def take(core: Streams, one: wire.Parcel) -> list[Batch]:
    assert core.judge(C1, one) is Verdict.TAKE
    found = core.open(C1, one)
    core.took(C1, one.seq)
    core.commit()
    return found


def test_a_parcel_that_comes_again_is_not_taken_again() -> None:
    core = streams()
    assert len(take(core, parcel(1, 0))) == 1
    assert core.judge(C1, parcel(1, 0)) is Verdict.REPEATED
    assert core.stats.repeated == 1 and core.stats.looks == 1


def test_what_is_missing_between_is_asked_for_before_anything_after_it() -> None:
    clock = ManualClock(T0)
    core = streams(clock)
    take(core, parcel(1, 0))
    assert core.judge(C1, parcel(3, 2)) is Verdict.ASK
    assert core.ask(C1) and not core.ask(C1)  # once, not for each that follows
    said = core.taken(C1)
    assert said is not None and (said.taken, said.ask) == (1, 1)
    take(core, parcel(2, 1))
    take(core, parcel(3, 2))
    assert core.stats.gaps == 0


def test_what_the_collector_gave_up_is_counted_and_not_waited_for() -> None:
    core = streams()
    take(core, parcel(1, 0))
    take(core, parcel(9, 8, floor=8))
    assert core.stats.gaps == 1


def test_what_was_asked_for_in_vain_is_counted_and_not_waited_for() -> None:
    clock = ManualClock(T0)
    core = streams(clock)
    take(core, parcel(1, 0))
    for _ in range(3):
        assert core.judge(C1, parcel(9, 8)) is Verdict.ASK
        assert core.ask(C1)
        clock.move(5)
    assert core.judge(C1, parcel(9, 8)) is Verdict.TAKE and core.stats.gaps == 1


def test_what_was_asked_for_over_a_connection_that_was_lost_was_not_asked_in_vain() -> None:
    """A broker that dies again and again loses the question, or the answer."""
    clock = ManualClock(T0)
    core = streams(clock)
    take(core, parcel(1, 0))
    core.commit()
    for _ in range(5):
        assert core.judge(C1, parcel(9, 8)) is Verdict.ASK
        assert core.ask(C1)
        core.back()
    assert core.judge(C1, parcel(9, 8)) is Verdict.ASK and core.stats.gaps == 0


def test_another_run_of_the_collector_follows_without_a_gap() -> None:
    core = streams()
    take(core, parcel(RUN + 5, RUN + 4, floor=RUN + 4))
    take(core, parcel(2 * RUN, RUN + 5, floor=RUN + 4))
    # A power cut took RUN+4 and RUN+5 back at the collector: we have more than it knows of.
    take(core, parcel(3 * RUN, RUN + 3, floor=RUN + 3))
    assert core.stats.gaps == 0


def test_where_the_core_was_survives_its_restart() -> None:
    core = streams()
    take(core, parcel(1, 0))
    take(core, parcel(2, 1))
    again = streams()
    again.restore("n", core.kept())
    assert again.judge(C1, parcel(2, 1)) is Verdict.REPEATED
    assert again.judge(C1, parcel(3, 2)) is Verdict.TAKE


def test_what_is_taken_and_not_committed_is_neither_told_nor_kept_and_taken_again() -> None:
    core = streams()
    take(core, parcel(1, 0))
    assert core.judge(C1, parcel(2, 1)) is Verdict.TAKE
    core.open(C1, parcel(2, 1))
    core.took(C1, 2)
    said = core.taken(C1)
    assert said is not None and said.taken == core.kept()[0]["taken"] == 1
    core.back()  # the connection was lost before the commit
    assert core.judge(C1, parcel(2, 1)) is Verdict.TAKE


def test_layouts_alone_of_a_collector_not_met_yet_are_no_gap() -> None:
    core = streams()
    layouts = replace(parcel(0, 0), kind=wire.DEFINITIONS)
    assert core.judge(C1, layouts) is Verdict.REPEATED and core.kept() == []
    take(core, parcel(9, 8, floor=8, defined=False))
    assert core.stats.gaps == 0 and core.kept()[0]["taken"] == 9


def test_a_collector_cannot_speak_of_another_sites_devices_nor_of_unknown_ones() -> None:
    core = streams()
    for n, device in enumerate(("b1", "r2", "netopsd"), start=1):
        assert take(core, parcel(n, n - 1, batch=look(device, SHAPE))) == []
    assert core.stats.not_theirs == 3


def test_a_look_of_the_far_future_is_refused() -> None:
    core = streams()
    far = replace(look("r1", SHAPE), at=T0 + timedelta(hours=1))
    assert take(core, parcel(1, 0, batch=far)) == [] and core.stats.future == 1


def test_layouts_are_shared_by_identity_from_look_to_look() -> None:
    core = streams()
    (one,) = take(core, parcel(1, 0))
    (two,) = take(core, parcel(2, 1, defined=False))
    assert one.tables[0].layout is two.tables[0].layout


def test_monotonic_time_is_exact_within_a_run_and_by_the_wall_between_runs() -> None:
    core = streams()
    first = look("r1", SHAPE)
    (one,) = take(core, parcel(RUN, 0, batch=first))
    stepped = replace(  # the collector's wall clock was set, its monotonic one was not
        first, at=first.at + timedelta(seconds=33), mono_s=first.mono_s + 30
    )
    (two,) = take(core, parcel(RUN + 1, RUN, batch=stepped))
    assert two.mono_s - one.mono_s == 30
    other = replace(first, at=first.at + timedelta(seconds=60), mono_s=5.0)  # another machine
    (three,) = take(core, parcel(2 * RUN, RUN + 1, batch=other))
    assert abs(three.mono_s - one.mono_s - 60) < 1e-3


def test_each_device_has_one_owner_and_only_the_lost_ones_move() -> None:
    devices = {f"d{i}": i for i in range(900)}
    live = {"c1", "c2", "c3"}
    shares = {name: set(share(name, live, devices)) for name in live}
    assert sorted(d for s in shares.values() for d in s) == sorted(devices)
    assert all(230 < len(s) < 370 for s in shares.values())
    left = live - {"c2"}
    after = {name: set(share(name, left, devices)) for name in left}
    assert after["c1"] >= shares["c1"] and after["c3"] >= shares["c3"]
    assert owner("d1", ()) == ""


def test_a_member_is_lost_after_three_heartbeats_but_not_while_we_were_deaf() -> None:
    members = Members(1.0)
    assert members.here("c1", 0.0) and not members.here("c1", 1.0)
    assert members.lost(3.9) == []
    members.deaf(10.0)
    assert members.lost(12.0) == [] and members.lost(13.1) == ["c1"]


def alarms(watchmen: Watchmen) -> list[tuple[str, str]]:
    return [(e.alarm, e.severity) for e in watchmen.look()]


def test_a_lost_collector_is_told_once_and_its_return_once() -> None:
    clock = ManualClock(T0)
    watchmen = Watchmen(frozenset({"oslo"}), 1.0, clock)
    watchmen.broker(up=True)
    assert [e.severity for e in watchmen.heard(C1, HERE)] == ["cleared"]
    assert watchmen.heard(C1, HERE) == []
    (lost,) = watchmen.heard(C1, LOST)
    assert (lost.alarm, lost.severity) == ("collector-lost", "major")
    assert str(lost.resource) == "netopsd/collector/oslo/c1"
    clock.move(4)
    assert alarms(watchmen) == [("broker-lost", "cleared"), ("site-unwatched", "critical")]
    assert alarms(watchmen) == []
    assert len(watchmen.heard(C1, HERE)) == 1
    assert alarms(watchmen) == [("site-unwatched", "cleared")]


def test_silence_is_no_loss_while_there_is_no_broker() -> None:
    clock = ManualClock(T0)
    watchmen = Watchmen(frozenset({"oslo"}), 1.0, clock)
    watchmen.broker(up=True)
    watchmen.heard(C1, HERE)
    watchmen.broker(up=False)
    clock.move(100)
    assert alarms(watchmen) == [("broker-lost", "major")]
    watchmen.broker(up=True)
    clock.move(2)
    assert alarms(watchmen) == []
    watchmen.heard(C1, HERE)
    clock.move(2)
    assert alarms(watchmen) == [("broker-lost", "cleared")]
    clock.move(2)
    assert alarms(watchmen) == [("collector-lost", "major"), ("site-unwatched", "critical")]
