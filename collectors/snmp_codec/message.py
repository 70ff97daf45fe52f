"""SNMPv1 and v2c messages to values and back (RFC 1157 section 4, RFC 3416 section 3)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from collectors.snmp_codec.ber import (
    DecodeError,
    Tag,
    encode_oid,
    header,
    integer,
    known_oid,
    oid_text,
    signed,
    tlv,
    unsigned,
)

GET = 0xA0
GETNEXT = 0xA1
RESPONSE = 0xA2
SET = 0xA3
TRAP1 = 0xA4
GETBULK = 0xA5
INFORM = 0xA6
TRAP2 = 0xA7
REPORT = 0xA8

MAX_DATAGRAM = 65_507  # what UDP over IPv4 can carry
MAX_VARBINDS = 1024
_ALLOWED = {
    0: frozenset({GET, GETNEXT, RESPONSE, SET, TRAP1}),
    1: frozenset({GET, GETNEXT, RESPONSE, SET, GETBULK, INFORM, TRAP2, REPORT}),
}


class VarBind(NamedTuple):
    """One name and its value.

    `value` is an int for the numeric types, bytes for OCTET STRING, Opaque and NSAP, dotted text
    for OBJECT IDENTIFIER and IpAddress, None for NULL and the exceptions (noSuchObject …). Numbers
    are not checked against the range of their type.
    """

    oid: str
    tag: int
    value: int | bytes | str | None


class Pdu(NamedTuple):
    """Any PDU but the v1 trap. Of a GETBULK, `error_status` and `error_index` hold non-repeaters
    and max-repetitions."""

    tag: int
    request_id: int
    error_status: int
    error_index: int
    varbinds: tuple[VarBind, ...]


class TrapV1(NamedTuple):
    """RFC 1157 section 4.1.6. `uptime` in hundredths of a second."""

    enterprise: str
    agent_address: str
    generic: int
    specific: int
    uptime: int
    varbinds: tuple[VarBind, ...]


class Message(NamedTuple):
    """A community message; `version` is 0 for SNMPv1 and 1 for SNMPv2c, as on the wire."""

    version: int
    community: bytes
    pdu: Pdu | TrapV1


def version_of(data: bytes) -> int:
    """Return the version a datagram states: 0 (v1), 1 (v2c) or 3. Reads only its head.

    Raises DecodeError where there is none of these.
    """
    if not data or data[0] != Tag.SEQUENCE:
        raise DecodeError("not a SEQUENCE")
    _, at, end = header(data, 0, len(data))
    if data[at : at + 2] != b"\x02\x01" or at + 3 > end:
        raise DecodeError("no version")
    version = data[at + 2]
    if version not in (0, 1, 3):
        raise DecodeError(f"unknown version {version}")
    return version


def decode(data: bytes, max_varbinds: int = MAX_VARBINDS) -> Message:
    """Return the message in `data`. Raises DecodeError, and nothing else, in time linear in it.

    Octets after the message are ignored; some agents pad. Counter64 in SNMPv1 is let through.
    """
    if len(data) > MAX_DATAGRAM:
        raise DecodeError("longer than a datagram can be")
    version = version_of(data)
    if version == 3:
        raise DecodeError("SNMPv3 is not a community message")
    _, at, end = header(data, 0, len(data))
    start, at = _expect(data, at + 3, end, Tag.OCTET_STRING, "community")
    community = data[start:at]
    tag, _, stop = header(data, at, end)
    if tag not in _ALLOWED[version]:
        raise DecodeError(f"no such PDU in this version: {tag:#x}")
    if stop != end:
        raise DecodeError("octets after the PDU")
    return Message(version, community, decode_pdu(data, at, end, max_varbinds))


def decode_pdu(data: bytes, at: int, end: int, max_varbinds: int = MAX_VARBINDS) -> Pdu | TrapV1:
    """Return the PDU whose element is data[at:end]. Raises DecodeError."""
    tag, at, end = header(data, at, end)
    if tag == TRAP1:
        return _trap1(data, at, end, max_varbinds)
    if not GET <= tag <= REPORT:
        raise DecodeError(f"no PDU: tag {tag:#x}")
    request_id, at = _integer(data, at, end, "request-id")
    status, at = _integer(data, at, end, "error-status")
    index, at = _integer(data, at, end, "error-index")
    return Pdu(tag, request_id, status, index, _varbinds(data, at, end, max_varbinds))


def _expect(data: bytes, at: int, end: int, tag: int, what: str) -> tuple[int, int]:
    found, start, stop = header(data, at, end)
    if found != tag:
        raise DecodeError(f"{what}: tag {found:#x} instead of {tag:#x}")
    return start, stop


def _integer(data: bytes, at: int, end: int, what: str) -> tuple[int, int]:
    start, stop = _expect(data, at, end, Tag.INTEGER, what)
    return signed(data[start:stop]), stop


def _trap1(data: bytes, at: int, end: int, most: int) -> TrapV1:
    start, at = _expect(data, at, end, Tag.OID, "enterprise")
    enterprise = oid_text(data[start:at])
    start, at = _expect(data, at, end, Tag.IP_ADDRESS, "agent-addr")
    address = _address(data[start:at])
    generic, at = _integer(data, at, end, "generic-trap")
    specific, at = _integer(data, at, end, "specific-trap")
    start, at = _expect(data, at, end, Tag.TIME_TICKS, "time-stamp")
    uptime = unsigned(data[start:at])
    return TrapV1(enterprise, address, generic, specific, uptime, _varbinds(data, at, end, most))


def _varbinds(data: bytes, at: int, end: int, most: int) -> tuple[VarBind, ...]:
    at, stop = _expect(data, at, end, Tag.SEQUENCE, "variable-bindings")
    if stop != end:
        raise DecodeError("octets after the variable-bindings")
    return decode_varbinds(data, at, end, most)


def decode_varbinds(data: bytes, at: int, end: int, most: int) -> tuple[VarBind, ...]:
    """Return the variable-bindings in data[at:end], at most `most`. Raises DecodeError."""
    found: list[VarBind] = []
    while at < end:
        if len(found) >= most:
            raise DecodeError(f"more than {most} variable-bindings")
        # Nearly all are short and well formed: told by six comparisons, without a call each.
        if (
            at + 6 <= end
            and data[at] == _SEQUENCE
            and (stop := at + 2 + data[at + 1]) <= min(end, at + 0x81)
            and data[at + 2] == _OID
            and (value := at + 4 + data[at + 3]) + 2 <= stop
            and value + 2 + data[value + 1] == stop
        ):
            name, tag, body = known_oid(data[at + 4 : value]), data[value], data[value + 2 : stop]
        else:
            name, tag, body, stop = _varbind(data, at, end)
        read = _READ.get(tag)
        if read is None:
            raise DecodeError(f"unknown type of value {tag:#x}")
        found.append(_new(VarBind, (name, tag, read(body))))
        at = stop
    return tuple(found)


def _varbind(data: bytes, at: int, end: int) -> tuple[str, int, bytes, int]:
    at, stop = _expect(data, at, end, Tag.SEQUENCE, "variable-binding")
    start, at = _expect(data, at, stop, Tag.OID, "name of a variable-binding")
    name = oid_text(data[start:at])
    tag, start, at = header(data, at, stop)
    if at != stop:
        raise DecodeError("octets after the value of a variable-binding")
    return name, tag, data[start:at], stop


def _address(body: bytes) -> str:
    if len(body) != 4:
        raise DecodeError("IpAddress not of four octets")
    return ".".join(map(str, body))


def _null(body: bytes) -> None:
    if body:
        raise DecodeError("a null with contents")


_SEQUENCE, _OID = int(Tag.SEQUENCE), int(Tag.OID)  # comparing with the enum costs three times more
_new = tuple.__new__
_READ: Mapping[int, Callable[[bytes], int | bytes | str | None]] = {
    Tag.INTEGER: signed,
    Tag.OCTET_STRING: bytes,
    Tag.NULL: _null,
    Tag.OID: oid_text,
    Tag.IP_ADDRESS: _address,
    Tag.COUNTER32: unsigned,
    Tag.GAUGE32: unsigned,
    Tag.TIME_TICKS: unsigned,
    Tag.OPAQUE: bytes,
    Tag.NSAP: bytes,
    Tag.COUNTER64: partial(unsigned, width=8),
    Tag.UINTEGER32: unsigned,
    Tag.NO_SUCH_OBJECT: _null,
    Tag.NO_SUCH_INSTANCE: _null,
    Tag.END_OF_MIB_VIEW: _null,
}


def encode(message: Message) -> bytes:
    """Return the octets of `message`. ValueError where it cannot be expressed."""
    version, community, pdu = message
    tag = TRAP1 if isinstance(pdu, TrapV1) else pdu.tag
    if tag not in _ALLOWED.get(version, ()):
        raise ValueError(f"no PDU {tag:#x} in version {version}")
    community = tlv(Tag.OCTET_STRING, community)
    return tlv(Tag.SEQUENCE, integer(version) + community + encode_pdu(pdu))


def encode_pdu(pdu: Pdu | TrapV1) -> bytes:
    """Return the whole element of `pdu`. ValueError where it cannot be expressed."""
    if isinstance(pdu, TrapV1):
        body = (
            encode_oid(pdu.enterprise)
            + tlv(Tag.IP_ADDRESS, _octets_of(pdu.agent_address))
            + integer(pdu.generic)
            + integer(pdu.specific)
            + integer(pdu.uptime, Tag.TIME_TICKS)
        )
        return tlv(TRAP1, body + encode_varbinds(pdu.varbinds))
    body = integer(pdu.request_id) + integer(pdu.error_status) + integer(pdu.error_index)
    return tlv(pdu.tag, body + encode_varbinds(pdu.varbinds))


def encode_varbinds(varbinds: Sequence[VarBind]) -> bytes:
    """Return the variable-bindings element. ValueError where a value does not fit its tag."""
    return tlv(Tag.SEQUENCE, b"".join([encode_varbind(*bind) for bind in varbinds]))


def encode_varbind(oid: str, tag: int, value: int | bytes | str | None) -> bytes:
    """Return one variable-binding element. ValueError where the value does not fit its tag."""
    if isinstance(value, int):
        element = integer(value, tag)
    elif isinstance(value, bytes):
        element = tlv(tag, value)
    elif value is None:
        element = tlv(tag, b"")
    elif tag == Tag.OID:
        element = encode_oid(value)
    elif tag == Tag.IP_ADDRESS:
        element = tlv(tag, _octets_of(value))
    else:
        raise ValueError(f"text cannot be a value of type {tag:#x}")
    return tlv(Tag.SEQUENCE, encode_oid(oid) + element)


def _octets_of(address: str) -> bytes:
    parts = [int(part) for part in address.split(".")]
    if len(parts) != 4:
        raise ValueError(f"not an IPv4 address: {address!r}")
    return bytes(parts)
