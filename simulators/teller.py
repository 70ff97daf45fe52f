"""Sends notifications to whoever is to hear them, and repeats informs until acknowledged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from collectors.snmp_codec.ber import DecodeError, header, signed
from collectors.snmp_codec.message import REPORT, RESPONSE
from simulators import notify, usm
from simulators.device import Device
from simulators.notify import Told
from simulators.scenario import At, TrapTarget
from simulators.truth import Truth

Send = Callable[[Device, bytes, tuple[str, int]], None]
Later = Callable[[float, Callable[[float], None]], None]
Engine = tuple[bytes, int, int]


@dataclass(slots=True, kw_only=True)
class Inform:
    """An inform on its way. `engine` is the receiver's, once it has named it."""

    device: Device
    told: Told
    target: TrapTarget
    number: int
    ticks: int
    tries: int = 0
    engine: Engine | None = None


class Teller:
    """Tells every target. `later(due, act)` calls `act` at a scenario's second."""

    def __init__(self, targets: tuple[TrapTarget, ...], users: usm.Users, send: Send) -> None:
        self.targets = targets
        self._users = users
        self._send = send
        self._number = 0
        self._waiting: dict[int, Inform] = {}
        self.sent = self.acknowledged = self.given_up = 0

    def tell(
        self, device: Device, told: Told, at: At | None, now: float, truth: Truth, later: Later
    ) -> None:
        """Send one notification to every target and write it down."""
        for target in self.targets:
            said: dict[str, object] = {}
            if at and at.version and at.version != target.version:
                said["version"] = at.version
            if at and at.inform is not None:
                said["inform"] = at.inform
            target_now = target.model_copy(update=said)
            if target_now.version == "v3" and target_now.user not in self._users:
                where = f"{target.address}:{target.port}"
                truth.say(
                    "trap_lost", now, device=device.name, trap=told.trap, to=where, why="no user"
                )
                continue
            self._tell_one(device, told, target_now, now, truth, later)

    def _tell_one(
        self, device: Device, told: Told, target: TrapTarget, now: float, truth: Truth, later: Later
    ) -> None:
        self._number += 1
        number, ticks = self._number, device.uptime_ticks(now)
        inform = target.inform and target.version != "v1"
        truth.say(
            "trap",
            now,
            device=device.name,
            trap=told.trap,
            oid=".".join(map(str, told.oid)),
            to=f"{target.address}:{target.port}",
            version=target.version,
            inform=inform,
            number=number,
            **dict(told.said),
        )
        if inform:
            one = Inform(device=device, told=told, target=target, number=number, ticks=ticks)
            self._try(one, truth, later, now)
        else:
            self._put(device, self._trap(device, told, target, number, now), target)

    def _trap(
        self, device: Device, told: Told, target: TrapTarget, number: int, now: float
    ) -> bytes:
        ticks = device.uptime_ticks(now)
        if target.version == "v1":
            return notify.v1(told, ticks, target.community, device.said.address)
        if target.version == "v2c":
            return notify.v2c(told, ticks, target.community, number, False)
        engine = usm.clocks(device, now)
        return notify.v3(told, ticks, self._users[target.user], engine, number, False)

    def _put(self, device: Device, data: bytes, target: TrapTarget) -> None:
        self.sent += 1
        self._send(device, data, (target.address, target.port))

    def _try(self, one: Inform, truth: Truth, later: Later, now: float) -> None:
        """Send an inform (again), unless it is acknowledged or tried often enough."""
        if one.tries and one.number not in self._waiting:
            return
        if one.tries > one.target.retries:
            del self._waiting[one.number]
            self.given_up += 1
            truth.say("inform_given_up", now, device=one.device.name, number=one.number)
            return
        one.tries += 1
        self._waiting[one.number] = one
        self._send_inform(one)
        later(now + one.target.timeout, partial(self._try, one, truth, later))

    def _send_inform(self, one: Inform) -> None:
        if one.target.version == "v2c":
            data = notify.v2c(one.told, one.ticks, one.target.community, one.number, True)
        elif one.engine is None:
            data = notify.probe(one.number)
        else:
            user = self._users[one.target.user]
            data = notify.v3(one.told, one.ticks, user, one.engine, one.number, True)
        self._put(one.device, data, one.target)

    def heard(self, data: bytes, now: float, truth: Truth) -> bool:
        """Take what came back for an inform; False where `data` is no such thing."""
        try:
            tag, number, engine = self._read(data)
        except (DecodeError, IndexError):
            return False
        one = self._waiting.get(number)
        if tag not in (RESPONSE, REPORT) or one is None:
            return tag in (RESPONSE, REPORT)
        if tag == RESPONSE:
            del self._waiting[number]
            self.acknowledged += 1
            truth.say("acknowledged", now, device=one.device.name, number=number)
        elif engine is not None and engine != one.engine:
            one.engine = engine
            self._send_inform(one)
        return True

    def _read(self, data: bytes) -> tuple[int, int, Engine | None]:
        """Return (PDU tag, number of the inform, engine of the speaker). Raises DecodeError."""
        _, at, end = header(data, 0, len(data))
        _, start, at = header(data, at, end)
        if data[start] < 3:
            _, _, at = header(data, at, end)
            tag, at, end = header(data, at, end)
            _, start, at = header(data, at, end)
            return tag, signed(data[start:at]), None
        parts = usm.take_apart(data)
        engine = (parts.engine_id, parts.boots, parts.time_s)
        one = self._waiting.get(parts.message_id)
        if one is None:
            return 0, 0, None
        user = self._users[one.target.user]
        if parts.flags & usm.AUTH and not usm.authentic(data, parts, user, parts.engine_id):
            raise DecodeError("digest")
        scoped = usm.opened(parts, user)
        _, at, end = header(scoped, 0, len(scoped))
        _, _, at = header(scoped, at, end)
        _, _, at = header(scoped, at, end)
        return scoped[at], parts.message_id, engine
