"""The Basic Encoding Rules as SNMP uses them (RFC 3417 section 8): bounded, linear, no recursion.

Every length is checked against what is really there before anything is sliced. Reading raises
`DecodeError` and nothing else, whatever the octets are; writing raises `ValueError` for a value
that cannot be expressed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import IntEnum
from functools import lru_cache

MAX_ARCS = 128  # RFC 2578 section 3.5
MAX_ARC = 2**32 - 1
MAX_INTEGER_OCTETS = 9  # a Counter64 with its leading zero
CACHED_OIDS = 16384
CACHED_OID_OCTETS = 127  # longer ones are decoded each time, so the cache stays under 10 MB


class DecodeError(ValueError):
    """The octets are not what they should be. The only exception decoding raises."""


class Tag(IntEnum):
    """Types of SNMP values (RFC 2578 section 2, RFC 3416 section 3)."""

    INTEGER = 0x02
    OCTET_STRING = 0x04
    NULL = 0x05
    OID = 0x06
    SEQUENCE = 0x30
    IP_ADDRESS = 0x40
    COUNTER32 = 0x41
    GAUGE32 = 0x42
    TIME_TICKS = 0x43
    OPAQUE = 0x44
    NSAP = 0x45
    COUNTER64 = 0x46
    UINTEGER32 = 0x47
    NO_SUCH_OBJECT = 0x80
    NO_SUCH_INSTANCE = 0x81
    END_OF_MIB_VIEW = 0x82


def header(data: bytes, at: int, end: int) -> tuple[int, int, int]:
    """Return (tag, start, stop) of the element at `at`, whose contents are data[start:stop].

    `end` bounds the element; it must not exceed len(data). Definite lengths only, in at most four
    octets. Raises DecodeError where the element does not fit.
    """
    start = at + 2
    if start > end:
        raise DecodeError("element cut off before its length")
    size = data[at + 1]
    if size >= 0x80:
        octets = size & 0x7F
        if not 1 <= octets <= 4:
            raise DecodeError("length neither definite nor of at most four octets")
        if start + octets > end:
            raise DecodeError("element cut off in its length")
        size = int.from_bytes(data[start : start + octets], "big")
        start += octets
    stop = start + size
    if stop > end:
        raise DecodeError("element longer than what holds it")
    return data[at], start, stop


def signed(body: bytes) -> int:
    """Return the two's complement integer in `body`, of 1 to 9 octets. Raises DecodeError."""
    if not 1 <= len(body) <= MAX_INTEGER_OCTETS:
        raise DecodeError("integer of no octets, or of more than nine")
    return int.from_bytes(body, "big", signed=True)


def unsigned(body: bytes, width: int = 4) -> int:
    """Return the integer in `body`, read as unsigned where it fills `width` octets exactly.

    Agents often leave out the leading zero of a large Counter32. A shorter one with its first bit
    set is negative and is returned so: the caller decides. Raises DecodeError.
    """
    size = len(body)
    if not 1 <= size <= MAX_INTEGER_OCTETS:
        raise DecodeError("integer of no octets, or of more than nine")
    return int.from_bytes(body, "big", signed=size != width)


def oid_text(body: bytes) -> str:
    """Return the dotted text of an OBJECT IDENTIFIER's contents, at most 128 arcs below 2^32.

    Raises DecodeError. Short ones are remembered, a bounded number of them.
    """
    return known_oid(body) if len(body) <= CACHED_OID_OCTETS else _oid_text(body)


def _oid_text(body: bytes) -> str:
    if not body or body[-1] >= 0x80:
        raise DecodeError("object identifier without arcs, or cut off")
    arcs: Sequence[int]
    if body.isascii():  # one octet an arc: nearly all are so, but for ifIndex and the like
        arcs = body
    else:
        arcs = [chunk[0] if len(chunk) == 1 else _arc(chunk) for chunk in _ARCS(body)]
    if len(arcs) >= MAX_ARCS:
        raise DecodeError("object identifier of more than 128 arcs")
    joined = arcs[0]
    first = 0 if joined < 40 else 1 if joined < 80 else 2  # X.690 section 8.19.4: two arcs in one
    second = joined - 40 * first
    if second > MAX_ARC or (arcs is not body and max(arcs[1:], default=0) > MAX_ARC):
        raise DecodeError("arc of an object identifier beyond 2^32 - 1")
    return ".".join(map(str, (first, second, *arcs[1:])))


def _arc(chunk: bytes) -> int:
    """Return the number in groups of seven bits, of at most five octets after leading zeros."""
    if chunk[0] == 0x80:
        chunk = chunk.lstrip(b"\x80")
    if len(chunk) > 5:
        raise DecodeError("arc of an object identifier beyond 2^32 - 1")
    value = 0
    for octet in chunk:
        value = value << 7 | octet & 0x7F
    return value


_ARCS = re.compile(rb"[\x80-\xff]*[\x00-\x7f]").findall
known_oid = lru_cache(maxsize=CACHED_OIDS)(_oid_text)


def tlv(tag: int, body: bytes) -> bytes:
    """Return the element of `tag` and `body` with the shortest definite length."""
    size = len(body)
    if size < 0x80:
        return bytes((tag, size)) + body
    octets = (size.bit_length() + 7) // 8
    return bytes((tag, 0x80 | octets)) + size.to_bytes(octets, "big") + body


def integer(value: int, tag: int = Tag.INTEGER) -> bytes:
    """Return `value` as the shortest two's complement element. ValueError beyond nine octets."""
    octets = (value + (value < 0)).bit_length() // 8 + 1
    if octets > MAX_INTEGER_OCTETS:
        raise ValueError(f"{value} does not fit nine octets")
    return tlv(tag, value.to_bytes(octets, "big", signed=True))


@lru_cache(maxsize=CACHED_OIDS)
def encode_oid(text: str) -> bytes:
    """Return the whole element of a dotted object identifier. ValueError where it is none."""
    try:
        arcs = [int(arc) for arc in text.split(".")] if text.isascii() and len(text) < 1500 else []
    except ValueError:
        arcs = []
    if not 2 <= len(arcs) <= MAX_ARCS or min(arcs) < 0 or max(arcs) > MAX_ARC:
        raise ValueError(f"not an object identifier: {text[:80]!r}")
    first, second, *rest = arcs
    if first > 2 or (first < 2 and second >= 40):
        raise ValueError(f"not an object identifier: {text[:80]!r}")
    body = bytearray()
    for arc in (first * 40 + second, *rest):
        if arc < 0x80:
            body.append(arc)
            continue
        shift = (arc.bit_length() - 1) // 7 * 7
        while shift:
            body.append(0x80 | arc >> shift & 0x7F)
            shift -= 7
        body.append(arc & 0x7F)
    return tlv(Tag.OID, bytes(body))
