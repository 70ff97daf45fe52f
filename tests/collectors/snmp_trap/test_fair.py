"""A storm from one source takes nobody else's turn."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collectors.snmp_trap.fair import (
    LARGEST,
    MOST_STRANGERS,
    Backlog,
    Bucket,
    Datagram,
    Source,
    Sources,
)


def source(name: str, known: bool = True) -> Source:
    return Source(name, name, known, 1e6, Bucket(1e6))


def datagram(of: Source, what: int) -> Datagram:
    return Datagram(of, b"%d" % what, 0, (("", 0), []))


def names(taken: list[Datagram]) -> list[tuple[str, int]]:
    return [(d.source.address, int(d.data)) for d in taken]


def test_sources_take_turns_each_in_its_own_order() -> None:
    a, b, backlog = source("a"), source("b"), Backlog(100)
    for n in range(5):
        backlog.add(datagram(a, n), False)
    backlog.add(datagram(b, 9), False)
    assert names(backlog.take(4)) == [("a", 0), ("b", 9), ("a", 1), ("a", 2)]
    assert names(backlog.take(4)) == [("a", 3), ("a", 4)]


def test_informs_go_first_then_known_sources_then_strangers() -> None:
    stranger, known, backlog = source("s", False), source("k"), Backlog(100)
    backlog.add(datagram(stranger, 1), False)
    backlog.add(datagram(known, 2), False)
    backlog.add(datagram(known, 3), True)
    assert names(backlog.take(9)) == [("k", 3), ("k", 2), ("s", 1)]


def test_a_full_backlog_still_hears_a_quiet_source() -> None:
    loud, quiet, backlog = source("loud"), source("quiet"), Backlog(100)
    heard = sum(backlog.add(datagram(loud, n), False) for n in range(1000))
    assert heard == 100
    assert backlog.add(datagram(quiet, 1), False)
    assert ("quiet", 1) in names(backlog.take(2))


def test_strangers_have_at_most_half_of_the_backlog() -> None:
    backlog = Backlog(100)
    assert sum(backlog.add(datagram(source(str(n), False), n), False) for n in range(500)) == 50


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()) | st.integers(1, 9), max_size=300))
def test_nothing_is_lost_nor_told_twice(steps: list[tuple[int, bool] | int]) -> None:
    sources, backlog = [source(str(n), n < 4) for n in range(6)], Backlog(20)
    kept: set[int] = set()
    taken: list[int] = []
    for number, step in enumerate(steps):
        if isinstance(step, int):
            taken += [int(d.data) for d in backlog.take(step)]
        elif backlog.add(datagram(sources[step[0]], number), step[1]):
            kept.add(number)
        assert len(backlog) == len(kept) - len(taken)
        assert len(backlog) <= 45  # twice the most, and the informs' quarter
    taken += [int(d.data) for d in backlog.take(10**6)]
    assert sorted(taken) == sorted(kept)


def test_a_bucket_lets_its_rate_through_and_a_burst_of_five_seconds() -> None:
    bucket = Bucket(20.0)
    assert sum(bucket.take(100.0) for _ in range(199)) == 100
    assert sum(bucket.take(101.0) for _ in range(99)) == 20
    assert sum(bucket.take(50.0) for _ in range(99)) == 0  # time going back gives nothing
    assert sum(bucket.take(10_000.0) for _ in range(199)) == 100


def test_a_large_datagram_costs_as_much_as_it_keeps_us_busy() -> None:
    bucket = Bucket(20.0)
    assert bucket.take(0.0, 64.0)
    assert not bucket.take(0.0, 64.0)
    slow = Bucket(0.1)
    assert slow.take(0.0, LARGEST)  # however low the rate, the largest can come


def test_neighbours_of_a_24_share_its_rate_and_others_do_not() -> None:
    devices = {
        "10.0.0.1": "a",
        "10.0.0.2": "b",
        "10.0.1.1": "c",
        "2001:db8::1": "d",
        "2001:db8::2": "e",
    }
    by = Sources(devices, frozenset({"10.9.9.9"}), (10, 20), False).by_host
    assert by["10.0.0.1"].network is by["10.0.0.2"].network
    assert by["10.0.0.1"].network is not by["10.0.1.1"].network
    assert by["2001:db8::1"].network is by["2001:db8::2"].network
    assert by["::ffff:10.0.0.1"] is by["10.0.0.1"]
    assert by["10.9.9.9"].device == ""


def test_a_device_known_by_its_host_name_is_no_source_and_no_hindrance() -> None:
    sources = Sources({"gw.example.net": "gw", "10.0.0.1": "a"}, frozenset(), (1, 1), False)
    assert sources.by_host["10.0.0.1"].device == "a"
    assert sources.stranger("192.0.2.1") is None


def test_strangers_are_let_in_only_where_wanted_and_never_own_the_memory() -> None:
    assert Sources({}, frozenset(), (1, 1), False).stranger("192.0.2.1") is None
    sources = Sources({"10.0.0.1": "a"}, frozenset(), (1, 1), True)
    for n in range(MOST_STRANGERS + 10):
        sources.stranger(f"172.{n >> 16}.{n >> 8 & 255}.{n & 255}")
    assert len(sources.by_host) < MOST_STRANGERS
    assert sources.by_host["10.0.0.1"].device == "a"
