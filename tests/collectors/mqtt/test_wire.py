"""Looks survive their way octet for octet, and nothing hostile raises anything but BadPayload."""

from __future__ import annotations

import contextlib
import hashlib
import struct
import zlib
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.mqtt import wire
from collectors.mqtt.bounded import BadPayload
from netopsd.core.model import Batch, Blind, Layout, Table
from tests.collectors.mqtt.looks import T0, layout, look

PLACE = wire.Place(stream=7, seq=3, prev=2, floor=0)


def packed(*batches: Batch) -> bytes:
    ids, fresh = {}, {}
    for table in (t for b in batches for t in b.tables):
        id_, octets = wire.define(table.layout)
        ids[id(table.layout)] = id_
        fresh[id_] = octets
    return wire.message(PLACE, wire.pack_definitions(fresh.items()), wire.pack_looks(batches, ids))


def unpacked(octets: bytes, known: dict[bytes, Layout] | None = None) -> list[Batch]:
    parcel = wire.parse(octets)
    return wire.looks(parcel.looks, {**(known or {}), **wire.definitions(parcel.definitions)})


def same(one: Batch, other: Batch) -> bool:
    plain = all(
        getattr(one, name) == getattr(other, name)
        for name in ("device", "at", "mono_s", "blind", "why", "clocks", "source")
    )
    return (
        plain
        and dict(one.facts) == dict(other.facts)
        and dict(one.errors) == dict(other.errors)
        and len(one.tables) == len(other.tables)
        and all(same_table(a, b) for a, b in zip(one.tables, other.tables, strict=True))
    )


def same_table(one: Table, other: Table) -> bool:
    missing = [t.missing if t.missing is not None else np.zeros(0, bool) for t in (one, other)]
    return (
        wire.define(one.layout) == wire.define(other.layout)
        and one.counters.dtype == other.counters.dtype
        and np.array_equal(one.counters, other.counters)
        and np.array_equal(one.gauges, other.gauges, equal_nan=True)
        and np.array_equal(*missing)
    )


@given(
    rows=st.integers(0, 20), columns=st.integers(0, 5), gauges=st.integers(0, 5),
    n=st.integers(0, 1000), holes=st.booleans(),
)  # fmt: skip
@settings(deadline=None)
def test_looks_come_as_they_went(rows: int, columns: int, gauges: int, n: int, holes: bool) -> None:
    shape = layout(rows, columns, gauges)
    batch = look("r1", shape, n)
    if holes and rows and columns:
        table = batch.tables[0]
        missing = np.random.default_rng(n).random(table.counters.shape) < 0.3
        gauge = table.gauges.copy()
        gauge[:, :1] = np.nan
        batch = replace(batch, tables=(Table(shape, table.counters, gauge, missing),))
    (back,) = unpacked(packed(batch))
    assert same(back, batch)


def test_a_blind_look_keeps_its_reason() -> None:
    blind = Batch(
        device="r1", at=T0, mono_s=1.5, blind=Blind.UNREACHABLE, why="no answer: \u00e6\udcff"
    )
    (back,) = unpacked(packed(blind))
    assert same(back, blind)


def test_tables_of_one_layout_share_it_by_identity() -> None:
    shape = layout()
    one, two = unpacked(packed(look("a", shape), look("b", shape, 1)))
    assert one.tables[0].layout is two.tables[0].layout


def test_a_layout_nobody_defined_is_asked_for() -> None:
    octets = packed(look("a", layout()))
    parcel = wire.parse(octets)
    with pytest.raises(wire.Unknown):
        wire.looks(parcel.looks, {})


def test_octets_of_another_version_are_told_from_garbage() -> None:
    octets = bytearray(packed(look("a", layout(2))))
    octets[4] = 9
    with pytest.raises(BadPayload, match="other_version"):
        wire.parse(bytes(octets))
    with pytest.raises(BadPayload, match="not_a_parcel"):
        wire.parse(b"\x80\x04" + bytes(60))  # a pickle


@given(st.binary(max_size=300))
def test_any_octets_are_refused_in_words(octets: bytes) -> None:
    for tried in (octets, wire.HEAD.pack(wire.MAGIC, 1, 1, 0, 1, 2, 1, 0) + octets):
        with pytest.raises((BadPayload, wire.Unknown)):
            unpacked(tried)
            raise BadPayload("read", "an empty parcel is one")


@given(st.data())
@settings(deadline=None, max_examples=300)
def test_looks_damaged_below_the_compression_raise_nothing_else(data: st.DataObject) -> None:
    shape = layout(5, 2, 2)
    id_, definition = wire.define(shape)
    raw = bytearray(zlib.decompress(wire.pack_looks([look("r", shape)], {id(shape): id_})))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(raw) - 1))
        raw[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(raw)))
    for octets in (bytes(raw), bytes(raw[:cut])):
        with contextlib.suppress(BadPayload, wire.Unknown):
            wire.looks(zlib.compress(octets), {id_: shape})
    bad = bytearray(definition)
    bad[data.draw(st.integers(0, len(bad) - 1))] ^= data.draw(st.integers(1, 255))
    named = hashlib.blake2b(bytes(bad), digest_size=16).digest()
    with contextlib.suppress(BadPayload):
        wire.definitions(wire.pack_definitions([(named, bytes(bad))]))


def test_a_small_message_cannot_become_a_large_one() -> None:
    bomb = zlib.compress(bytes(64 << 20), 9)
    assert len(bomb) < wire.MOST_OCTETS
    with pytest.raises(BadPayload):
        wire.unzip(bomb, wire.MOST_RAW)


def test_a_small_message_cannot_become_much_work() -> None:
    deep = b"[" + b" " * (wire.MOST_DEFINED + 1) + b"]"
    with pytest.raises(BadPayload, match="do not end"):
        wire.definitions(wire.pack_definitions([(hashlib.blake2b(deep).digest()[:16], deep)]))
    with pytest.raises(BadPayload, match="65535 looks"):
        wire.looks(zlib.compress(b"\xff\xff" + bytes(1000)), {})
    shape = layout(0, 0, 0)
    id_, _ = wire.define(shape)
    wordy = replace(look("r", shape), why="w" * (wire.MOST_WORDS // 2))
    many = replace(look("r", shape), tables=look("r", shape).tables * 255)
    for looks in ([wordy] * 2, [many] * 200):
        with pytest.raises(BadPayload, match="too_large"):
            wire.looks(
                wire.pack_looks(looks, {id(t.layout): id_ for t in looks[0].tables}), {id_: shape}
            )


def test_a_table_that_claims_more_numbers_than_there_are_is_refused() -> None:
    shape = layout(2, 1, 1)
    id_, _ = wire.define(shape)
    raw = bytearray(zlib.decompress(wire.pack_looks([look("r", shape)], {id(shape): id_})))
    at = bytes(raw).index(id_) + 16
    struct.pack_into("<HIH", raw, at, 65535, 1 << 31, 65535)
    with pytest.raises(BadPayload):
        wire.looks(zlib.compress(bytes(raw)), {id_: shape})
