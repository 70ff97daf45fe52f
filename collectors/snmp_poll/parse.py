"""SNMP answers to numbers. No network here: feed it what a device once said.

A poller knows what it asked, so an answer is read in one of three ways, each falling back to the
next. *Shape*: the octets that are not values (names, types, lengths) are those of the last
answer, which is one masked comparison; all values are then taken at once. *Exact*: each expected
name stands where it must. *Decoded*: the bounded decoder, for anything else. The first two accept
nothing the last would not.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_codec.ber import DecodeError, Tag, header, oid_text
from collectors.snmp_codec.message import RESPONSE, Pdu, decode

# Kinds of slots, one octet each in Packet.kinds.
COUNTER32, COUNTER64, GAUGE, TICKS = range(4)
KIND_NAMES = ("Counter32", "Counter64", "number", "TimeTicks")
_ACCEPTED = (
    bytes((Tag.COUNTER32,)),
    bytes((Tag.COUNTER64,)),
    bytes((Tag.INTEGER, Tag.GAUGE32, Tag.UINTEGER32, Tag.COUNTER32, Tag.TIME_TICKS)),
    bytes((Tag.TIME_TICKS, Tag.INTEGER, Tag.GAUGE32, Tag.UINTEGER32)),
)
_WIDEST = (5, 9, 5, 5)  # octets of a value, one more than its bits where the first would be set
_TOP = 2**64
VERSION_3 = b"\x02\x01\x03"
ABSENT = {
    int(Tag.NO_SUCH_OBJECT): "noSuchObject",
    int(Tag.NO_SUCH_INSTANCE): "noSuchInstance",
    int(Tag.END_OF_MIB_VIEW): "endOfMibView",
}
ABSENCES = frozenset((*ABSENT.values(), "noSuchName"))
TAG_NAMES = {
    int(Tag.INTEGER): "INTEGER",
    int(Tag.OCTET_STRING): "OCTET STRING",
    int(Tag.NULL): "NULL",
    int(Tag.OID): "OBJECT IDENTIFIER",
    int(Tag.IP_ADDRESS): "IpAddress",
    int(Tag.COUNTER32): "Counter32",
    int(Tag.GAUGE32): "Gauge32",
    int(Tag.TIME_TICKS): "TimeTicks",
    int(Tag.OPAQUE): "Opaque",
    int(Tag.NSAP): "NsapAddress",
    int(Tag.COUNTER64): "Counter64",
    int(Tag.UINTEGER32): "UInteger32",
}
STATUS = (  # RFC 3416 section 3, by number
    "noError",
    "tooBig",
    "noSuchName",
    "badValue",
    "readOnly",
    "genErr",
    "noAccess",
    "wrongType",
    "wrongLength",
    "wrongEncoding",
    "wrongValue",
    "noCreation",
    "inconsistentValue",
    "resourceUnavailable",
    "commitFailed",
    "undoFailed",
    "authorizationError",
    "notWritable",
    "inconsistentName",
)
TOO_BIG, NO_SUCH_NAME, NO_ACCESS, AUTHORIZATION = 1, 2, 6, 16


def status_name(status: int) -> str:
    """Return the name of an error-status, or "error-status 200" for one that has none."""
    return STATUS[status] if 0 <= status < len(STATUS) else f"error-status {status}"


class Shape:
    """An answer's octets with its values blanked out, and where the values are.

    `mask` keeps what must be the same next time: all octets but the request-id and the values,
    and of each value its first bit, which must be clear (a set one is a negative number or an
    agent's slip: the careful path decides), or its first octet where it has one more than its type.
    """

    __slots__ = ("at", "expect", "keep", "mask", "size", "widths")

    def __init__(
        self, data: bytes, request_id: tuple[int, int], spans: Sequence[int], kinds: bytes
    ) -> None:
        """Learn from an answer just read: `spans` are start, end, start, end … of its values."""
        mask = bytearray(b"\xff") * len(data)
        mask[request_id[0] : request_id[1]] = bytes(request_id[1] - request_id[0])
        starts, ends = spans[::2], spans[1::2]
        for start, end, kind in zip(starts, ends, kinds, strict=True):
            mask[start:end] = _BLANK[end - start]
            if end - start == _WIDEST[kind]:
                mask[start] = 0xFF  # a 0: a number as wide as its type allows
        self.size = len(data)
        self.mask = np.frombuffer(bytes(mask), np.uint8)
        self.expect = (np.frombuffer(data, np.uint8) & self.mask).tobytes()
        self.at = np.array(ends, np.intp) - 8
        self.widths = np.array(ends, np.intp) - np.array(starts, np.intp)
        self.keep = KEEP[self.widths]


# By length of a value: which bits must be the same; which octets of the last eight are the value.
_BLANK = (b"", *(b"\x80" + bytes(n - 1) for n in range(1, 10)))
KEEP = np.array([*(2 ** (8 * n) - 1 for n in range(9)), 2**64 - 1], np.uint64)


class Packet:
    """One GetRequest, encoded once, and where the answer's values go.

    `head` + four octets of request-id + `tail` is the datagram; `names_at` is where the first
    variable stands in `tail`; `kinds[i]` is the kind of slot `first + i`.
    """

    __slots__ = ("first", "head", "kinds", "names_at", "shape", "tail")

    def __init__(self, head: bytes, tail: bytes, names_at: int, first: int, kinds: bytes) -> None:
        self.head = head
        self.tail = tail
        self.names_at = names_at
        self.first = first
        self.kinds = kinds
        self.shape: Shape | None = None

    def names(self) -> Iterator[bytes]:
        """Yield the encoded name of each variable asked for, in order."""
        tail, at = self.tail, self.names_at
        while at < len(tail):
            end = at + 2 + tail[at + 1]
            yield tail[at + 2 : end - 2]  # without the NULL
            at = end

    def read(
        self, data: bytes, span: tuple[int, int], raw: NDArray[np.uint64], wrong: dict[int, str]
    ) -> Pdu | None:
        """Put the values of answer `data` into `raw`, negative ones in two's complement.

        `span` is where its request-id's contents stand. Slots that could not be read go to
        `wrong` with the reason. Returns None, or the answer's PDU where its error-status refuses
        the request as a whole. Raises DecodeError where it is no answer.
        """
        shape = self.shape
        if shape is not None and shape.size == len(data):
            octets = np.frombuffer(data, np.uint8)
            if (octets & shape.mask).tobytes() == shape.expect:
                words = np.ndarray((shape.size - 7,), ">u8", data, 0, (1,))
                first = self.first
                np.bitwise_and(
                    words[shape.at], shape.keep, out=raw[first : first + len(self.kinds)]
                )
                return None
        if self._exact(data, span, raw):
            return None
        return self._decoded(data, raw, wrong)

    def _exact(self, data: bytes, span: tuple[int, int], raw: NDArray[np.uint64]) -> bool:
        """Read an answer that is just what was expected; False, and nothing done, where not."""
        try:
            found = self._values(data, span[1]) if _wraps(data, span) else None
        except IndexError:
            return False
        if found is None:
            return False
        values, spans = found
        raw[self.first : self.first + len(values)] = values
        self.shape = Shape(data, span, spans, self.kinds)
        return True

    def _values(self, data: bytes, at: int) -> tuple[list[int], list[int]] | None:
        """Return the values of an answer whose error-status stands at `at`, and where they are.

        None where it is not just what was expected; IndexError where it is cut off.
        """
        values: list[int] = []
        spans: list[int] = []
        starts, number, accepted = data.startswith, int.from_bytes, _ACCEPTED
        if not starts(b"\x02\x01\x00\x02\x01", at):  # error-status noError, any error-index
            return None
        at, stop = inside(data, at + 6)
        if stop != len(data):
            return None
        tail, name_at = self.tail, self.names_at
        for kind in self.kinds:
            name_end = name_at + 2 + tail[name_at + 1]
            name = tail[name_at + 2 : name_end - 2]  # as `names` gives it
            name_at = name_end
            if data[at] == 0x30 and data[at + 1] < 0x80:  # `inside`, the common case
                stop = at + 2 + data[at + 1]
                at += 2
            else:
                at, stop = inside(data, at)
            if not starts(name, at):
                return None
            begin = at + len(name) + 2
            size = data[begin - 1]
            widest = _WIDEST[kind]
            if begin + size != stop or data[begin - 2] not in accepted[kind]:
                return None
            if not 0 < size <= widest or data[begin] >= (1 if size == widest else 0x80):
                return None  # negative, or nearly so, or too large
            values.append(number(data[begin:stop], "big"))
            spans += (begin, stop)
            at = stop
        return (values, spans) if at == len(data) else None

    def _decoded(self, data: bytes, raw: NDArray[np.uint64], wrong: dict[int, str]) -> Pdu | None:
        pdu = decode(data).pdu
        if not isinstance(pdu, Pdu) or pdu.tag != RESPONSE:
            raise DecodeError("not a Response-PDU")
        if pdu.error_status:
            return pdu
        told = {bind.oid: bind for bind in reversed(pdu.varbinds)}
        for slot, (oid, kind) in enumerate(zip(self.oids(), self.kinds, strict=True), self.first):
            bind = told.get(oid)
            if bind is None:
                wrong[slot] = "not answered"
                continue
            value = number_of(kind, bind.tag, bind.value)
            if isinstance(value, str):
                wrong[slot] = value
            else:
                raw[slot] = value
        return None

    def oids(self) -> list[str]:
        """Return the name of each variable asked for, as dotted text."""
        return [dotted(name) for name in self.names()]


def inside(data: bytes, at: int, tag: int = 0x30) -> tuple[int, int]:
    """Return where the contents of the element at `at` begin and end.

    IndexError where there is none of `tag`, or its length is not written as it should be.
    """
    if data[at] != tag:
        raise IndexError
    size, at = data[at + 1], at + 2
    if size >= 0x80:
        octets = size & 0x7F
        if not 1 <= octets <= 4:
            raise IndexError
        size = int.from_bytes(data[at : at + octets], "big")
        at += octets
    return at, at + size


def _wraps(data: bytes, span: tuple[int, int]) -> bool:
    """Return whether message and PDU end where the datagram does, `span` being the request-id."""
    at, stop = inside(data, 0)
    at += 3  # version
    start, end = inside(data, at + 2 + data[at + 1], RESPONSE)
    return stop == end == len(data) and start == span[0] - 2 and span[1] - span[0] <= 9


def dotted(name: bytes) -> str:
    """Return the dotted text of an encoded OBJECT IDENTIFIER. Raises DecodeError."""
    _, start, stop = header(name, 0, len(name))
    return oid_text(name[start:stop])


def number_of(kind: int, tag: int, value: int | bytes | str | None) -> int | str:
    """Return a value as unsigned 64 bits (two's complement), or the reason it is none."""
    if tag in ABSENT:
        return ABSENT[tag]
    if tag not in _ACCEPTED[kind] or not isinstance(value, int):
        return f"{TAG_NAMES.get(tag, hex(tag))} instead of {KIND_NAMES[kind]}"
    if value < 0:
        if kind != GAUGE or tag != Tag.INTEGER:
            return f"negative {KIND_NAMES[kind]}"
        return value % _TOP if value >= -(2**63) else "number below 64 bits"
    limit = 2**64 if kind == COUNTER64 else 2**32
    return (
        value if value < limit else f"{KIND_NAMES[kind]} of more than {limit.bit_length() - 1} bits"
    )


def request_id(data: bytes) -> tuple[int, int, int]:
    """Return (where version begins, start and end of the request-id) of a Response-PDU.

    Raises IndexError where `data` is none. Reads the head only; nothing else is checked.
    """
    if data[0] != 0x30:
        raise IndexError
    size = data[1]
    check = 2 if size < 0x80 else 2 + (size & 0x7F)
    at = check + 3  # INTEGER, 1, version
    at += 2 + data[at + 1]  # community
    if data[at] != RESPONSE:
        raise IndexError
    size = data[at + 1]
    at += 2 if size < 0x80 else 2 + (size & 0x7F)
    if data[at] != 2:
        raise IndexError
    start = at + 2
    end = start + data[at + 1]
    if not start < end <= len(data):
        raise IndexError
    return check, start, end


def message_id(data: bytes) -> tuple[int, int]:
    """Return where the contents of an SNMPv3 message's msgID begin and end.

    Raises IndexError where `data` is none. Reads the head only; nothing else is checked.
    """
    at, _ = inside(data, 0)
    if not data.startswith(VERSION_3, at):
        raise IndexError
    at, _ = inside(data, at + len(VERSION_3))
    start, end = inside(data, at, 2)
    if not start < end <= len(data):
        raise IndexError
    return start, end
