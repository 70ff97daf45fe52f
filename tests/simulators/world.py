"""A simulated network without sockets, whose time a test moves."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from collectors.snmp_codec.ber import Tag
from collectors.snmp_codec.message import (
    GET,
    GETBULK,
    GETNEXT,
    Message,
    Pdu,
    VarBind,
    decode,
    encode,
)
from simulators import agent, events
from simulators.network import Network
from simulators.notify import Told
from simulators.reading import event, make
from simulators.truth import Truth

SMALL = """
[network]
community = "public"
seed = 7
swing = 0.3
[[device]]
name = "a"
address = "127.0.5.1"
ports = [
  { name = "p1", alias = "to b", in = "8M", out = "80k" },
  { name = "p2", in = "800k", out = "8k", errors = 2 },
  { name = "p3", admin = "down" },
]
bgp = [{ address = "10.0.0.9", remote_as = 65001 }]
[[device]]
name = "b"
address = "127.0.5.2"
ports = 2
[[device]]
name = "c"
address = "127.0.5.3"
kind = "server"
ports = 1
[[link]]
name = "ab"
near = { device = "a", port = "p1" }
far = { device = "b", port = "ge-0/0/0" }
[[link]]
name = "bc"
near = { device = "b", port = "ge-0/0/1" }
far = { device = "c", port = "ge-0/0/0" }
"""
OPER = "1.3.6.1.2.1.2.2.1.8"
HC_IN = "1.3.6.1.2.1.31.1.1.1.6"
UPTIME = "1.3.6.1.2.1.1.3.0"


class World:
    """A network at `now` seconds; `lines` is its truth log, `told` what devices sent."""

    def __init__(self, text: str = SMALL, folder: Path = Path()) -> None:
        self.lines: list[dict[str, Any]] = []
        self.told: list[tuple[str, str]] = []
        self.now = 0.0
        self.said = make(tomllib.loads(text), folder / "scenario.toml")
        truth = Truth(
            datetime(2026, 1, 1, tzinfo=UTC), lambda line: self.lines.append(json.loads(line))
        )
        self.users = {user.name: user for user in self.said.user}
        self.network = Network(self.said, folder, truth, self._tell)
        self.network.settle(0.0, self.network.devices.values())
        self.lines.clear()
        self.told.clear()
        events.plan(self.network)

    def _tell(self, device: Any, told: Told, at: object) -> None:
        self.told.append((device.name, told.trap))

    def device(self, name: str) -> Any:
        return self.network.devices[name]

    def move(self, seconds: float) -> None:
        self.now += seconds
        self.network.advance(self.now)

    def do(self, do: str, **said: object) -> None:
        at = event({"do": do, **said}, self.said)
        events.carry(self.network, at, self.now)

    def raw(self, name: str, data: bytes) -> list[agent.Answer]:
        """What comes back for a datagram; nothing where the device does not answer."""
        device = self.device(name)
        return agent.answer(device, data, self.now, self.users) if device.answers else []

    def ask(
        self,
        name: str,
        oids: list[str],
        tag: int = GET,
        bulk: tuple[int, int] = (0, 0),
        version: int = 1,
    ) -> Pdu | None:
        community = self.device(name).community
        binds = tuple(VarBind(oid, Tag.NULL, None) for oid in oids)
        asked = Message(version, community, Pdu(tag, 77, *bulk, binds))
        answers = self.raw(name, encode(asked))
        if not answers:
            return None
        answer = decode(answers[0].data)
        assert (answer.version, answer.community) == (version, community)
        assert answer.pdu.request_id == 77
        return answer.pdu

    def get(self, name: str, oid: str) -> Any:
        answer = self.ask(name, [oid])
        return answer and answer.varbinds[0].value

    def walk(
        self, name: str, start: str = "1.0", repeat: int = 50, version: int = 1
    ) -> list[VarBind]:
        """Follow GETBULK (v1: GETNEXT) to the end, believing whatever order is given."""
        found: list[VarBind] = []
        while True:
            tag = GETBULK if version else GETNEXT
            answer = self.ask(name, [start], tag, (0, repeat) if version else (0, 0), version)
            assert answer
            if answer.error_status == 2:
                return found
            assert answer.error_status == 0
            for bind in answer.varbinds:
                if bind.tag == Tag.END_OF_MIB_VIEW:
                    return found
                found.append(bind)
            start = found[-1].oid
