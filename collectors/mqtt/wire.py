"""Looks on their way from a collector to the core: versioned, compact, and safe to decode.

A *parcel* is what one MQTT message carries. Everything is little-endian.

    header   "NOPC" | version u8 | kind u8 | 0 u16 | stream u64 | seq u64 | prev u64 | floor u64
    then     size u32 | definitions (zlib) | looks (zlib)

`stream` names the collector's spool, made once; `seq` grows, `prev` is the seq before it, `floor`
the prev of the oldest parcel the collector still has. A definition is the layout of a table under
16 octets of its own hash; looks refer to it by that. Numbers are raw columns, their octets grouped
by significance, which halves what zlib leaves. Never pickle: a decoder meets lengths, numbers and
JSON, each bounded before it is believed.
"""

from __future__ import annotations

import hashlib
import json
import math
import struct
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collectors.mqtt.bounded import BadPayload, load
from netopsd.core.model import Batch, Blind, Clocks, Layout, Table

MAGIC, VERSION = b"NOPC", 1
LOOKS, DEFINITIONS = 1, 2  # kinds: a parcel with its seq; definitions alone, outside the order
HEAD = struct.Struct("<4sBBHQQQQ")
LOOK = struct.Struct("<qdfBBI")  # at, µs since 1970; monotonic s; took s; blind; tables; rest size
TABLE = struct.Struct("<16sHIHB")  # layout, counters, rows, gauges, 1 if some are missing
BLINDS = (None, *Blind)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)
MOST_OCTETS = 1 << 20  # of a message
MOST_RAW = 16 << 20  # of its looks, decompressed
MOST_DEFINED = 4 << 20  # of its definitions, decompressed
MOST_WORDS = 4 << 20  # of the facts, errors and the like of its looks
MOST_LOOKS = 1_000
MOST_TABLES = 32_000  # of all its looks
MOST_ROWS = 100_000
MOST_COLUMNS = 1_000
FIRST_US, LAST_US = 946_684_800_000_000, 4_102_444_800_000_000  # the years 2000 to 2099
LEVEL = 1  # of zlib: the next ones cost twice the time for a few per cent


@dataclass(frozen=True, slots=True, kw_only=True)
class Parcel:
    """A message taken apart, its looks still compressed."""

    kind: int
    stream: int
    seq: int
    prev: int
    floor: int
    definitions: bytes
    looks: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where a parcel stands in the order of its collector."""

    stream: int
    seq: int
    prev: int
    floor: int


class Unknown(Exception):
    """A look refers to a layout that was not defined here: ask for the definitions."""


# ---- messages


def message(place: Place, definitions: bytes, looks: bytes) -> bytes:
    """Return the octets of a parcel; both parts as `pack_definitions` and `pack_looks` give."""
    head = HEAD.pack(MAGIC, VERSION, LOOKS, 0, place.stream, place.seq, place.prev, place.floor)
    return b"".join((head, struct.pack("<I", len(definitions)), definitions, looks))


def definitions_message(stream: int, definitions: bytes) -> bytes:
    """Return the octets of a message that only defines."""
    head = HEAD.pack(MAGIC, VERSION, DEFINITIONS, 0, stream, 0, 0, 0)
    return b"".join((head, struct.pack("<I", len(definitions)), definitions))


def parse(octets: bytes) -> Parcel:
    """Take a message apart. Raises BadPayload."""
    if len(octets) > MOST_OCTETS:
        raise BadPayload("too_large", f"{len(octets)} octets, at most {MOST_OCTETS}")
    if len(octets) < HEAD.size + 4:
        raise BadPayload("truncated", f"{len(octets)} octets")
    magic, version, kind, _, stream, seq, prev, floor = HEAD.unpack_from(octets)
    if magic != MAGIC:
        raise BadPayload("not_a_parcel", "it begins with something else")
    if version != VERSION:
        raise BadPayload("other_version", f"version {version}, we read {VERSION}")
    (size,) = struct.unpack_from("<I", octets, HEAD.size)
    rest = octets[HEAD.size + 4 :]
    if kind not in (LOOKS, DEFINITIONS) or size > len(rest):
        raise BadPayload("malformed", "its parts do not fit")
    if kind == LOOKS and not floor <= prev < seq:
        raise BadPayload("malformed", "floor, prev and seq do not grow")
    return Parcel(
        kind=kind,
        stream=stream,
        seq=seq,
        prev=prev,
        floor=floor,
        definitions=rest[:size],
        looks=rest[size:],
    )


def unzip(octets: bytes, most: int) -> bytes:
    """Return what zlib packed, at most `most` octets. Raises BadPayload."""
    if not octets:
        return b""
    packed = zlib.decompressobj()
    try:
        raw = packed.decompress(octets, most)
    except zlib.error as error:
        raise BadPayload("malformed", f"zlib: {error}") from None
    if not packed.eof or packed.unused_data:
        raise BadPayload("malformed", "compressed data that do not end where they should")
    return raw


# ---- layouts


def define(layout: Layout) -> tuple[bytes, bytes]:
    """Return (id, octets) of a layout; the same layout gives the same id everywhere."""
    said = {
        "table": layout.table,
        "rows": layout.rows,
        "index": layout.index,
        "labels": {name: layout.labels[name] for name in sorted(layout.labels)},
        "counters": layout.counters,
        "widths": layout.widths,
        "gauges": layout.gauges,
        "epoch": layout.epoch,
    }
    octets = json.dumps(said, separators=(",", ":"), ensure_ascii=True).encode()
    return hashlib.blake2b(octets, digest_size=16).digest(), octets


def pack_definitions(defined: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return definitions compressed; b"" for none."""
    parts = [
        part for id, octets in defined for part in (id, struct.pack("<I", len(octets)), octets)
    ]
    return zlib.compress(b"".join(parts), LEVEL) if parts else b""


def definitions(octets: bytes) -> dict[bytes, Layout]:
    """Return the layouts of a message by id. Raises BadPayload; ids are checked."""
    raw = unzip(octets, MOST_DEFINED)
    found: dict[bytes, Layout] = {}
    at = 0
    while at < len(raw):
        if at + 20 > len(raw):
            raise BadPayload("truncated", "a definition")
        id = raw[at : at + 16]
        (size,) = struct.unpack_from("<I", raw, at + 16)
        text = raw[at + 20 : at + 20 + size]
        if len(text) != size or hashlib.blake2b(text, digest_size=16).digest() != id:
            raise BadPayload("malformed", "a definition is not what its name says")
        found[id] = _layout(load(text, MOST_DEFINED, 4))
        at += 20 + size
    return found


def _layout(said: Any) -> Layout:
    wanted = {"table", "rows", "index", "labels", "counters", "widths", "gauges", "epoch"}
    if not isinstance(said, dict) or said.keys() != wanted or not isinstance(said["labels"], dict):
        raise BadPayload("malformed", "a layout with other parts than ours")
    rows = _texts(said["rows"], MOST_ROWS)
    columns = _texts(said["counters"], MOST_COLUMNS) + _texts(said["gauges"], MOST_COLUMNS)
    labels = {name: _texts(texts, MOST_ROWS) for name, texts in said["labels"].items()}
    index = _texts(said["index"], MOST_ROWS)
    widths, epoch = said["widths"], said["epoch"]
    sound = (
        isinstance(said["table"], str)
        and 0 < len(said["table"]) <= 255
        and len(set(rows)) == len(rows)
        and len(set(columns)) == len(columns)
        and all(len(texts) == len(rows) for texts in (index, *labels.values()))
        and isinstance(widths, list)
        and len(widths) == len(said["counters"])
        and all(width in (32, 64) and not isinstance(width, bool) for width in widths)
        and isinstance(epoch, int)
        and not isinstance(epoch, bool)
    )
    if not sound:
        raise BadPayload("malformed", "a layout whose parts do not fit")
    return Layout(
        table=said["table"],
        rows=rows,
        index=index,
        labels=labels,
        counters=tuple(said["counters"]),
        widths=tuple(widths),
        gauges=tuple(said["gauges"]),
        epoch=epoch,
    )


def _texts(value: Any, most: int) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > most:
        raise BadPayload("malformed", "a layout without its lists")
    if not all(isinstance(text, str) for text in value):
        raise BadPayload("malformed", "a layout whose names are no text")
    return tuple(value)


# ---- looks


def pack_looks(batches: Sequence[Batch], ids: Mapping[int, bytes]) -> bytes:
    """Return looks compressed. `ids` maps the id() of each layout to its definition's id.

    Raises BadPayload where no message may bring so much.
    """
    brought = _Brought(len(batches))
    packer = zlib.compressobj(LEVEL)
    parts = [packer.compress(struct.pack("<H", len(batches)))]
    for batch in batches:
        for part in _look(batch, ids, brought):
            parts.append(packer.compress(part))
    parts.append(packer.flush())
    return b"".join(parts)


class _Brought:
    """What the looks of one message bring, which is bounded when it is made and when it is read.

    Raises BadPayload where it is too much.
    """

    def __init__(self, looks: int) -> None:
        self._words = self._tables = 0
        if looks > MOST_LOOKS:
            raise BadPayload("too_large", f"{looks} looks, at most {MOST_LOOKS}")

    def add(self, words: int, tables: int) -> None:
        self._words += words
        self._tables += tables
        if self._words > MOST_WORDS or self._tables > MOST_TABLES:
            raise BadPayload("too_large", "more words, or tables, than looks have")


def _look(batch: Batch, ids: Mapping[int, bytes], brought: _Brought) -> Iterable[bytes]:
    rest: dict[str, Any] = {
        "facts": dict(batch.facts),
        "errors": dict(batch.errors),
        "why": batch.why,
        "source": batch.source,
        "clocks": {name: said for name, said in asdict(batch.clocks).items() if said is not None},
    }
    text = json.dumps({k: v for k, v in rest.items() if v}, separators=(",", ":")).encode()
    brought.add(len(text), len(batch.tables))
    name = batch.device.encode("utf-8", "surrogatepass")
    yield struct.pack("<H", len(name)) + name
    at = (batch.at - EPOCH) // MICROSECOND
    blind = BLINDS.index(batch.blind)
    yield LOOK.pack(at, batch.mono_s, batch.took_s, blind, len(batch.tables), len(text))
    yield text
    for table in batch.tables:
        layout, missing = table.layout, table.missing
        sizes = (len(layout.counters), len(layout.rows), len(layout.gauges))
        yield TABLE.pack(ids[id(layout)], *sizes, missing is not None)
        yield _grouped(table.counters.astype("<u8", copy=False))
        yield _grouped(table.gauges.astype("<f8", copy=False))
        if missing is not None:
            yield np.packbits(missing).tobytes()


def _grouped(columns: NDArray[Any]) -> bytes:
    """Return the octets of numbers, all first octets, then all second ones …"""
    octets = np.ascontiguousarray(columns).view(np.uint8).reshape(-1, 8)
    return octets.T.tobytes()


def looks(octets: bytes, known: Mapping[bytes, Layout]) -> list[Batch]:
    """Return the looks of a parcel. Raises BadPayload, Unknown.

    `known` gives the layout of an id. `Batch.mono_s` is as the collector said it.
    """
    reader = _Reader(unzip(octets, MOST_RAW))
    (count,) = reader.take(struct.Struct("<H"))
    brought = _Brought(count)
    found = [_read_look(reader, known, brought) for _ in range(count)]
    if not reader.done:
        raise BadPayload("malformed", "something after the last look")
    return found


class _Reader:
    """Octets taken from the front; more than there are is an error, not an exception of struct."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._raw)

    def octets(self, size: int) -> bytes:
        end = self._at + size
        if end > len(self._raw):
            raise BadPayload("truncated", "a look ends early")
        part = self._raw[self._at : end]
        self._at = end
        return part

    def take(self, form: struct.Struct) -> tuple[Any, ...]:
        return form.unpack(self.octets(form.size))


def _read_look(reader: _Reader, known: Mapping[bytes, Layout], brought: _Brought) -> Batch:
    (size,) = reader.take(struct.Struct("<H"))
    try:
        device = reader.octets(size).decode("utf-8")
    except UnicodeDecodeError:
        raise BadPayload("malformed", "a device's name that is no text") from None
    at, mono_s, took_s, blind, tables, rest = reader.take(LOOK)
    good_times = FIRST_US <= at <= LAST_US and math.isfinite(mono_s) and 0 <= took_s < 86_400
    if not good_times or blind >= len(BLINDS) or (blind and tables):
        raise BadPayload("malformed", "a look at no time, or blind and seeing")
    brought.add(rest, tables)
    said = _rest(load(reader.octets(rest), MOST_WORDS, 4))
    return Batch(
        device=device,
        at=EPOCH + timedelta(microseconds=at),
        mono_s=mono_s,
        took_s=took_s,
        blind=BLINDS[blind],
        tables=tuple(_read_table(reader, known) for _ in range(tables)),
        **said,
    )


def _rest(said: Any) -> dict[str, Any]:
    if not isinstance(said, dict):
        raise BadPayload("malformed", "a look without its words")
    facts, errors = said.get("facts", {}), said.get("errors", {})
    why, source, clocks = said.get("why", ""), said.get("source", "snmp"), said.get("clocks", {})
    words = isinstance(why, str) and isinstance(source, str) and 0 < len(source) <= 32
    if not words or not all(isinstance(part, dict) for part in (facts, errors, clocks)):
        raise BadPayload("malformed", "a look whose words are none")
    texts = (*facts.values(), *errors.values())
    ticks = all(isinstance(v, int) and -(1 << 63) <= v < 1 << 63 for v in clocks.values())
    if not all(isinstance(text, str) for text in texts) or not ticks:
        raise BadPayload("malformed", "a look whose words are none")
    if not clocks.keys() <= set(Clocks.__slots__):
        raise BadPayload("malformed", "clocks we do not know")
    return {
        "facts": facts,
        "errors": errors,
        "why": why,
        "source": source,
        "clocks": Clocks(**clocks),
    }


def _read_table(reader: _Reader, known: Mapping[bytes, Layout]) -> Table:
    id, counters, rows, gauges, some_missing = reader.take(TABLE)
    layout = known.get(id)
    if layout is None:
        raise Unknown
    if (counters, rows, gauges) != (len(layout.counters), len(layout.rows), len(layout.gauges)):
        raise BadPayload("malformed", "a table that is not as its layout")
    counts = _ungrouped(reader.octets(8 * counters * rows), "<u8")
    values = _ungrouped(reader.octets(8 * gauges * rows), "<f8")
    missing = None
    if some_missing:
        size = counters * rows
        bits = np.frombuffer(reader.octets((size + 7) // 8), np.uint8)
        missing = np.unpackbits(bits, count=size).astype(np.bool_).reshape(counters, rows)
    return Table(
        layout,
        counts.reshape(counters, rows).astype(np.uint64, copy=False),
        values.reshape(gauges, rows).astype(np.float64, copy=False),
        missing,
    )


def _ungrouped(octets: bytes, form: str) -> NDArray[Any]:
    apart = np.frombuffer(octets, np.uint8).reshape(8, -1)
    return np.ascontiguousarray(apart.T).view(form).reshape(-1)
