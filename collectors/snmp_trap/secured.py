"""SNMPv3 notifications: through the worker process, then against time and repetition."""

from __future__ import annotations

import asyncio
import logging
import socket
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from collectors.snmp_trap.engine import Engine, Heard, Journal, boot
from collectors.snmp_trap.fair import Datagram
from collectors.snmp_trap.informs import Informs, Received
from collectors.snmp_trap.ledger import Ledger
from collectors.snmp_trap.replay import Timeline
from collectors.snmp_trap.settings import TrapSettings
from collectors.snmp_trap.udp import reply_from
from netopsd.core.model import Event, Events
from netopsd.errors import JobFailed
from netopsd.ports import Clock, Inbox, Worker

log = logging.getLogger(__name__)

MOST_WAITING = 2000
MOST_AT_ONCE = 64
KEEP_AGAIN_S = 5.0
REASONS = frozenset(
    ["malformed", "discovery", "unknown_engine", "unknown_user", "low_level", "wrong_digest",
     "not_in_window", "not_decrypted", "not_a_notification", "wrong_engine"]
)  # fmt: skip


class Secured:
    """SNMPv3 datagrams on their way."""

    def __init__(
        self,
        settings: TrapSettings,
        clock: Clock,
        state_dir: Path,
        worker: Worker | None,
        ledger: Ledger,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._state_dir = state_dir
        self._worker = worker if settings.users else None
        self._ledger = ledger
        self._journal = Journal(state_dir)
        self._waiting: deque[Datagram] = deque()
        self._asked = 0
        self._arrived = asyncio.Event()
        self._behind = asyncio.Event()  # the disk did not take what must survive
        self._engine: Engine | None = None
        self._began_s = 0.0
        self._timeline = Timeline({})

    def __len__(self) -> int:
        return len(self._waiting) + self._asked

    def add(self, datagram: Datagram) -> None:
        """Take a datagram to be judged; counted where it cannot be."""
        if self._worker is None:
            self._ledger.v3_refused["no_users"] += 1
        elif len(self._waiting) >= MOST_WAITING:
            self._ledger.overflow += 1
        else:
            self._waiting.append(datagram)
            self._arrived.set()

    def begin(self) -> None:
        """Boot our engine and remember whom it heard. Raises BadConfiguration (engine.boot).

        Where the disk does not take it `judge` tries again: boots are used once they are durable.
        """
        if self._worker is None or self._engine is not None:
            return
        try:
            heard = self._journal.load()
            self._engine = boot(self._state_dir, self._settings.engine_id)
        except OSError as error:
            self._fell_behind("SNMPv3 is heard once our engine's boots are kept: %s", error)
            return
        self._began_s = self._clock.mono_s()
        self._timeline = Timeline(heard)
        self._caught_up()

    async def judge(self, sock: socket.socket, inbox: Inbox, informs: Informs) -> None:
        """Judge what was added, until cancelled."""
        if self._worker is None:
            return
        while self._engine is None:
            await self._clock.sleep(KEEP_AGAIN_S)
            self.begin()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._worker.run(self._setup(self._engine)))
            tasks.create_task(self._keep_again())
            while True:
                await self._arrived.wait()
                self._arrived.clear()
                while self._waiting:
                    await self._turn(self._worker, sock, inbox, informs)

    def _setup(self, engine: Engine) -> Mapping[str, Any]:
        users = [
            {
                **user.model_dump(mode="json"),
                "auth_key": user.auth_key.get_secret_value(),
                "priv_key": user.priv_key.get_secret_value(),
            }
            for user in self._settings.users
        ]
        return {"engine_id": engine.id.hex(), "boots": engine.boots, "users": users}

    async def _turn(
        self, worker: Worker, sock: socket.socket, inbox: Inbox, informs: Informs
    ) -> None:
        """Judge a few together, in the order they came."""
        batch = [self._waiting.popleft() for _ in range(min(MOST_AT_ONCE, len(self._waiting)))]
        self._asked = len(batch)
        time = self._time()
        answers = await asyncio.gather(*(_ask(worker, datagram, time) for datagram in batch))
        events: list[Event] = []
        for datagram, answer in zip(batch, answers, strict=True):
            self._asked -= 1
            event = self._accepted(datagram, answer)
            inform = self._inform(datagram, answer)
            if isinstance(event, Event):
                if inform is None:
                    events.append(event)
                else:
                    informs.add(inform, event)
            elif not (event == "replayed" and inform is not None and informs.seen(inform)):
                self._ledger.v3_refused[event] += 1
                _send(sock, datagram, answer)
        self._keep()
        self._tell(inbox, events)

    def _inform(self, datagram: Datagram, answer: Mapping[str, Any]) -> Received | None:
        if answer["result"] != "inform":
            return None
        reply, identity = partial(b64decode, answer["reply"]), answer.get("identity", "")
        received = Received(datagram, reply, bytes.fromhex(identity))
        if not answer["authenticated"]:
            return received
        engine, auth = bytes.fromhex(answer["engine"]), bytes.fromhex(answer["auth"])
        return replace(received, lost=partial(self._timeline.forget, engine, auth))

    def _keep(self) -> None:
        """Write down how far the senders' clocks are; what the disk does not take, another time.

        Meanwhile only a killed daemon would take again what was captured before.
        """
        try:
            self._journal.append(self._timeline.moved.items())
        except OSError as error:
            self._fell_behind("the latest moments of SNMPv3 senders are not kept: %s", error)
        else:
            self._timeline.moved.clear()
            self._caught_up()

    async def _keep_again(self) -> None:
        while True:
            await self._behind.wait()
            await self._clock.sleep(KEEP_AGAIN_S)
            self._keep()

    def _fell_behind(self, what: str, error: OSError) -> None:
        if not self._behind.is_set():
            log.error(what, error)
        self._behind.set()

    def _caught_up(self) -> None:
        if self._behind.is_set():
            log.info("what SNMPv3 needs is kept again")
        self._behind.clear()

    def _time(self) -> int:
        """Return our snmpEngineTime."""
        return int(self._clock.mono_s() - self._began_s)

    def _accepted(self, datagram: Datagram, answer: Mapping[str, Any]) -> Event | str:
        """Return the event, or why it is refused."""
        result = answer["result"]
        if result not in ("trap", "inform"):
            reason = str(answer.get("reason"))
            return reason if reason in REASONS else "failed"
        if answer["authenticated"]:
            # An inform carries our own time, judged by the worker: here it counts as of now.
            time = self._time() if result == "inform" else answer["time"]
            heard = Heard(answer["boots"], time)
            engine, auth = bytes.fromhex(answer["engine"]), bytes.fromhex(answer["auth"])
            refusal = self._timeline.refusal(engine, heard, auth, self._clock.mono_s())
            if refusal:
                return refusal
        self._ledger.v3_accepted += 1
        return Event(
            at=self._clock.now(),
            device=datagram.source.device,
            source=datagram.source.address,
            name=answer["name"],
            values=answer["values"],
            authenticated=answer["authenticated"],
            confirmed=result == "inform",
        )

    def _tell(self, inbox: Inbox, events: list[Event]) -> None:
        if not events:
            return
        if inbox.offer(Events(at=self._clock.now(), items=tuple(events))):
            self._ledger.emitted += len(events)
        else:
            self._ledger.overflow += len(events)


async def _ask(worker: Worker, datagram: Datagram, time: int) -> Mapping[str, Any]:
    try:
        return await worker.ask({"data": b64encode(datagram.data).decode(), "time": time})
    except JobFailed:
        return {"result": "refused", "reason": "failed"}


def _send(sock: socket.socket, datagram: Datagram, answer: Mapping[str, Any]) -> None:
    """Send the Report there may be. Where it cannot be sent the sender will ask again."""
    reply = answer.get("reply")
    if reply and answer["result"] == "refused":
        peer, ancillary = datagram.back
        with suppress(OSError):
            sock.sendmsg([b64decode(reply)], reply_from(ancillary), 0, peer)
