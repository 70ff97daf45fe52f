"""What an agent answers to a datagram: SNMPv1 and v2c here, SNMPv3 through `usm`.

The common case is planned (see `shape`) and joins encoded varbinds; a device that lies takes the
longer way through `lies`.
"""

from __future__ import annotations

from typing import NamedTuple

from collectors.snmp_codec.ber import DecodeError, Tag, header, tlv
from collectors.snmp_codec.message import GETBULK, RESPONSE
from simulators import lies, usm
from simulators.device import Device
from simulators.shape import Plan

GEN_OVERHEAD = 60  # room for what stands around the varbinds of an answer
TOO_BIG = 1
NO_ERROR = b"\x02\x01\x00\x02\x01\x00"


class Answer(NamedTuple):
    """One datagram to send back. `after` seconds late; `strange`: from another port."""

    data: bytes
    after: float = 0.0
    strange: bool = False


def answer(device: Device, data: bytes, now: float, users: usm.Users) -> list[Answer]:
    """Return what `device` answers to `data`; nothing where it would keep silent.

    Never raises, whatever the octets are.
    """
    try:
        _, at, end = header(data, 0, len(data))
        _, start, at = header(data, at, end)
        version = data[start]
        if version == 3 and "v3" in versions(device):
            return _answer_v3(device, data, now, users)
        if version > 1 or ("v1", "v2c")[version] not in versions(device):
            raise DecodeError("not a version this device speaks")
        return _answer_community(device, version, data[at:end], now)
    except (DecodeError, IndexError):
        device.refused += 1
        return []


def _answer_community(device: Device, version: int, data: bytes, now: float) -> list[Answer]:
    """`data` is a message behind its version."""
    end = len(data)
    _, start, stop = header(data, 0, end)
    if data[start:stop] != device.community:
        raise DecodeError("not our community")
    opens = bytes((2, 1, version)) + data[:stop]
    tag, at, end = header(data, stop, end)
    _, _, stop = header(data, at, end)
    request_id, tail = data[at:stop], data[stop:end]
    plan = device.shape.plan(version, tag, tail)
    device.requests += 1
    if device.lie:
        asked = lies.Ask(version, opens[3:], tag, request_id, tail)
        return _lying(device, asked, plan, now)
    pdu = respond(device, tag, request_id, plan, now, len(opens) + 5)
    device.responses += 1
    return [Answer(tlv(Tag.SEQUENCE, opens + pdu))]


def versions(device: Device) -> tuple[str, ...]:
    """Return the versions the device speaks: v3 only where it has a user, unless told."""
    said = device.said
    return said.versions or (("v3",) if said.user else ("v1", "v2c"))


def respond(
    device: Device, tag: int, request_id: bytes, plan: Plan, now: float, around: int
) -> bytes:
    """Return the Response PDU: cut where it is a GETBULK that would not fit, else tooBig."""
    if plan.status:
        return error(request_id, plan.status, plan.at_fault, plan.asked)
    found = device.values(plan.items, now)
    body = b"".join(found)
    room = device.said.max_message - around - GEN_OVERHEAD
    if len(body) > room:
        if tag != GETBULK:
            return error(request_id, TOO_BIG, 0, b"\x30\x00")
        while found and len(body) > room:
            keep = max(1, len(found) * room // len(body))
            found = found[: min(keep, len(found) - 1)]
            body = b"".join(found)
    device.varbinds += len(found)
    return tlv(RESPONSE, request_id + NO_ERROR + tlv(Tag.SEQUENCE, body))


def error(request_id: bytes, status: int, index: int, asked: bytes) -> bytes:
    """Return a Response PDU that is an error, with the varbinds that were asked for."""
    said = bytes((2, 1, status, 2, 1, index)) if index < 128 else b""
    said = said or bytes((2, 1, status, 2, 2)) + index.to_bytes(2, "big")
    return tlv(RESPONSE, request_id + said + asked)


def _lying(device: Device, asked: lies.Ask, plan: Plan, now: float) -> list[Answer]:
    reply = lies.Reply(asked, plan, now, device)
    lies.MODES[device.lie](reply, device)
    device.responses += 1
    device.varbinds += len(reply.binds)
    return [Answer(data, reply.after, reply.strange) for data in reply.datagrams()]


def _answer_v3(device: Device, data: bytes, now: float, users: usm.Users) -> list[Answer]:
    asked = usm.open_request(device, data, now, users)
    if isinstance(asked, bytes):  # a report
        return [Answer(asked)] if asked else []
    plan = device.shape.plan(1, asked.tag, asked.tail)
    device.requests += 1
    after, strange = 0.0, False
    if device.lie:
        said = lies.Ask(3, b"", asked.tag, asked.request_id, asked.tail)
        reply = lies.Reply(said, plan, now, device)
        lies.MODES[device.lie](reply, device)
        pdus = reply.pdus()
        after, strange = reply.after, reply.strange
    else:
        pdus = [respond(device, asked.tag, asked.request_id, plan, now, 160)]
    device.responses += 1
    return [Answer(usm.seal_answer(device, asked, pdu, now), after, strange) for pdu in pdus]
