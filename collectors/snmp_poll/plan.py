"""Requests encoded once: which variables go together into which datagram."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache

from collectors.snmp_codec.ber import encode_oid, integer, tlv
from collectors.snmp_codec.message import GET
from collectors.snmp_poll.parse import COUNTER64, GAUGE, Packet

LONGEST_NAME = 123  # octets of a name whose variable-binding has a one-octet length
REQUEST_ID = b"\x52\x52\x52\x52"
_EXPECTED = {COUNTER64: 8, GAUGE: 4}  # octets a value takes in an answer; 6 for the rest


class Wanted:
    """Variables to ask for, in the order of their slots: encoded names and one kind each."""

    __slots__ = ("kinds", "names")

    def __init__(self) -> None:
        self.names: list[bytes] = []
        self.kinds = bytearray()

    def add(self, column: str, index: str, kind: int) -> int:
        """Append one variable; return its slot. ValueError where it is no OID."""
        self.names.append(name(column, index))
        self.kinds.append(kind)
        return len(self.names) - 1


@lru_cache(maxsize=65536)
def _instance(index: str) -> bytes:
    whole = encode_oid("1.3." + index)
    return whole[3 if whole[1] < 0x80 else 4 :]  # without tag, length and the arcs 1.3


def name(column: str, index: str) -> bytes:
    """Return the encoded name of instance `index` of `column`.

    ValueError where it is none, or too long for a variable-binding of a one-octet length.
    """
    body = encode_oid(column)[2:] + _instance(index)
    if len(body) > LONGEST_NAME - 2:
        raise ValueError(f"{column}.{index[:80]}: too long")
    return bytes((6, len(body))) + body


def too_long(columns: Sequence[str], indices: Iterable[str]) -> list[str]:
    """Return those of `indices` that cannot be asked for in each of `columns`."""
    room = LONGEST_NAME - 2 - max(len(encode_oid(oid)) - 2 for oid in columns)
    return [index for index in indices if not _fits(index, room)]


def _fits(index: str, room: int) -> bool:
    try:
        return len(_instance(index)) <= room
    except ValueError:
        return False


def check(version: int, community: bytes) -> bytes:
    """Return the octets every message of this version and community begins its contents with."""
    return integer(version) + tlv(4, community)


def packet(opening: bytes, names: Sequence[bytes], first: int, kinds: bytes) -> Packet:
    """Return the GetRequest for `names`. `opening` is what `check` returned."""
    binds = b"".join(tlv(0x30, each + b"\x05\x00") for each in names)
    rest = b"\x02\x01\x00\x02\x01\x00" + tlv(0x30, binds)
    whole = tlv(0x30, opening + tlv(GET, b"\x02\x04" + REQUEST_ID + rest))
    behind = len(whole) - len(rest)
    tail = whole[behind:]
    return Packet(whole[: behind - 4], tail, len(tail) - len(binds), first, kinds)


def packets(opening: bytes, wanted: Wanted, most: int, octets: int) -> tuple[Packet, ...]:
    """Return GetRequests for all of `wanted`, in order, at most `most` variables in each.

    Answers are estimated not to exceed `octets`: a datagram that must be fragmented is lost more
    often, and not by everybody put together again. Variables are spread evenly.
    """
    sizes = [
        len(each) + 4 + _EXPECTED.get(kind, 6)
        for each, kind in zip(wanted.names, wanted.kinds, strict=True)
    ]
    room = max(octets - len(opening) - 32, 64)
    count = max(-(-sum(sizes) // room), -(-len(sizes) // most), 1)
    most = min(most, -(-len(sizes) // count))
    made: list[Packet] = []
    begin = used = 0
    for at, size in enumerate(sizes):
        if at > begin and (at - begin >= most or used + size > room):
            made.append(_cut(opening, wanted, begin, at))
            begin, used = at, 0
        used += size
    if begin < len(sizes):
        made.append(_cut(opening, wanted, begin, len(sizes)))
    return tuple(made)


def _cut(opening: bytes, wanted: Wanted, begin: int, end: int) -> Packet:
    return packet(opening, wanted.names[begin:end], begin, bytes(wanted.kinds[begin:end]))


def split(opening: bytes, whole: Packet) -> tuple[Packet, Packet]:
    """Return the two halves of a packet of at least two variables."""
    names = list(whole.names())
    half = len(names) // 2
    return (
        packet(opening, names[:half], whole.first, whole.kinds[:half]),
        packet(opening, names[half:], whole.first + half, whole.kinds[half:]),
    )
