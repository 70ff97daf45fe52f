"""Notifications as bytes: traps and informs of a device, in SNMPv1, v2c and v3 (RFC 3416, 3584)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from collectors.snmp_codec.ber import Tag, tlv
from collectors.snmp_codec.message import GET, INFORM, TRAP1, TRAP2
from simulators import usm
from simulators.device import DOWN, UP, Device, Port
from simulators.scenario import User
from simulators.wire import (
    COUNTER32,
    COUNTER64,
    GAUGE32,
    NULL,
    TICKS,
    Oid,
    address,
    name,
    number,
    octets,
    oid,
    varbind,
)

TRAPS = oid("1.3.6.1.6.3.1.1.5")
UPTIME = name(oid("1.3.6.1.2.1.1.3.0"))
TRAP_OID = name(oid("1.3.6.1.6.3.1.1.4.1.0"))
ENTERPRISE = oid("1.3.6.1.4.1.8072.3.2.10")
GENERIC = ("coldStart", "warmStart", "linkDown", "linkUp", "authenticationFailure")
NAMES = {known: (*TRAPS, at) for at, known in enumerate(GENERIC, 1)} | {
    "bgpEstablished": oid("1.3.6.1.2.1.15.0.1"),
    "bgpBackwardTransition": oid("1.3.6.1.2.1.15.0.2"),
    "entConfigChange": oid("1.3.6.1.2.1.47.2.0.1"),
    "ospfNbrStateChange": oid("1.3.6.1.2.1.14.16.2.2"),
}
TYPES = {
    "integer": 2,
    "string": 4,
    "hex": 4,
    "oid": 6,
    "address": 0x40,
    "counter32": COUNTER32,
    "gauge32": GAUGE32,
    "ticks": TICKS,
    "counter64": COUNTER64,
}

Value = tuple[bytes, bytes]  # name and value, encoded


class Told(NamedTuple):
    """One notification of a device."""

    trap: str  # a word of NAMES, or an OID
    oid: Oid
    values: tuple[Value, ...] = ()
    said: tuple[tuple[str, object], ...] = ()  # the same for the truth log


def link(port: Port, up: bool) -> Told:
    """Return linkUp or linkDown for a port (RFC 2863 section 3.1.15)."""
    trap = "linkUp" if up else "linkDown"
    columns = {1: port.index, 7: UP if port.admin_up else DOWN, 8: UP if up else DOWN}
    listed = [
        (f"1.3.6.1.2.1.2.2.1.{column}.{port.index}", value) for column, value in columns.items()
    ]
    values = tuple((name(oid(text)), number(value)) for text, value in listed)
    return Told(trap, NAMES[trap], values, (("port", port.name), ("ifIndex", port.index)))


def plain(trap: str) -> Told:
    """Return a notification without values. ValueError where `trap` is neither word nor OID."""
    return Told(trap, NAMES[trap] if trap in NAMES else oid(trap))


def bgp(device: Device, peer: str) -> Told:
    """Return what RFC 4273 wants told when a peer changes."""
    found = next(one for one in device.peers if one.address == peer)
    trap = "bgpEstablished" if found.up else "bgpBackwardTransition"
    state = 6 if found.up else 1
    values = (
        (name(oid(f"1.3.6.1.2.1.15.3.1.7.{peer}")), address(peer)),
        (name(oid(f"1.3.6.1.2.1.15.3.1.14.{peer}")), octets(b"\0\0")),
        (name(oid(f"1.3.6.1.2.1.15.3.1.2.{peer}")), number(state)),
    )
    return Told(trap, NAMES[trap], values, (("peer", peer), ("state", state)))


def value(listed: tuple[str, str, int | str]) -> Value:
    """Return [OID, type, value] of a scenario, encoded. ValueError where it is not right."""
    text, kind, said = listed
    if kind not in TYPES:
        raise ValueError(f"type {kind!r}; known are {', '.join(TYPES)}")
    named = name(oid(text))
    if kind == "string":
        return named, octets(str(said))
    if kind == "hex":
        return named, octets(bytes.fromhex(str(said)))
    if kind == "oid":
        return named, name(oid(str(said)))
    if kind == "address":
        return named, address(str(said))
    return named, number(int(said), TYPES[kind])


def pdu(told: Told, ticks: int, request_id: int, inform: bool) -> bytes:
    """Return a v2 trap or inform PDU (RFC 3416 section 4.2.6)."""
    first = varbind(UPTIME, number(ticks, TICKS)) + varbind(TRAP_OID, name(told.oid))
    more = b"".join(varbind(named, encoded) for named, encoded in told.values)
    body = number(request_id) + number(0) + number(0) + tlv(Tag.SEQUENCE, first + more)
    return tlv(INFORM if inform else TRAP2, body)


def v1(told: Told, ticks: int, community: str, agent: str) -> bytes:
    """Return the SNMPv1 message of a notification (RFC 3584 section 3.2)."""
    generic, specific, enterprise = 6, told.oid[-1], told.oid[:-1]
    if told.oid[:-1] == TRAPS:
        generic, specific, enterprise = told.oid[-1] - 1, 0, ENTERPRISE
    elif enterprise[-1] == 0:
        enterprise = enterprise[:-1]
    binds = b"".join(varbind(named, encoded) for named, encoded in told.values)
    body = (
        name(enterprise)
        + address(agent)
        + number(generic)
        + number(specific)
        + number(ticks, TICKS)
        + tlv(Tag.SEQUENCE, binds)
    )
    return tlv(Tag.SEQUENCE, number(0) + octets(community) + tlv(TRAP1, body))


def v2c(told: Told, ticks: int, community: str, request_id: int, inform: bool) -> bytes:
    """Return the SNMPv2c message of a notification."""
    body = pdu(told, ticks, request_id, inform)
    return tlv(Tag.SEQUENCE, number(1) + octets(community) + body)


def v3(
    told: Told,
    ticks: int,
    user: User,
    engine: tuple[bytes, int, int],
    message_id: int,
    inform: bool,
) -> bytes:
    """Return the SNMPv3 message. `engine`: the sender's of a trap, an inform's receiver's."""
    scoped = usm.scope(engine[0], pdu(told, ticks, message_id, inform))
    flags = usm.level(user) | (usm.REPORTABLE if inform else 0)
    return usm.sealed(user, engine, message_id, flags, scoped)


def probe(message_id: int) -> bytes:
    """Return the request that makes a receiver of informs name its engine (RFC 3414 section 4)."""
    body = number(message_id) + number(0) + number(0) + tlv(Tag.SEQUENCE, b"")
    nobody = User.model_construct(name="", auth="", privacy="")
    scoped = usm.scope(b"", tlv(GET, body))
    return usm.sealed(nobody, (b"", 0, 0), message_id, usm.REPORTABLE, scoped)


def overriding(said: int | str) -> bytes:
    """Return the value of the event "set", encoded: a number is an INTEGER, a text a string."""
    return NULL if said is None else number(said) if isinstance(said, int) else octets(said)


def told(trap: str, listed: Sequence[tuple[str, str, int | str]]) -> Told:
    """Return the notification a scenario's event describes. ValueError where it is not right."""
    one = plain(trap)
    values = tuple(value(entry) for entry in listed)
    return one._replace(values=values, said=tuple((entry[0], entry[2]) for entry in listed))
