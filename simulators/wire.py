"""Object identifiers as the simulated agents keep them, and values as elements of BER."""

from __future__ import annotations

import struct
from collections.abc import Sequence

from collectors.snmp_codec.ber import DecodeError, Tag, integer, tlv

Oid = tuple[int, ...]

COUNTER32 = int(Tag.COUNTER32)
GAUGE32 = int(Tag.GAUGE32)
TICKS = int(Tag.TIME_TICKS)
COUNTER64 = int(Tag.COUNTER64)
INTEGER = int(Tag.INTEGER)
NULL = b"\x05\x00"
NO_SUCH_OBJECT = b"\x80\x00"
NO_SUCH_INSTANCE = b"\x81\x00"
END_OF_MIB_VIEW = b"\x82\x00"


def oid(text: str) -> Oid:
    """Return the arcs of a dotted object identifier. ValueError where it is none."""
    arcs = tuple(map(int, text.strip().removeprefix(".").split(".")))
    if len(arcs) < 2 or min(arcs) < 0 or max(arcs) >= 2**32 or arcs[0] > 2:
        raise ValueError(f"not an object identifier: {text[:80]!r}")
    return arcs


def name(arcs: Sequence[int]) -> bytes:
    """Return the whole element of an object identifier; no limit on its length (lies need none)."""
    body = bytearray()
    for arc in (arcs[0] * 40 + arcs[1], *arcs[2:]):
        if arc < 0x80:
            body.append(arc)
            continue
        shift = (arc.bit_length() - 1) // 7 * 7
        while shift:
            body.append(0x80 | arc >> shift & 0x7F)
            shift -= 7
        body.append(arc & 0x7F)
    return tlv(Tag.OID, bytes(body))


def arcs_of(body: bytes) -> Oid:
    """Return the arcs in the contents of an object identifier. Raises DecodeError."""
    arcs: list[int] = []
    arc = 0
    for octet in body:
        arc = arc << 7 | octet & 0x7F
        if arc > 2**32 + 79:
            raise DecodeError("arc beyond 2^32 - 1")
        if octet < 0x80:
            arcs.append(arc)
            arc = 0
    if not arcs or body[-1] >= 0x80 or len(arcs) > 127:
        raise DecodeError("object identifier empty, cut off or of more than 128 arcs")
    first = min(arcs[0] // 40, 2)
    arcs[0] -= 40 * first
    if max(arcs) >= 2**32:
        raise DecodeError("arc beyond 2^32 - 1")
    return (first, *arcs)


def order(arcs: Sequence[int]) -> bytes:
    """Return a key whose byte order is the lexicographic order of object identifiers."""
    return struct.pack(f">{len(arcs)}I", *arcs)


def octets(value: bytes | str) -> bytes:
    """Return an OCTET STRING."""
    return tlv(Tag.OCTET_STRING, value.encode() if isinstance(value, str) else value)


def address(dotted: str) -> bytes:
    """Return an IpAddress."""
    return tlv(Tag.IP_ADDRESS, bytes(int(part) for part in dotted.split(".")))


def varbind(named: bytes, value: bytes) -> bytes:
    """Return one variable-binding from the elements of its name and its value."""
    return tlv(Tag.SEQUENCE, named + value)


def number(value: int, tag: int = INTEGER) -> bytes:
    """Return an integer of any type, shortest form."""
    return integer(value, tag)


def heads(named: bytes, tag: int) -> tuple[bytes, ...]:
    """Return what stands before an integer of n octets in a varbind called `named`, for n 0..9."""
    return tuple(
        tlv(Tag.SEQUENCE, named + bytes((tag, n)) + bytes(n))[: -n or None] for n in range(10)
    )
