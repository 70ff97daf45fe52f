"""The envelope of an SNMPv3 message with the User-based Security Model, to values and back.

RFC 3412 section 6, RFC 3414 section 2.4. Nothing is verified or decrypted here; `EngineClock` is
for times that have been verified.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from collectors.snmp_codec.ber import DecodeError, Tag, header, integer, signed, tlv
from collectors.snmp_codec.message import (
    MAX_DATAGRAM,
    MAX_VARBINDS,
    Pdu,
    TrapV1,
    decode_pdu,
    encode_pdu,
)

AUTH, PRIV, REPORTABLE = 0x01, 0x02, 0x04  # bits of msgFlags
USM = 3
LONGEST_ENGINE_ID = 32  # octets (RFC 3411 section 5, SnmpEngineID)
MAX_SIZE = 65_507  # the msgMaxSize we state: what UDP over IPv4 can carry
MOST_BOOTS = 2**31 - 1
WINDOW_S = 150  # RFC 3414 section 2.2.3
_MOST = 2**31 - 1


@dataclass(slots=True)
class EngineClock:
    """The clock of an engine that is the authoritative one, as authentic messages told it.

    `mono_s` is when that was, in seconds of a clock that only goes on; None where it is not known
    and no time is taken to have passed since.
    """

    boots: int
    time: int  # the latest engine time received, in seconds
    mono_s: float | None

    def now(self, mono_s: float) -> int:
        """Return our notion of its engine time."""
        passed = 0 if self.mono_s is None else int(mono_s - self.mono_s)
        return min(self.time + passed, _MOST)

    def late(self, boots: int, time: int, mono_s: float) -> bool:
        """Return whether a message of that moment is outside the window (section 3.2 (7) b 2)."""
        return boots < self.boots or (boots == self.boots and time < self.now(mono_s) - WINDOW_S)

    def advance(self, boots: int, time: int, mono_s: float) -> bool:
        """Take a later moment over (section 3.2 (7) b 1); return whether it was one."""
        if (boots, time) <= (self.boots, self.time):
            return False
        self.boots, self.time, self.mono_s = boots, time, mono_s
        return True


class MessageV3(NamedTuple):
    """One message as it is on the wire.

    `scoped` is the whole ScopedPDU element, or the ciphertext where `flags` has PRIV. `auth_at` is
    where `auth` begins in the datagram (0 where unknown): verifying needs zeros there.
    """

    msg_id: int
    max_size: int
    flags: int
    engine_id: bytes
    boots: int
    time: int
    user: bytes
    auth: bytes
    priv: bytes
    scoped: bytes
    auth_at: int = 0


class Scoped(NamedTuple):
    """What is inside: a PDU and the context it speaks of."""

    engine_id: bytes
    name: bytes
    pdu: Pdu


def _octets(data: bytes, at: int, end: int, most: int) -> tuple[int, int]:
    tag, start, stop = header(data, at, end)
    if tag != Tag.OCTET_STRING or stop - start > most:
        raise DecodeError("an OCTET STRING is missing or too long")
    return start, stop


def _number(data: bytes, at: int, end: int) -> tuple[int, int]:
    tag, start, stop = header(data, at, end)
    value = signed(data[start:stop]) if tag == Tag.INTEGER else -1
    if not 0 <= value <= _MOST:
        raise DecodeError("a number is missing or out of range")
    return value, stop


def _inside(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    found, start, stop = header(data, at, end)
    if found != tag:
        raise DecodeError(f"tag {found:#x} instead of {tag:#x}")
    return start, stop


def decode_v3(data: bytes) -> MessageV3:
    """Return the envelope in `data`. Raises DecodeError, and nothing else, in linear time.

    Reserved bits of msgFlags are ignored (RFC 3412 section 6.4); privacy without authentication
    and any security model but USM are refused.
    """
    if len(data) > MAX_DATAGRAM:
        raise DecodeError("longer than a datagram can be")
    at, end = _inside(data, 0, len(data), Tag.SEQUENCE)
    version, at = _number(data, at, end)
    if version != 3 or end != len(data):
        raise DecodeError("not one SNMPv3 message")
    inner, at = _inside(data, at, end, Tag.SEQUENCE)
    msg_id, inner = _number(data, inner, at)
    max_size, inner = _number(data, inner, at)
    start, inner = _octets(data, inner, at, 1)
    flags = data[start] & 0x07 if inner > start else PRIV
    model, inner = _number(data, inner, at)
    if inner != at or model != USM or flags & (AUTH | PRIV) == PRIV:
        raise DecodeError("global data of no use")
    inner, at = _octets(data, at, end, 1024)
    engine_id, boots, time, user, auth, auth_at, priv = _security(data, inner, at)
    start, stop = header(data, at, end)[1:]
    if stop != end or data[at] != (Tag.OCTET_STRING if flags & PRIV else Tag.SEQUENCE):
        raise DecodeError("scoped PDU not as the flags say")
    scoped = data[start:stop] if flags & PRIV else data[at:end]
    return MessageV3(
        msg_id, max_size, flags, engine_id, boots, time, user, auth, priv, scoped, auth_at
    )


def _security(data: bytes, at: int, end: int) -> tuple[bytes, int, int, bytes, bytes, int, bytes]:
    inner, stop = _inside(data, at, end, Tag.SEQUENCE)
    start, inner = _octets(data, inner, stop, LONGEST_ENGINE_ID)
    engine_id = data[start:inner]
    boots, inner = _number(data, inner, stop)
    time, inner = _number(data, inner, stop)
    start, inner = _octets(data, inner, stop, 32)
    user = data[start:inner]
    auth_at, inner = _octets(data, inner, stop, 64)
    auth = data[auth_at:inner]
    start, inner = _octets(data, inner, stop, 64)
    if inner != stop or stop != end:
        raise DecodeError("octets after the security parameters")
    return engine_id, boots, time, user, auth, auth_at, data[start:inner]


def decode_scoped(data: bytes, max_varbinds: int = MAX_VARBINDS) -> Scoped:
    """Return the ScopedPDU at the start of `data` (a block cipher may have padded it).

    Raises DecodeError.
    """
    at, end = _inside(data, 0, len(data), Tag.SEQUENCE)
    start, at = _octets(data, at, end, LONGEST_ENGINE_ID)
    engine_id = data[start:at]
    start, at = _octets(data, at, end, 255)
    name = data[start:at]
    if header(data, at, end)[2] != end:
        raise DecodeError("octets after the PDU")
    pdu = decode_pdu(data, at, end, max_varbinds)
    if isinstance(pdu, TrapV1):
        raise DecodeError("a v1 trap in SNMPv3")
    return Scoped(engine_id, name, pdu)


def encode_scoped(scoped: Scoped) -> bytes:
    """Return the ScopedPDU element."""
    engine_id, name, pdu = scoped
    contents = tlv(Tag.OCTET_STRING, engine_id) + tlv(Tag.OCTET_STRING, name) + encode_pdu(pdu)
    return tlv(Tag.SEQUENCE, contents)


def size_of(octets: int) -> int:
    """Return how long an element with so many octets of contents is."""
    return octets + (2 if octets < 0x80 else 2 + (octets.bit_length() + 7) // 8)


def encode_v3(message: MessageV3) -> bytes:
    """Return the octets of `message`; `auth_at` is not looked at."""
    head = (
        integer(message.msg_id)
        + integer(message.max_size)
        + tlv(Tag.OCTET_STRING, bytes([message.flags]))
        + integer(USM)
    )
    security = (
        tlv(Tag.OCTET_STRING, message.engine_id)
        + integer(message.boots)
        + integer(message.time)
        + tlv(Tag.OCTET_STRING, message.user)
        + tlv(Tag.OCTET_STRING, message.auth)
        + tlv(Tag.OCTET_STRING, message.priv)
    )
    scoped = message.scoped
    if message.flags & PRIV:
        scoped = tlv(Tag.OCTET_STRING, scoped)
    return tlv(
        Tag.SEQUENCE,
        integer(3)
        + tlv(Tag.SEQUENCE, head)
        + tlv(Tag.OCTET_STRING, tlv(Tag.SEQUENCE, security))
        + scoped,
    )
