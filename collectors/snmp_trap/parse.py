"""Notifications to names and texts. Pure; raises DecodeError and nothing else.

A v1 trap is translated to its v2 name and values (RFC 3584 section 3.1). sysUpTime and snmpTrapOID
are taken out of the values, as they are in the event itself; communities never are in it.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from functools import lru_cache
from typing import NamedTuple

from collectors.snmp_codec.ber import DecodeError, header
from collectors.snmp_codec.message import (
    INFORM,
    MAX_VARBINDS,
    RESPONSE,
    TRAP1,
    TRAP2,
    Message,
    Pdu,
    TrapV1,
    VarBind,
    decode,
    decode_varbinds,
    encode,
)

SYS_UPTIME = "1.3.6.1.2.1.1.3.0"
TRAP_OID = "1.3.6.1.6.3.1.1.4.1.0"
TRAP_ENTERPRISE = "1.3.6.1.6.3.1.1.4.3.0"
TRAP_ADDRESS = "1.3.6.1.6.3.18.1.3.0"
TRAP_COMMUNITY = "1.3.6.1.6.3.18.1.4.0"
GENERIC = "1.3.6.1.6.3.1.1.5."  # snmpTraps: coldStart(0) is .1 … egpNeighborLoss(5) is .6
ENTERPRISE_SPECIFIC = 6

_UPTIME_BIND = bytes.fromhex("06082b0601020101030043")
_NO_ERROR = bytes.fromhex("020100020100")
_UPTIME_OCTETS = 15  # of its binding at least: two heads, the name, a number of one octet
_LEAST_OCTETS = 3 + len(_NO_ERROR) + 2 + _UPTIME_OCTETS
_new = tuple.__new__
REMEMBERED = 4096  # bodies; a storm repeats itself
REMEMBERED_OCTETS = 1024  # longer ones are read anew, so this stays under about 20 MB


class Body:
    """What a notification says. Equal octets give the same object while they are remembered, so
    that a storm costs one decode for many; it is compared by identity."""

    __slots__ = ("name", "values")

    def __init__(self, name: str, values: Mapping[str, str]) -> None:
        self.name = name
        self.values = values


class Notification(NamedTuple):
    """One v1 or v2c trap or inform. `agent` is the agent-addr of a v1 trap, else ""."""

    tag: int
    community: bytes
    request_id: int
    body: Body
    agent: str = ""


def peek(data: bytes) -> int:
    """Return 3 for an SNMPv3 message, else the PDU's tag, or 0 where the head is odd.

    A guess good enough to put informs first; `read` judges. Never raises.
    """
    if len(data) < 8:
        return 0
    at = 2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)
    if data[at : at + 3] == b"\x02\x01\x03":
        return 3
    at += 5 + data[at + 4] if at + 4 < len(data) else 0
    return data[at] if at < len(data) else 0


class WrongCommunity(DecodeError):
    """The community is none of ours; nothing behind it was read."""


def read(data: bytes, communities: Container[bytes] | None = None) -> Notification:
    """Return the notification in a v1 or v2c datagram. Raises DecodeError for anything else.

    `communities`: those believed; None lets all pass.
    """
    tag, at, end = header(data, 0, len(data))
    if data[at : at + 2] != b"\x02\x01":
        raise DecodeError("no version")
    version = data[at + 2 : at + 3]
    kind, start, at = header(data, at + 3, end)
    if kind != 0x04:
        raise DecodeError("no community")
    community = data[start:at]
    if communities is not None and community not in communities:
        raise WrongCommunity("not a community of ours")
    plain = tag == 0x30 and end == len(data) and version == b"\x01"
    return (_short_cut(data, community, at) if plain else None) or _long_way(data)


def _short_cut(data: bytes, community: bytes, at: int) -> Notification | None:
    """Read the head of the PDU at `at` only, and look its body up by its octets.

    Returns None where it is not a v2c notification of the plainest shape: the whole decoder judges
    it then. What is accepted here reads there the same (a property test).
    """
    end = len(data)
    pdu, at, stop = header(data, at, end)
    if pdu not in (TRAP2, INFORM) or stop != end or end - at < _LEAST_OCTETS:
        return None
    start, size = at + 2, data[at + 1]
    at = start + size
    if data[start - 2] != 0x02 or not 1 <= size <= 4 or not data.startswith(_NO_ERROR, at):
        return None
    tag, rest, stop = header(data, at + 6, end)
    if tag != 0x30 or stop != end or end - rest > REMEMBERED_OCTETS:
        return None
    if end - rest < _UPTIME_OCTETS or not data.startswith(_UPTIME_BIND, rest + 2):
        return None
    size = data[rest + 13]  # of the uptime's number, which ends the first binding
    bind, rest = data[rest : rest + 2], rest + 14 + size
    if not 1 <= size <= 9 or bind != bytes((0x30, 12 + size)) or rest > end:
        return None
    request_id = int.from_bytes(data[start:at], "big", signed=True)
    said = (pdu, community, request_id, _known_body(data[rest:]), "")
    return _new(Notification, said)


@lru_cache(maxsize=REMEMBERED)
def _known_body(rest: bytes) -> Body:
    return body_of(decode_varbinds(rest, 0, len(rest), MAX_VARBINDS - 1))


def _long_way(data: bytes) -> Notification:
    _, community, pdu = decode(data)
    if isinstance(pdu, TrapV1):
        read = _known_body_of_v1 if len(data) <= REMEMBERED_OCTETS else _body_of_v1
        body = read(pdu.enterprise, pdu.agent_address, pdu.generic, pdu.specific, pdu.varbinds)
        return Notification(TRAP1, community, 0, body, pdu.agent_address)
    if pdu.tag not in (TRAP2, INFORM):
        raise DecodeError(f"not a notification: PDU {pdu.tag:#x}")
    return Notification(pdu.tag, community, pdu.request_id, body_of(pdu.varbinds))


def body_of(varbinds: Iterable[VarBind]) -> Body:
    """Return what the variable-bindings of a v2 notification say.

    snmpTrapOID.0 should be the second; agents that put it elsewhere are understood. Raises
    DecodeError where there is none.
    """
    values: dict[str, str] = {}
    name = ""
    for oid, _, value in varbinds:
        if oid == TRAP_OID and isinstance(value, str):
            name = name or value
        elif oid not in (SYS_UPTIME, TRAP_COMMUNITY):
            values[oid] = text_of(value)
    if not name:
        raise DecodeError("a notification without snmpTrapOID.0")
    return Body(name, values)


def _body_of_v1(
    enterprise: str, agent: str, generic: int, specific: int, varbinds: tuple[VarBind, ...]
) -> Body:
    """RFC 3584 section 3.1, (2) to (4). snmpTrapCommunity.0 is left out: it is a secret."""
    if not 0 <= generic <= ENTERPRISE_SPECIFIC:
        raise DecodeError(f"generic-trap {generic}")
    if generic == ENTERPRISE_SPECIFIC:
        name = f"{enterprise}.0.{specific}"
    else:
        name = f"{GENERIC}{generic + 1}"
    values = {bind.oid: text_of(bind.value) for bind in varbinds if bind.oid not in _NOT_A_VALUE}
    values.setdefault(TRAP_ADDRESS, agent)
    values.setdefault(TRAP_ENTERPRISE, enterprise)
    return Body(name, values)


_known_body_of_v1 = lru_cache(maxsize=REMEMBERED)(_body_of_v1)
_NOT_A_VALUE = frozenset({SYS_UPTIME, TRAP_OID, TRAP_COMMUNITY})


def text_of(value: int | bytes | str | None) -> str:
    """Return a value as text: numbers in decimal, octets as UTF-8 where printable, else 0x…."""
    if isinstance(value, bytes):
        try:
            text = value.decode()
        except UnicodeDecodeError:
            return "0x" + value.hex()
        return text if text.isprintable() else "0x" + value.hex()
    return "" if value is None else str(value)


def response_to(data: bytes) -> bytes:
    """Return the Response that acknowledges the v2c inform in `data` (RFC 3416 section 4.2.7).

    It repeats the variable-bindings. Raises DecodeError where `data` is no inform.
    """
    message = decode(data)
    pdu = message.pdu
    if not isinstance(pdu, Pdu) or pdu.tag != INFORM:
        raise DecodeError("not an inform")
    answer = Pdu(RESPONSE, pdu.request_id, 0, 0, pdu.varbinds)
    return encode(Message(message.version, message.community, answer))
