"""One network element: its ports, clocks and states, and the list of its encoded varbinds.

Time is seconds of the scenario and is passed in. Nothing here knows sockets or topology.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from hashlib import sha256
from math import sin, tau
from random import Random

from simulators import scenario
from simulators.flow import M32, Flow
from simulators.shape import Shape
from simulators.wire import TICKS, address, name, number, octets, oid, varbind

UP, DOWN = 1, 2
IDLE, ESTABLISHED = 1, 6  # bgpPeerState
TICK_WRAP = 2**32 / 100  # seconds until sysUpTime wraps


class Port:
    """A port as it is now. `faults` says what holds it down; carrier faults begin with "link:"."""

    __slots__ = (
        "admin_up",
        "changed",
        "discontinuity",
        "down_s",
        "down_since",
        "errors",
        "faults",
        "index",
        "inward",
        "name",
        "outward",
        "said",
        "was_admin",
        "was_up",
    )

    def __init__(self, said: scenario.Port, index: int, swing: float, random: Random) -> None:
        self.said = said
        self.name = said.name
        self.index = index
        self.inward = Flow(said.inward / 8, swing, random, random.randrange(10**12))
        self.outward = Flow(said.outward / 8, swing, random, random.randrange(10**12))
        self.errors = Flow(said.errors, 0.0, random, random.randrange(100))
        self.admin_up = said.admin == "up"
        self.faults: set[str] = set()
        self.was_up, self.was_admin = self.up, self.admin_up
        self.down_s, self.down_since = 0.0, 0.0
        self.changed = self.discontinuity = 0.0  # when, scenario's seconds

    @property
    def sound(self) -> bool:
        """Whether this end by itself would carry light."""
        return self.admin_up and not any(not f.startswith("link:") for f in self.faults)

    @property
    def up(self) -> bool:
        return self.admin_up and not self.faults

    def down_until(self, now: float) -> float:
        """Return for how many seconds the port was down so far."""
        return self.down_s + (0.0 if self.was_up else now - self.down_since)


class Peer:
    """A BGP peer as it is now."""

    __slots__ = ("address", "since", "transitions", "up")

    def __init__(self, said: scenario.Peer) -> None:
        self.address = said.address
        self.up = said.up
        self.transitions = int(said.up)
        self.since = 0.0


class Device:
    """A device. `answers` is False while it is off, silent, or cut off from the poller."""

    def __init__(self, said: scenario.Device, shape: Shape, ports: list[Port], seed: int) -> None:
        self.said = said
        self.name = said.name
        self.community = said.community.encode()
        self.shape = shape
        self.ports = ports
        self.peers = [Peer(peer) for peer in said.bgp]
        self.random = Random(f"{seed}:{said.name}")
        self.salt = self.random.random() * tau
        self.booted = -said.uptime  # sysUpTime's zero
        self.powered_on = -said.uptime
        self.engine_booted = -said.uptime
        self.boots = said.boots
        self.powered = True
        self.silent = False  # the agent, while the device forwards
        self.reachable = True
        self.lie = said.lie
        self.loss, self.delay, self.duplicate = said.loss, said.delay, said.duplicate
        digest = sha256(f"{seed}:{said.name}".encode()).digest()
        self.engine_id = bytes.fromhex(said.engine_id) or b"\x80\x00\x1f\x88\x04" + digest[:12]
        self.facts: dict[Hashable, bytes] = self._first_facts(digest)
        self.overrides: dict[bytes, bytes] = {}  # encoded name → value, by the event "set"
        self.binds: list[bytes | None] = []
        self.live = shape.live
        self.wear(shape)
        self.said_state = "answers"  # what the truth log last said
        self.silent_s, self.silent_since = 0.0, 0.0
        self.reports: dict[int, int] = {}  # usmStats counters
        self.requests = self.responses = self.varbinds = self.refused = 0

    def _first_facts(self, digest: bytes) -> dict[Hashable, bytes]:
        said = self.said
        descr = said.descr or f"netopsd simulated {said.kind}"
        facts: dict[Hashable, bytes] = {
            "descr": octets(descr),
            "object_id": name(oid(said.object_id)),
            "contact": octets(said.contact),
            "name": octets(said.name),
            "location": octets(said.location or said.site),
            "engine_id": octets(self.engine_id),
            "max_message": number(said.max_message),
            "boots": number(self.boots),
            "address": address(said.address),
            "table_changed": number(0, TICKS),
        }
        for at, port in enumerate(self.ports):
            port.changed = port.discontinuity = self.powered_on
            facts["alias", at] = octets(port.said.alias)
            facts["mac", at] = octets(b"\x02" + digest[:3] + at.to_bytes(2, "big"))
            facts["admin", at] = number(UP if port.admin_up else DOWN)
            facts["oper", at] = number(UP if port.up else DOWN)
            facts["changed", at] = facts["discontinuity", at] = number(0, TICKS)
        for at, peer in enumerate(self.peers):
            facts["bgp", at] = number(ESTABLISHED if peer.up else IDLE)
            facts["bgp_transitions", at] = number(peer.transitions, 0x41)
        return facts

    def wear(self, shape: Shape) -> None:
        """Take on `shape` (again): every fact and override goes to its place in it."""
        self.shape = shape
        self.binds = shape.template[:]
        self.live = shape.live
        for key, value in self.facts.items():
            self._place(key, value)
        if self.overrides:
            self.live = dict(shape.live)
            for named, value in self.overrides.items():
                at = shape.position.get(named)
                if at is not None:
                    self.binds[at] = varbind(named, value)
                    self.live.pop(at, None)

    def put(self, key: Hashable, value: bytes) -> None:
        """Make a fact have `value`, an encoded element."""
        if self.facts.get(key) != value:
            self.facts[key] = value
            self._place(key, value)

    def _place(self, key: Hashable, value: bytes) -> None:
        for at in self.shape.where.get(key, ()):
            named = self.shape.names[at]
            if named not in self.overrides:
                self.binds[at] = varbind(named, value)

    def values(self, items: Iterable[int | bytes], now: float) -> list[bytes]:
        """Return the varbinds at the positions in `items`, encoded; octets stand for themselves."""
        binds, live = self.binds, self.live
        found: list[bytes] = []
        keep = found.append
        for item in items:
            if isinstance(item, bytes):
                keep(item)
                continue
            bind = binds[item]
            if bind is None:
                heads, read = live[item]
                value = read(self, now)
                size = (value.bit_length() >> 3) + 1
                bind = heads[size] + value.to_bytes(size, "big")
            keep(bind)
        return found

    @property
    def answers(self) -> bool:
        return self.powered and self.reachable and not self.silent

    def silent_until(self, now: float) -> float:
        """Return for how many seconds the device did not answer so far."""
        return self.silent_s + (0.0 if self.said_state == "answers" else now - self.silent_since)

    def uptime_ticks(self, now: float) -> int:
        """Return sysUpTime, hundredths of a second modulo 2^32."""
        return round((now - self.booted) * 1e6) // 10_000 & M32

    def engine_time(self, now: float) -> int:
        """Return snmpEngineTime in seconds (RFC 3414 section 2.2.1)."""
        return int(now - self.engine_booted) & 0x7FFFFFFF

    def wander(self, mean: float, span: float, salt: int, now: float) -> int:
        """Return a gauge that moves slowly within `mean` ± `span`."""
        return round(mean + span * sin(now / (7 + salt % 5) + self.salt + salt))

    def port(self, called: str) -> Port:
        """Return the port of that name. KeyError where there is none."""
        for port in self.ports:
            if port.name == called:
                return port
        raise KeyError(called)

    def settle(self, now: float) -> list[Port]:
        """Make states and traffic what powers, faults and reach make them.

        Returns the ports whose ifOperStatus changed. A port that is down, or on a device that is
        off or cut off, carries nothing.
        """
        changed = []
        for at, port in enumerate(self.ports):
            up = port.up
            flows = up and self.powered and self.reachable
            port.inward.run(port.said.inward / 8 if flows else 0.0, now)
            port.outward.run(port.said.outward / 8 if flows else 0.0, now)
            port.errors.run(port.said.errors if flows else 0.0, now)
            if port.admin_up != port.was_admin:
                port.was_admin = port.admin_up
                self.put(("admin", at), number(UP if port.admin_up else DOWN))
            if up != port.was_up:
                port.was_up = up
                port.down_s += now - port.down_since if up else 0.0
                port.down_since = port.changed = now
                self.put(("oper", at), number(UP if up else DOWN))
                self.put(("changed", at), number(self.uptime_ticks(now), TICKS))
                changed.append(port)
        return changed

    def rate(self, ports: Sequence[Port], inward: float | None, outward: float | None) -> None:
        """Give `ports` new mean rates, bit/s; `settle` puts them in force."""
        for port in ports:
            update = {"inward": inward, "outward": outward}
            said = {key: value for key, value in update.items() if value is not None}
            port.said = port.said.model_copy(update=said)

    def describe(self, port: Port, alias: str) -> None:
        """Make `alias` the ifAlias of `port`."""
        port.said = port.said.model_copy(update={"alias": alias})
        self.put(("alias", self.ports.index(port)), octets(alias))

    def show(self, ports: Sequence[Port], value: int, now: float, discontinuity: bool) -> None:
        """Make the octet counters of `ports` show `value`; say so unless told not to."""
        for port in ports:
            port.inward.show(value, now)
            port.outward.show(value, now)
            if not value:
                port.errors.show(0, now)
            if discontinuity:
                port.discontinuity = now
                ticks = number(self.uptime_ticks(now), TICKS)
                self.put(("discontinuity", self.ports.index(port)), ticks)

    def boot(self, now: float) -> None:
        """Start anew: clocks and counters at zero, one more boot."""
        self.booted = self.engine_booted = self.powered_on = now
        self.boots += 1
        self.put("boots", number(self.boots))
        self.put("table_changed", number(0, TICKS))
        self.show(self.ports, 0, now, discontinuity=False)
        for at, port in enumerate(self.ports):
            port.changed = port.discontinuity = now
            self.put(("discontinuity", at), number(0, TICKS))
            self.put(("changed", at), number(0, TICKS))

    def near_uptime_wrap(self, before: float, now: float) -> None:
        """Set the clocks so that sysUpTime wraps `before` seconds from now."""
        self.booted = self.engine_booted = now + before - TICK_WRAP

    def peer(self, called: str, up: bool, now: float) -> bool:
        """Move a BGP peer; True where that changed it. KeyError where there is none."""
        for at, peer in enumerate(self.peers):
            if peer.address == called:
                if peer.up == up:
                    return False
                peer.up, peer.since = up, now
                peer.transitions += up
                self.put(("bgp", at), number(ESTABLISHED if up else IDLE))
                self.put(("bgp_transitions", at), number(peer.transitions, 0x41))
                return True
        raise KeyError(called)
