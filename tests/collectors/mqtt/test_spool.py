"""What was appended is there after kill -9, in order, bounded, torn ends cut off."""

from __future__ import annotations

import asyncio
import itertools
import os
import resource
import signal
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.mqtt import wire
from collectors.mqtt.packing import Packing
from collectors.mqtt.spool import RUN, Cursor, Record, Spool
from netopsd.core.model import Batch, Table
from tests.collectors.mqtt.looks import layout, look


def opened(folder: Path, most: int = 1 << 20, segment: int = 4096) -> Spool:
    spool = Spool(folder, most, segment)
    spool.open("seed")
    return spool


def all_after(spool: Spool, seq: int = 0) -> list[Record]:
    cursor = Cursor(spool, seq)
    found = []
    while (record := cursor.next()) is not None:
        found.append(record)
    cursor.close()
    return found


def filled(folder: Path, count: int, octets: int = 500, **how: int) -> Spool:
    spool = opened(folder, **how)
    for i in range(count):
        assert spool.append(b"d" if spool.fresh else b"", i.to_bytes(4) * (octets // 4))
    return spool


def test_records_come_in_order_each_naming_the_one_before(tmp_path: Path) -> None:
    spool = filled(tmp_path, 50)
    found = all_after(spool)
    assert [int.from_bytes(r.looks[:4]) for r in found] == list(range(50))
    assert all(after.prev == before.seq for before, after in itertools.pairwise(found))
    assert found[0].prev == spool.floor


def test_a_second_life_goes_on_with_numbers_never_used(tmp_path: Path) -> None:
    first = filled(tmp_path, 20)  # not closed: killed
    last = first.last
    second = opened(tmp_path)
    assert second.stream == first.stream and second.last == last
    second.append(b"", b"new")
    found = all_after(second)
    assert len(found) == 21
    assert found[-1].seq // RUN == last // RUN + 1 and found[-1].prev == last


def test_numbers_that_a_power_cut_took_back_are_not_given_twice(tmp_path: Path) -> None:
    first = filled(tmp_path, 20)
    given = {r.seq for r in all_after(first)}
    for path in sorted(tmp_path.glob("*.seg"))[-2:]:
        path.unlink()  # never synced
    second = opened(tmp_path)
    second.append(b"", b"new")
    assert second.last not in given


@pytest.mark.parametrize("cut", [1, 10, 27, 28, 300])
def test_a_torn_end_is_cut_off_and_the_rest_stands(tmp_path: Path, cut: int) -> None:
    filled(tmp_path, 5, segment=1 << 16)
    (path,) = tmp_path.glob("*.seg")
    os.truncate(path, path.stat().st_size - cut)
    spool = opened(tmp_path)
    assert len(all_after(spool)) == 4 and spool.stats.torn == 1
    spool.append(b"", b"after")
    assert all_after(spool)[-1].looks == b"after"


def test_a_damaged_segment_is_passed_over_and_counted(tmp_path: Path) -> None:
    spool = filled(tmp_path, 40)
    paths = sorted(tmp_path.glob("*.seg"))
    with paths[1].open("r+b") as file:
        file.seek(600)
        file.write(b"\xff" * 8)
    cursor = Cursor(spool, 0)
    found = []
    while (record := cursor.next()) is not None:
        found.append(int.from_bytes(record.looks[:4]))
    cursor.close()
    assert cursor.damaged == 1
    assert found == sorted(found) and 30 < len(found) < 40 and found[-1] == 39


def test_the_oldest_goes_when_the_bound_is_hit_and_only_then(tmp_path: Path) -> None:
    spool = filled(tmp_path, 100, most=1 << 20)
    assert spool.stats.dropped == 0
    spool = filled(tmp_path / "b", 200, most=20_000)
    on_disk = sum(path.stat().st_size for path in (tmp_path / "b").glob("*.seg"))
    assert on_disk <= 20_000 + 4096
    found = all_after(spool)
    assert spool.stats.dropped == 200 - len(found)
    assert int.from_bytes(found[-1].looks[:4]) == 199
    assert found[0].prev == spool.floor
    assert found[0].definitions == b"d"  # a segment defines what it refers to


def test_what_is_confirmed_is_forgotten_and_never_what_is_not(tmp_path: Path) -> None:
    spool = filled(tmp_path, 60)
    records = all_after(spool)
    middle = records[30]
    spool.confirm(middle.seq)
    left = all_after(spool, middle.seq)
    assert [r.seq for r in left] == [r.seq for r in records[31:]]
    spool.confirm(spool.last)
    assert all_after(spool, spool.confirmed) == [] and spool.stats.octets <= 4096 + 600
    spool.append(b"", b"next")
    assert [r.looks for r in all_after(spool, spool.confirmed)] == [b"next"]


def test_a_reader_meets_what_is_appended_while_it_reads(tmp_path: Path) -> None:
    spool = filled(tmp_path, 3)
    cursor = Cursor(spool, 0)
    assert [cursor.next() is not None for _ in range(4)] == [True, True, True, False]
    for i in range(30):
        spool.append(b"", b"%d" % i * 200)
        record = cursor.next()
        assert record is not None and record.seq == spool.last
        spool.confirm(record.seq)
    cursor.close()


def test_layouts_that_are_much_before_compression_are_spread_over_parcels(tmp_path: Path) -> None:
    """The core decompresses so much of one and no more."""
    names = tuple("x" * 100 + str(n) for n in range(9000))  # two megabytes of a layout

    def wide(n: int) -> Batch:
        shape = replace(layout(0, 0, 0), table=f"t{n}", rows=names, index=names, labels={})
        table = Table(shape, np.zeros((0, 9000), np.uint64), np.zeros((0, 9000)))
        return replace(look("r1", layout(1)), tables=(table,))

    async def go() -> None:
        packing = Packing(spool, lambda: None, 4)
        for n in range(4):
            await packing.put(wide(n))

    spool = opened(tmp_path, 1 << 24, 1 << 24)
    asyncio.run(go())
    assert [len(wire.definitions(record.definitions)) for record in all_after(spool)] == [2, 2]
    spool.close()


@pytest.mark.parametrize(
    ("looks", "words", "parcels"), [(wire.MOST_LOOKS + 1, 0, 2), (4, wire.MOST_WORDS // 3, 2)]
)
def test_looks_that_bring_more_than_a_core_reads_are_spread_over_parcels(
    tmp_path: Path, looks: int, words: int, parcels: int
) -> None:
    said = replace(look("r1", layout(1)), tables=(), errors={"if": "x" * words})

    async def go() -> None:
        packing = Packing(spool, lambda: None, looks)
        for _ in range(looks):
            await packing.put(said)

    spool = opened(tmp_path, 1 << 24, 1 << 24)
    asyncio.run(go())
    found = [len(wire.looks(record.looks, {})) for record in all_after(spool)]
    assert (sum(found), len(found)) == (looks, parcels)
    spool.close()


def test_a_full_disk_loses_only_what_it_does_not_take(tmp_path: Path) -> None:
    spool = filled(tmp_path, 3, segment=1 << 20)
    was = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, was[1]))
    try:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        assert not spool.append(b"", b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, was)
    assert spool.fresh and spool.stats.failed == 1
    assert spool.append(b"", b"again")
    assert [len(r.looks) for r in all_after(spool)] == [500, 500, 500, 5]
    assert [len(r.looks) for r in all_after(opened(tmp_path))] == [500, 500, 500, 5]


@given(st.lists(st.sampled_from(["append", "confirm", "reopen", "tear"]), max_size=40))
@settings(deadline=None, max_examples=60)
def test_whatever_happens_what_is_left_is_an_unbroken_end(steps: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        spool = opened(Path(folder))
        for step in steps:
            if step == "append":
                spool.append(b"", b"x" * 900)
            elif step == "confirm":
                found = all_after(spool, spool.confirmed)
                spool.confirm(found[len(found) // 2].seq if found else spool.last)
            elif step == "tear":
                paths = sorted(Path(folder).glob("*.seg"))
                if paths and paths[-1].stat().st_size > 10:
                    os.truncate(paths[-1], paths[-1].stat().st_size - 7)
                spool = opened(Path(folder))
            else:
                spool = opened(Path(folder))
            found = all_after(spool, spool.confirmed)
            for before, after in itertools.pairwise(found):
                assert after.prev == before.seq
            assert not found or found[0].prev <= spool.confirmed
