"""Who is dead takes no place from who lives."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

import pytest

from collectors.snmp_poll import SnmpPoller, SnmpPollSettings, Target
from collectors.snmp_poll.door import AGAIN, DEAD, FIRST, NEW, Door
from netopsd.clock import SystemClock
from netopsd.core.model import Batch
from netopsd.errors import CannotLook
from tests.collectors.snmp_poll.agent import Agent, switch
from tests.collectors.snmp_poll.test_lies import FAST, TABLES, credentials
from tests.collectors.snmp_poll.test_sweep import HONEST, SUSPECT, Deaf, House, tell


def test_the_living_go_before_the_dead_and_nobody_is_lost_who_turns_away() -> None:
    async def run() -> list[str]:
        door, order = Door(1), []

        async def go(name: str, kind: int) -> None:
            call = asyncio.get_running_loop().create_future()
            door.enter(kind, call)
            try:
                await call
                order.append(name)
                await asyncio.sleep(0)
            finally:
                door.leave(call)

        asked = [("first", FIRST), ("dead", DEAD), ("again", AGAIN), ("new", FIRST)]
        asked += [("leaves at the door", FIRST), ("leaves in line", AGAIN)]
        tasks = {name: asyncio.ensure_future(go(name, kind)) for name, kind in asked}
        await asyncio.sleep(0)
        assert door.waiting == 5
        tasks["leaves in line"].cancel()
        await tasks["new"]
        await asyncio.sleep(0)  # the next one has been called, and does not know it yet
        tasks["leaves at the door"].cancel()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        await go("last", DEAD)  # there is a place again
        assert door.waiting == 0
        return [name for name in order if not name.startswith("leaves")]

    assert asyncio.run(run()) == ["first", "new", "again", "dead", "last"]


def test_where_many_die_at_once_second_tries_do_not_wait_for_all_first_ones() -> None:
    async def run() -> list[int]:
        door, loop = Door(1), asyncio.get_running_loop()
        inside = loop.create_future()
        door.enter(FIRST, inside)
        lines = {n: loop.create_future() for n in range(40)}
        for n, call in lines.items():
            door.enter(AGAIN if n >= 35 else NEW if n >= 30 else FIRST, call)
        order = []
        while lines:
            door.leave(inside)
            (n,) = (n for n, call in lines.items() if call.done())
            inside = lines.pop(n)
            order.append(n)
        return order

    order = asyncio.run(run())

    assert (order.index(35), order.index(36)) == (7, 15)
    assert [n for n in order if n < 35] == [*range(35)]


def test_who_leaves_the_line_lets_nobody_through_and_is_called_by_nobody() -> None:
    async def run() -> None:
        door, loop = Door(1), asyncio.get_running_loop()
        inside, leaves, heard, last = (loop.create_future() for _ in range(4))
        door.enter(FIRST, inside)
        for call in (leaves, heard, last):
            door.enter(FIRST, call)
        door.leave(leaves)
        assert (inside.done(), heard.done()) == (True, False)
        heard.set_result(None)  # its late answer came: it will leave, but has not yet
        door.leave(inside)
        assert not last.done()
        door.leave(heard)
        assert last.done()
        door.leave(last)
        after = loop.create_future()
        door.enter(DEAD, after)
        assert after.done()

    asyncio.run(run())


def test_a_healthy_device_does_not_wait_for_many_dead_ones() -> None:
    async def run() -> tuple[float, Any]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
            hole.bind(("127.0.0.1", 0))  # nobody reads what comes here
            async with Agent(switch()) as agent:
                ports = dict.fromkeys((f"dead{n}" for n in range(40)), hole.getsockname()[1])
                ports["healthy"] = agent.port
                targets = {
                    name: Target(
                        name=name, address="127.0.0.1", port=port, credentials=credentials()
                    )
                    for name, port in ports.items()
                }
                settings = SnmpPollSettings.model_validate(
                    {**FAST, "timeout_s": 0.5, "max_in_flight": 8}
                )
                poller = SnmpPoller(settings, TABLES, targets, SystemClock())
                await poller.start()
                await poller.poll("healthy")
                dead = [asyncio.ensure_future(poller.poll(n)) for n in ports if n != "healthy"]
                await asyncio.sleep(0)
                began = time.monotonic()
                got = await poller.poll("healthy")
                took_s = time.monotonic() - began
                assert poller.stats().waiting > 0
                for task in dead:
                    task.cancel()
                await asyncio.gather(*dead, return_exceptions=True)
                assert poller.stats().waiting == 0
                await poller.poll("healthy")
                await poller.close()
                return took_s, got

    took_s, got = asyncio.run(run())

    assert took_s < 0.45  # less than any of the dead takes
    assert isinstance(got, Batch) and not got.errors


def test_who_was_silent_in_a_sweep_is_asked_one_small_question_first() -> None:
    deaf = Deaf()
    agents: dict[str, Agent] = {**{name: Agent(switch()) for name in HONEST}, SUSPECT: deaf}

    async def story(house: House) -> Any:
        await house.settled()
        deaf.deaf = 1_000
        await house.sweep()
        deaf.asked.clear()
        try:
            await house.poller.poll(SUSPECT)
        except CannotLook:
            return [len(pdu.varbinds) for pdu in deaf.asked]

    asked, _ = tell(story, agents, timeout_s=0.2)

    assert asked == [1, 1]


def test_a_late_answer_to_the_first_of_two_questions_counts() -> None:
    class Slow(Agent):
        def send(self, data: bytes, addr: Any) -> None:
            if len(self.asked) > 1:
                super().send(data, addr)
            else:
                asyncio.get_running_loop().call_later(0.3, super().send, data, addr)

        def reply(self, version: int, asked: Any) -> Any:
            return [] if len(self.asked) == 2 else super().reply(version, asked)

    agents: dict[str, Agent] = {"gw1": Slow(switch())}

    async def story(house: House) -> Any:
        return await house.poller.poll("gw1")

    got, _ = tell(story, agents, timeout_s=0.2)

    assert isinstance(got, Batch)


def test_who_waits_at_the_door_for_a_second_try_hears_that_the_poller_was_closed() -> None:
    async def run() -> list[str]:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as hole:
            hole.bind(("127.0.0.1", 0))
            port = hole.getsockname()[1]
            targets = {
                name: Target(name=name, address="127.0.0.1", port=port, credentials=credentials())
                for name in (f"dead{n}" for n in range(5))
            }
            settings = SnmpPollSettings.model_validate(
                {**FAST, "timeout_s": 0.1, "max_in_flight": 2}
            )
            poller = SnmpPoller(settings, TABLES, targets, SystemClock())
            await poller.start()
            looks = [asyncio.ensure_future(poller.poll(name)) for name in targets]
            await asyncio.sleep(0.15)  # the first has been asked, and is to be asked again
            await poller.close()
            _, hang = await asyncio.wait(looks, timeout=2)
            for look in hang:
                look.cancel()
            await asyncio.gather(*looks, return_exceptions=True)
            return ["hangs" if look in hang else type(look.exception()).__name__ for look in looks]

    assert asyncio.run(run()) == ["CannotLook"] * 5


@pytest.mark.parametrize(("retries", "questions"), [(0, 2), (2, 2), (5, 5)])
def test_a_device_that_lives_is_asked_as_often_as_its_retries_say_before_it_is_given_up(
    retries: int, questions: int
) -> None:
    """The first of those is its turn among the others; then two questions are the least."""
    deaf = Deaf()
    agents: dict[str, Agent] = {**{name: Agent(switch()) for name in HONEST}, SUSPECT: deaf}

    async def story(house: House) -> Any:
        await house.settled()
        deaf.deaf = 1_000
        await house.sweep()
        deaf.deaf = questions - 1  # it hears the last one
        deaf.asked.clear()
        got = await house.poller.poll(SUSPECT)
        return got, [len(pdu.varbinds) for pdu in deaf.asked[: questions + 1]]

    (got, asked), _ = tell(story, agents, timeout_s=0.05, retries=retries)

    assert isinstance(got, Batch)
    assert asked[:questions] == [1] * questions
    assert asked[questions] > 1
