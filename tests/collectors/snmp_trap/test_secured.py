"""SNMPv3 beyond the worker: what repeats itself, what fails, and a disk that is full."""

from __future__ import annotations

import asyncio
import logging
import socket
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from collectors.snmp_codec.message import INFORM, Pdu, VarBind
from collectors.snmp_trap.engine import Heard, Journal
from collectors.snmp_trap.fair import Bucket, Datagram, Source
from collectors.snmp_trap.informs import Informs
from collectors.snmp_trap.ledger import Ledger
from collectors.snmp_trap.parse import TRAP_OID
from collectors.snmp_trap.secured import Secured
from collectors.snmp_trap.settings import TrapSettings, V3User
from netopsd.clock import ManualClock
from tests.collectors.mqtt.looks import T0
from tests.collectors.snmp_trap.ears import LINK_DOWN, Ear
from tests.collectors.snmp_trap.test_usm import judged, spoken

SENDER = "8000000001020304"


class Judge:
    """A worker that finds every datagram authentic: of `kind`, its octets its digest."""

    def __init__(self, kind: str = "inform") -> None:
        self.kind = kind

    async def run(self, setup: Mapping[str, Any]) -> None:
        await asyncio.Event().wait()

    async def ask(self, job: Mapping[str, Any]) -> Mapping[str, Any]:
        said, _, number = b64decode(job["data"]).decode().partition(" ")
        return {
            "result": self.kind, "name": LINK_DOWN, "values": {}, "authenticated": True,
            "engine": SENDER, "boots": 1, "time": 5, "auth": f"{said} {number}".encode().hex(),
            "reply": b64encode(f"answer {number}".encode()).decode(),
            "identity": said.encode().hex(),
        }  # fmt: skip


class Scene:
    """The part that judges SNMPv3, at work; `peer` is where its answers go."""

    def __init__(self, folder: Path, kind: str = "inform", room: int = 100) -> None:
        self.clock, self.ledger, self.ear = ManualClock(T0), Ledger(), Ear()
        self.informs = Informs(self.clock, self.ledger, room)
        user = V3User(name="u", auth_key="a" * 8, priv_key="b" * 8)  # type: ignore[arg-type]
        settings = TrapSettings(users=(user,))
        self.secured = Secured(settings, self.clock, folder, Judge(kind), self.ledger)
        self.sock, self.peer = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in "ab")
        self.peer.bind(("127.0.0.1", 0))
        self.peer.setblocking(False)

    async def say(self, *texts: str) -> None:
        source = Source("127.0.0.1", "osl-gw1", True, 1.0, Bucket(1.0))
        for text in texts:
            self.secured.add(Datagram(source, text.encode(), 3, (self.peer.getsockname(), [])))
        await self.settled()

    async def settled(self) -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    def answers(self) -> list[str]:
        found = []
        with suppress(BlockingIOError):
            while True:
                found.append(self.peer.recv(100).decode())
        return found


def played(scene: Scene, story: Callable[[Scene], Awaitable[None]]) -> None:
    async def run() -> None:
        scene.secured.begin()
        tasks = [
            asyncio.create_task(scene.informs.acknowledge(scene.sock, scene.ear)),
            asyncio.create_task(scene.secured.judge(scene.sock, scene.ear, scene.informs)),
        ]
        try:
            await story(scene)
            assert not any(task.done() for task in tasks)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            scene.sock.close()
            scene.peer.close()

    asyncio.run(run())


def test_an_inform_the_store_did_not_keep_is_told_when_its_sender_repeats_it(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        scene.ear.broken = True
        await scene.say("down 1")
        assert scene.ledger.unacknowledged == 1 and scene.answers() == []
        scene.ear.broken = False
        await scene.say("down 1")
        assert len(scene.ear.events) == 1 and scene.answers() == ["answer 1"]

    played(Scene(tmp_path), story)


def test_an_inform_there_was_no_room_for_is_told_when_its_sender_repeats_it(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        scene.ear.gate.clear()
        for said in ("up 1", "door 2", "down 3"):  # one at the store, one waiting
            await scene.say(said)
        assert scene.ledger.overflow == 1
        scene.ear.gate.set()
        await scene.settled()
        await scene.say("down 3")
        assert scene.answers() == ["answer 1", "answer 2", "answer 3"]
        assert len(scene.ear.events) == 3 and not scene.ledger.v3_refused

    played(Scene(tmp_path, room=1), story)


def test_an_inform_repeated_under_new_message_ids_is_told_once_and_the_latest_answered(
    tmp_path: Path,
) -> None:
    async def story(scene: Scene) -> None:
        scene.ear.gate.clear()
        for number in range(1, 4):
            await scene.say(f"down {number}")
        scene.ear.gate.set()
        await scene.settled()
        assert scene.answers() == ["answer 3"]
        await scene.say("down 4")  # our answer was lost on the way
        await scene.say("down 4")
        assert scene.answers() == ["answer 4"] * 2
        assert len(scene.ear.events) == 1 and scene.ledger.repeated == 4
        assert not scene.ledger.v3_refused

    played(Scene(tmp_path), story)


def test_a_repetition_that_is_captured_is_not_told_later_either(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        scene.ear.gate.clear()
        await scene.say("down 1")
        await scene.say("down 2")
        scene.ear.gate.set()
        await scene.settled()
        scene.clock.move(100)
        await scene.say("other 1")  # by now it is forgotten who was answered
        await scene.say("down 2")
        assert len(scene.ear.events) == 2 and scene.ledger.v3_refused == {"replayed": 1}

    played(Scene(tmp_path), story)


def test_a_repetition_in_another_envelope_is_known_by_its_pdu_user_and_level() -> None:
    def pdu(number: int = 5, value: int = 3) -> Pdu:
        return Pdu(
            INFORM, number, 0, 0, (VarBind(TRAP_OID, 6, LINK_DOWN), VarBind("1.3", 2, value))
        )

    first = judged(spoken(pdu()))
    again = judged(spoken(pdu(), time=101, msg_id=78), time=101)
    assert again["identity"] == first["identity"] and again["reply"] != first["reply"]
    assert judged(spoken(pdu(6)))["identity"] != first["identity"]
    assert judged(spoken(pdu(5, 4)))["identity"] != first["identity"]
    weaker = judged(spoken(pdu(), level=0), level="noAuthNoPriv")
    assert weaker["result"] == "inform" and weaker["identity"] != first["identity"]


def test_a_full_disk_neither_ends_the_hearing_nor_loses_a_trap(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story(scene: Scene) -> None:
        full = tmp_path / "snmp-heard.txt"
        full.symlink_to("/dev/full")
        await scene.say("down 1", "down 2")
        assert len(scene.ear.events) == 2
        full.unlink()
        await scene.settled()
        assert Journal(tmp_path).load() == {bytes.fromhex(SENDER): Heard(1, 5)}

    with caplog.at_level(logging.INFO):
        played(Scene(tmp_path, "trap"), story)
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"], "once each"


def test_a_disk_full_at_the_start_keeps_v3_waiting_and_loses_none(tmp_path: Path) -> None:
    async def story(scene: Scene) -> None:
        await scene.say("down 1")
        assert scene.ear.events == [] and len(scene.secured) == 1
        (tmp_path / "snmp-engine.new").unlink()
        await scene.settled()
        assert len(scene.ear.events) == 1
        assert (tmp_path / "snmp-engine.json").exists()

    (tmp_path / "snmp-engine.new").symlink_to("/dev/full")
    played(Scene(tmp_path, "trap"), story)


def test_half_a_line_the_disk_took_spoils_no_line_after_it(tmp_path: Path) -> None:
    engine, journal, path = bytes.fromhex(SENDER), Journal(tmp_path), tmp_path / "snmp-heard.txt"
    path.symlink_to("/dev/full")
    with pytest.raises(OSError, match="space"):
        journal.append([(engine, Heard(1, 100))])
    path.unlink()
    path.write_text(f"{SENDER} 1 1")
    journal.append([(engine, Heard(1, 100))])
    assert Journal(tmp_path).load() == {engine: Heard(1, 100)}
