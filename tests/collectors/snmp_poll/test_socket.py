"""The socket of devices looked at by themselves: whatever happens at it, it goes on hearing."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from collectors.snmp_poll import SnmpPoller, SnmpPollSettings, Target
from collectors.snmp_poll.request import Peer, Request
from collectors.snmp_poll.stats import Counts
from collectors.snmp_poll.udp import Transport
from netopsd.clock import SystemClock
from netopsd.core.model import Batch
from netopsd.errors import CannotLook
from tests.collectors.snmp_poll.agent import Agent, switch
from tests.collectors.snmp_poll.test_lies import TABLES, credentials


class Unreachable:
    """A socket whose network is away for the datagrams that `away` names."""

    def __init__(self, sock: socket.socket, away: Callable[[bytes], bool]) -> None:
        self._sock = sock
        self._away = away

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def sendto(self, data: bytes, address: Any) -> int:
        if self._away(data):
            raise OSError(errno.ENETUNREACH, "Network is unreachable")
        return self._sock.sendto(data, address)


class Withheld(Agent):
    """Keeps its answers until it is told to send them."""

    holding = False

    def __init__(self) -> None:
        super().__init__(switch())
        self.held: list[tuple[bytes, Any]] = []

    def send(self, data: bytes, addr: Any) -> None:
        if self.holding:
            self.held.append((data, addr))
        else:
            super().send(data, addr)

    def let_go(self) -> None:
        self.holding = False
        for data, addr in self.held:
            super().send(data, addr)


def tell(
    agents: dict[str, Agent], story: Callable[[SnmpPoller], Awaitable[Any]], **settings: Any
) -> tuple[Any, list[Any]]:
    """Run `story` with a poller of `agents`; return what came of it, and what went unheard."""
    unheard: list[Any] = []

    async def run() -> Any:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: unheard.append(said))
        for agent in agents.values():
            await agent.__aenter__()
        targets = {
            name: Target(name=name, address="127.0.0.1", port=agent.port, credentials=credentials())
            for name, agent in agents.items()
        }
        chosen = SnmpPollSettings.model_validate({"timeout_s": 0.1, "retries": 1, **settings})
        poller = SnmpPoller(chosen, TABLES, targets, SystemClock())
        await poller.start()
        try:
            return await story(poller)
        finally:
            await poller.close()
            for agent in agents.values():
                await agent.__aexit__()

    return asyncio.run(run()), unheard


@pytest.mark.parametrize("late", [True, False])
def test_a_question_that_cannot_be_sent_again_silences_nobody_when_its_answer_comes_late(
    late: bool,
) -> None:
    slow = Withheld()

    async def story(poller: SnmpPoller) -> tuple[bool, Any]:
        sent: list[bytes] = []

        def again(data: bytes) -> bool:
            sent.append(data)
            if slow.holding and sent.count(data) > 1:
                if not late:  # it is here before anybody could be told that nothing was sent
                    slow.let_go()
                return True
            return False

        sock = poller._transport._sockets[socket.AF_INET]
        poller._transport._sockets[socket.AF_INET] = Unreachable(sock, again)  # type: ignore[assignment]
        await poller.poll("slow")
        await poller.poll("healthy")
        slow.holding = True
        try:
            seen = isinstance(await poller.poll("slow"), Batch)
        except CannotLook:
            seen = False
        slow.let_go()
        return seen, await poller.poll("healthy")

    (seen, healthy), unheard = tell({"slow": slow, "healthy": Agent(switch())}, story)

    assert isinstance(healthy, Batch)
    assert not unheard
    assert not (seen and late)


class Buggy:
    """An owner of requests that breaks whenever it is told of one."""

    garbled = False

    def __init__(self) -> None:
        self.told = 0

    def answered(self, request: Request, data: bytes, span: tuple[int, int]) -> None:
        self.told += 1
        raise RuntimeError("a bug")

    def timed_out(self, request: Request) -> None:
        self.told += 1
        raise RuntimeError("a bug")

    def failed(self, request: Request, why: str) -> None:
        self.told += 1


@pytest.mark.parametrize("echoes", [True, False])
def test_a_bug_in_one_who_asked_costs_nobody_else_an_answer_or_a_time_out(echoes: bool) -> None:
    async def run() -> int:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, said: None)
        transport = Transport(SnmpPollSettings(), Counts())
        await transport.start()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
            device.bind(("127.0.0.1", 0))
            peer: Peer = await transport.peer(*device.getsockname(), b"\x02\x01\x01\x04\x00")
            peer.timeout_s = 0.01 if not echoes else 5.0
            asked = [Buggy() for _ in range(5)]
            head = b"\x30\x13" + peer.check + b"\xa2\x0c\x02\x04"
            for owner in asked:
                transport.send(Request(owner, peer, head, b"\x02\x01\x00\x02\x01\x00"))
                if echoes:
                    device.sendto(*device.recvfrom(100))
            for _ in range(500):
                if all(owner.told for owner in asked):
                    break
                await asyncio.sleep(0.01)
        told = sum(owner.told for owner in asked)
        await transport.close()
        return told

    assert asyncio.run(run()) == 5
