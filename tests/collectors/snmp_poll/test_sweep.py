"""Devices asked together: the same numbers, and whoever is not as always is looked at by itself."""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

import numpy as np
import pytest

from collectors.snmp_codec.ber import DecodeError, Tag
from collectors.snmp_codec.message import RESPONSE, Message, Pdu, VarBind, decode, encode
from collectors.snmp_poll import SnmpPoller, SnmpPollSettings, Stats, Target, mmsg
from collectors.snmp_poll.parse import COUNTER32, COUNTER64, GAUGE, TICKS, Packet, request_id
from collectors.snmp_poll.plan import Wanted, check, packets
from collectors.snmp_poll.request import Peer
from collectors.snmp_poll.squad import Asked, Squad, answers
from collectors.snmp_poll.window import DRAIN_S
from netopsd.clock import SystemClock
from netopsd.core.fleet import Grid, Member, Part, batch_of
from netopsd.core.model import Batch, Layout
from netopsd.errors import CannotLook
from tests.collectors.snmp_poll.agent import IFX, LIES, Agent, Liar, switch
from tests.collectors.snmp_poll.secure_agent import SecureAgent, Secured
from tests.collectors.snmp_poll.test_lies import FAST, TABLES, counter, credentials, ports
from tests.patience import spent_s

HONEST = ("gw1", "gw2", "gw3", "gw4")
SUSPECT = "osl1"
ENGINE_TIME = "1.3.6.1.6.3.10.2.1.3.0"
NO_ANSWER = ("wrong request-id", "other port", "other community", "other version", "garbage")
NAMES = (*HONEST, SUSPECT)


class Turncoat(Liar):
    """Honest until it turns."""

    def __init__(self, lie: str) -> None:
        super().__init__(lie, switch())
        self._lie, self.lie = lie, ""

    def reply(self, version: int, asked: Pdu) -> Iterable[Pdu]:
        return super().reply(version, asked) if self.lie else [self.truth(version, asked)]

    def turn(self) -> None:
        self.lie = self._lie


class SecureTurncoat(Secured, Turncoat):
    """Honest in SNMPv3, until it turns."""


class House:
    """Some agents, and the poller that looks at them."""

    def __init__(self, poller: SnmpPoller, agents: dict[str, Agent]) -> None:
        self.poller = poller
        self.agents = agents
        self.named: list[str] = []  # to be looked at by themselves, in the latest sweep

    async def sweep(self) -> dict[str, Batch]:
        """Look at all together; return who was seen like that."""
        seen: dict[str, Batch] = {}
        self.named = []
        async for told in self.poller.sweep(tuple(self.agents)):
            if isinstance(told, str):
                self.named.append(told)
                continue
            for i in np.flatnonzero(told.present).tolist():
                batch = batch_of(told, i)
                assert batch.device not in seen
                seen[batch.device] = batch
        return seen

    async def singly(self) -> dict[str, Batch | CannotLook]:
        return {name: await self._look(name) for name in self.agents}

    async def _look(self, name: str) -> Batch | CannotLook:
        try:
            return await self.poller.poll(name)
        except CannotLook as blind:
            return blind

    async def settled(self) -> None:
        """Look at all until everybody can be asked together."""
        await self.singly()
        await self.singly()
        assert set(await self.sweep()) == set(self.agents)


def tell(
    story: Callable[[House], Awaitable[Any]],
    agents: dict[str, Agent] | None = None,
    interval_s: float = 30.0,
    **more: Any,
) -> tuple[Any, Stats]:
    """Run `story`; nothing may go unheard."""
    unheard: list[dict[str, Any]] = []

    async def run() -> tuple[Any, Stats]:
        asyncio.get_running_loop().set_exception_handler(lambda _, said: unheard.append(said))
        found = agents or {
            name: Agent(switch() | {ENGINE_TIME: (Tag.INTEGER, 7)}) for name in NAMES
        }
        targets = {}
        for name, agent in found.items():
            await agent.__aenter__()
            targets[name] = Target(
                name=name,
                address="127.0.0.1",
                port=agent.port,
                credentials=credentials("3" if isinstance(agent, Secured) else "2c"),
                interval_s=interval_s,
            )
        settings = SnmpPollSettings.model_validate({**FAST, **more})
        poller = SnmpPoller(settings, TABLES, targets, SystemClock())
        await poller.start()
        try:
            return await story(House(poller, found)), poller.stats()
        finally:
            await poller.close()
            for agent in found.values():
                await agent.__aexit__()

    told = asyncio.run(run())
    assert not unheard
    return told


@pytest.mark.parametrize("kind", [Agent, SecureAgent])
def test_devices_asked_together_say_what_each_says_alone(kind: type[Agent]) -> None:
    agents = {name: kind(switch() | {ENGINE_TIME: (Tag.INTEGER, 7)}) for name in NAMES}

    async def story(house: House) -> Any:
        await house.settled()
        for n, agent in enumerate(house.agents.values()):
            agent.change(agent.mib | {f"{IFX}.6.1": (Tag.COUNTER64, 2**41 + n)})
        together, alone = await house.sweep(), await house.singly()
        assert house.named == []
        return together, alone

    (together, alone), stats = tell(story, agents)

    for n, name in enumerate(NAMES):
        one, other = together[name], alone[name]
        assert isinstance(other, Batch)
        assert counter(one, "ifHCInOctets")[0] == 2**41 + n
        assert (one.clocks, one.facts, one.errors) == (other.clocks, other.facts, other.errors)
        assert ports(one).layout is ports(other).layout
        np.testing.assert_array_equal(ports(one).counters, ports(other).counters)
        np.testing.assert_array_equal(ports(one).gauges, ports(other).gauges)
    assert stats.decode_errors == stats.late == stats.timeouts == 0


@pytest.mark.parametrize("kinds", [(Agent, Turncoat), (SecureAgent, SecureTurncoat)])
@pytest.mark.parametrize("lie", LIES)
def test_one_liar_spoils_nobody_else_and_no_number(
    lie: str, kinds: tuple[type[Agent], type[Turncoat]]
) -> None:
    agents: dict[str, Agent] = {name: kinds[0](switch()) for name in HONEST}
    suspect = kinds[1](lie)
    agents[SUSPECT] = suspect

    async def story(house: House) -> Any:
        await house.settled()
        suspect.turn()
        return await house.sweep(), list(house.named)

    began = spent_s()
    (seen, named), _ = tell(story, agents, timeout_s=0.3, retries=0)

    assert set(HONEST) <= set(seen)
    assert (SUSPECT in seen) is (SUSPECT not in named)
    secured = isinstance(suspect, Secured)  # its agent tells no lie about version and community
    assert SUSPECT in named or lie not in NO_ANSWER or secured
    if SUSPECT in seen:  # a lie told in walks only, or one that is none
        truth = [2**40 + 1000 * i + 6 for i in range(1, 5)]
        assert counter(seen[SUSPECT], "ifHCInOctets") == truth
        assert seen[SUSPECT].errors == seen["gw1"].errors
    assert spent_s() - began < 8


def test_numbers_of_another_length_are_read_and_then_known() -> None:
    async def story(house: House) -> list[Any]:
        await house.settled()
        told = []
        for value in (1, 127, 128, 255, 256, 2**31, 2**32, 2**63 - 1, 2**63, 2**64 - 1):
            for agent in house.agents.values():
                agent.change(agent.mib | {f"{IFX}.10.2": (Tag.COUNTER64, value)})
            seen = await house.sweep()
            told.append((value, {counter(b, "ifHCOutOctets")[1] for b in seen.values()}, len(seen)))
        return told

    told, stats = tell(story)

    assert [(value, {value}, len(NAMES)) for value, _, _ in told] == told
    assert stats.decode_errors == 0


@pytest.mark.parametrize(
    "change",
    [
        {"1.3.6.1.2.1.2.1.0": (Tag.INTEGER, 5)},
        {"1.3.6.1.2.1.31.1.5.0": (Tag.TIME_TICKS, 777)},
        {"1.3.6.1.2.1.1.3.0": (Tag.TIME_TICKS, 5)},
        {"1.3.6.1.2.1.1.3.0": (Tag.INTEGER, -5)},
        {ENGINE_TIME: (Tag.INTEGER, -5)},
        {f"{IFX}.6.1": (Tag.NO_SUCH_INSTANCE, None)},
    ],
    ids=["ifNumber", "ifTableLastChange", "sysUpTime back", "negative", "engine time", "row gone"],
)
def test_who_may_have_other_rows_is_looked_at_by_itself(change: dict[str, Any]) -> None:
    async def story(house: House) -> Any:
        await house.settled()
        agent = house.agents[SUSPECT]
        agent.change(agent.mib | change)
        return await house.sweep(), list(house.named)

    (seen, named), _ = tell(story)

    assert set(seen) == set(HONEST)
    assert named == [SUSPECT]


def test_who_restarted_between_two_sweeps_is_found_out_by_a_look_of_its_own() -> None:
    """The poller must not forget in sweeps how far sysUpTime had come."""

    async def story(house: House) -> Any:
        agent = house.agents[SUSPECT]
        await house.settled()
        agent.change(agent.mib | {"1.3.6.1.2.1.1.3.0": (Tag.TIME_TICKS, 900_000)})
        assert SUSPECT in await house.sweep()
        mib = switch(uptime=200_000)  # more than at the last look by itself
        mib[f"{IFX}.1.1"], mib[f"{IFX}.1.2"] = mib[f"{IFX}.1.2"], mib[f"{IFX}.1.1"]
        agent.change(mib)
        return await house.poller.poll(SUSPECT)

    batch, _ = tell(story)

    assert ports(batch).layout.rows[:2] == ("ge-0/0/1", "ge-0/0/0")


class Deaf(Agent):
    """Does not hear some questions."""

    def __init__(self, deaf: int = 0) -> None:
        super().__init__(switch(ports=40))
        self.deaf = deaf

    def reply(self, version: int, asked: Pdu) -> Iterable[Pdu]:
        self.deaf -= 1
        return [] if self.deaf >= 0 else [self.truth(version, asked)]


def test_a_lost_packet_is_asked_for_again_and_a_silent_device_is_named() -> None:
    agents: dict[str, Agent] = {name: Deaf() for name in NAMES}

    async def story(house: House) -> Any:
        await house.settled()
        agents["gw1"].deaf = 2  # type: ignore[attr-defined]
        agents[SUSPECT].deaf = 10_000  # type: ignore[attr-defined]
        return await house.sweep(), list(house.named)

    (seen, named), stats = tell(story, agents, timeout_s=0.2, retries=1)

    assert named == [SUSPECT]
    assert set(seen) == set(HONEST)
    assert counter(seen["gw1"], "ifHCInOctets") == counter(seen["gw2"], "ifHCInOctets")
    assert stats.timeouts >= 3


def test_a_device_is_never_asked_more_at_once_than_is_allowed() -> None:
    class Slow(Agent):
        """Answers a while after it was asked; knows how many questions it had at once."""

        most = now = 0

        def send(self, data: bytes, addr: Any) -> None:
            asyncio.get_running_loop().call_later(0.02, self._late, data, addr)

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.now += 1
            self.most = max(self.most, self.now)
            super().datagram_received(data, addr)

        def _late(self, data: bytes, addr: Any) -> None:
            self.now -= 1
            super().send(data, addr)

    agents: dict[str, Agent] = {name: Slow(switch(ports=50)) for name in HONEST}

    async def story(house: House) -> None:
        await house.settled()
        assert set(await house.sweep()) == set(HONEST)

    tell(story, agents, device_in_flight=2, look_max_s=20)

    assert {agent.most for agent in agents.values()} == {2}  # type: ignore[attr-defined]


class Sluggish(Agent):
    """Answers each question, but late."""

    def __init__(self) -> None:
        super().__init__(switch(ports=60))
        self.after_s = 0.0

    def send(self, data: bytes, addr: Any) -> None:
        if not self.after_s:
            super().send(data, addr)
            return
        asyncio.get_running_loop().call_later(self.after_s, super().send, data, addr)


def test_a_slow_device_is_left_to_a_look_of_its_own_and_then_asked_by_itself() -> None:
    """Each answer is in time, but all of them take too long for the others' next turn."""
    slow = Sluggish()
    agents: dict[str, Agent] = {name: Agent(switch()) for name in HONEST} | {SUSPECT: slow}

    async def story(house: House) -> Any:
        await house.settled()
        slow.after_s = 0.2
        told = []
        for _ in range(3):
            began = asyncio.get_running_loop().time()
            seen = await house.sweep()
            took_s = asyncio.get_running_loop().time() - began
            told.append((set(seen), list(house.named), took_s < 0.9))
        asked = len(slow.asked)
        await house.sweep()
        return told, len(slow.asked) - asked

    (told, asked_again), _ = tell(story, agents, device_in_flight=1, interval_s=1.0)

    assert told == [(set(HONEST), [SUSPECT], True)] * 3
    assert asked_again == 0, "who was in vain twice is asked by itself"


@pytest.mark.parametrize("oid", ["1.3.6.1.2.1.2.1.0", ENGINE_TIME])
def test_a_number_below_zero_spoils_no_sweep(oid: str) -> None:
    """Of a scalar that is watched, or a clock."""
    agents = {name: Agent(switch() | {ENGINE_TIME: (Tag.INTEGER, 7)}) for name in HONEST}
    agents[SUSPECT] = Agent(switch() | {oid: (Tag.INTEGER, -1)})

    async def story(house: House) -> Any:
        await house.singly()
        await house.singly()
        return [(set(await house.sweep()) >= set(HONEST), list(house.named)) for _ in range(4)]

    told, _ = tell(story, agents)

    assert all(good for good, _ in told)
    last = told[-1][1]
    assert last in ([], [SUSPECT])


def test_no_more_is_counted_out_than_is_out() -> None:
    """A device that is lost by one of its answers, while others of them are good."""

    held: list[bytes] = []

    def last_is_spoilt(said: bytes) -> list[bytes]:
        """All four answers at once, the last cut short."""
        held.append(said)
        return [*held[:-1], held[-1][:-7]] if len(held) == 4 else []

    agents: dict[str, Agent] = {name: Deaf() for name in NAMES}

    async def story(house: House) -> Any:
        await house.settled()
        agents[SUSPECT].tamper = last_is_spoilt
        agents["gw1"].deaf = 1  # type: ignore[attr-defined]
        sweeping = asyncio.ensure_future(house.sweep())
        out = []
        while not sweeping.done():
            out.append(house.poller.stats().in_flight)
            await asyncio.sleep(0.01)
        return set(await sweeping), min(out), max(out)

    (seen, least, most), _ = tell(story, agents, timeout_s=0.3)

    assert seen == set(HONEST)
    assert (least, most) >= (0, 4)


def test_who_is_being_looked_at_is_not_asked_in_a_sweep_as_well() -> None:
    async def story(house: House) -> Any:
        await house.settled()
        look = asyncio.ensure_future(house.poller.poll("gw1"))
        await asyncio.sleep(0)
        seen = await house.sweep()
        await look
        return seen, list(house.named)

    (seen, named), _ = tell(story)

    assert named == ["gw1"]
    assert set(seen) == {*HONEST, SUSPECT} - {"gw1"}


def test_closing_names_who_was_under_way() -> None:
    agents: dict[str, Agent] = {name: Deaf() for name in NAMES}

    async def story(house: House) -> Any:
        await house.settled()
        for agent in agents.values():
            agent.deaf = 10_000  # type: ignore[attr-defined]
        sweeping = asyncio.ensure_future(house.sweep())
        await asyncio.sleep(0.05)
        await house.poller.close()
        return await sweeping, sorted(house.named)

    (seen, named), _ = tell(story, agents, timeout_s=30)

    assert (seen, named) == ({}, sorted(NAMES))


def test_few_devices_or_none_together_are_each_looked_at_by_themselves() -> None:
    async def story(house: House) -> Any:
        await house.singly()
        await house.singly()
        return await house.sweep(), list(house.named)

    few: dict[str, Agent] = {name: Agent(switch()) for name in HONEST[:3]}
    assert tell(story, few)[0] == ({}, list(HONEST[:3]))
    assert tell(story, sweep_devices=0)[0] == ({}, list(NAMES))


# ---- how answers are read, without a network

SAID = {
    COUNTER64: (Tag.COUNTER64, 2**64),
    COUNTER32: (Tag.COUNTER32, 2**32),
    GAUGE: (Tag.INTEGER, 2**31),
    TICKS: (Tag.TIME_TICKS, 2**32),
}


def squad_of(many: int, variables: int, most: int = 7) -> Squad:
    asked = []
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with sock:
        for n in range(many):
            wanted = Wanted()
            for v in range(variables):
                wanted.add(f"1.3.6.1.2.{v + 1}", str(n * 100 + v), tuple(SAID)[v % 4])
            rows = tuple(str(v) for v in range(variables))
            layout = Layout(
                table="t", rows=rows, index=rows, labels={}, counters=("c",),
                widths=(64,), gauges=(),
            )  # fmt: skip
            part = Part(
                layout,
                Grid(0, variables, (1, variables), None, None),
                Grid(variables, 0, (0, variables), None, None),
            )
            member = Member(device=f"d{n}", size=variables, parts=(part,), clocks={})
            peer = Peer(sock, ("127.0.0.1", 161), check(1, b"public"))
            made = packets(peer.check, wanted, most, 200 * most)
            asked.append(Asked(peer, made, member, (), None))
        return Squad(asked)


def answer(packet: Packet, dice: random.Random) -> tuple[bytes, list[int]]:
    """Return a true answer with random values, and those."""
    values = []
    for at, kind in enumerate(packet.kinds):
        most = SAID[kind][1]
        if dice.random() > 0.01:  # of the length of last time
            most = min(most, (120, 30_000, 2**31 - 1)[at % 3])
            values.append(most - dice.randrange(most // 4))
        else:
            values.append(dice.randrange(most))
    number = dice.randrange(2**30, 2**31)
    return encode(
        Message(1, b"public", Pdu(RESPONSE, number, 0, 0, _binds(packet, values)))
    ), values


def spoilt(data: bytes, dice: random.Random) -> bytes:
    """Return an answer with something wrong, or not."""
    made = bytearray(data)
    for _ in range(dice.choice((0, 0, 1, 1, 2, 5))):
        at = dice.randrange(len(made))
        made[at] = dice.choice((made[at] ^ (1 << dice.randrange(8)), dice.randrange(256), 0, 255))
    if dice.random() < 0.05:
        del made[dice.randrange(len(made)) :]
    return bytes(made)


@pytest.mark.skipif(not mmsg.AVAILABLE, reason="no recvmmsg here")
@pytest.mark.parametrize("seed", range(8))
def test_what_is_read_together_is_what_the_decoder_reads(seed: int) -> None:
    dice = random.Random(seed)
    squad = squad_of(6, 13)
    incoming = mmsg.Incoming(16, 600)
    numbers = squad.numbers()
    fitted = 0
    for _ in range(150):
        which = dice.sample(range(len(squad.packets)), dice.randrange(1, 8))
        told = [spoilt(answer(squad.packets[p], dice)[0], dice) for p in which]
        for row, datagram in enumerate(told):
            incoming.octets[row, : len(datagram)] = np.frombuffer(datagram, np.uint8)
        sizes = np.array([len(datagram) for datagram in told], np.uint32)
        rows, chosen = np.arange(len(told)), np.array(which, np.intp)
        fits = squad.read(incoming, rows, sizes, chosen, numbers)
        fitted += int(np.count_nonzero(fits))
        for row, p in enumerate(which):
            if fits[row] or _read_one(squad, p, told[row], numbers):
                assert _slots(squad, p, numbers) == _decoded(squad.packets[p], told[row])
    assert fitted > 100


def _read_one(squad: Squad, p: int, datagram: bytes, numbers: Any) -> bool:
    try:
        opening, start, end = request_id(datagram)
        if not datagram.startswith(squad.asked[0].peer.check, opening):
            return False
        return squad.read_one(p, datagram, (start, end), numbers)
    except (IndexError, DecodeError):
        return False


def _slots(squad: Squad, p: int, numbers: Any) -> list[int]:
    i = int(squad.device[p])
    first = squad.fleet.starts[i] + squad.packets[p].first
    return numbers[first : first + len(squad.packets[p].kinds)].tolist()  # type: ignore[no-any-return]


def _decoded(packet: Packet, datagram: bytes) -> list[int]:
    """Return what the bounded decoder reads: it is the judge."""
    raw = np.zeros(packet.first + len(packet.kinds), np.uint64)
    wrong: dict[int, str] = {}
    assert packet._decoded(datagram, raw, wrong) is None
    assert not wrong
    return raw[packet.first :].tolist()  # type: ignore[no-any-return]


@pytest.mark.skipif(not mmsg.AVAILABLE, reason="no recvmmsg here")
@pytest.mark.parametrize("first", [0, 1])
def test_a_number_of_more_bits_than_its_type_has_is_not_read(first: int) -> None:
    squad, incoming = squad_of(1, 2), mmsg.Incoming(16, 600)
    packet = squad.packets[0]
    told = Message(1, b"public", Pdu(RESPONSE, 2**30, 0, 0, _binds(packet, (5, 2**32 - 1))))
    good = encode(told)
    assert _read_one(squad, 0, good, squad.numbers())

    data = good[:-5] + bytes([first]) + good[-4:]  # 33 bits of a Counter32, where first is 1
    incoming.octets[0, : len(data)] = np.frombuffer(data, np.uint8)
    sizes = np.array([len(data)], np.uint32)
    zero = np.zeros(1, np.intp)

    assert squad.read(incoming, zero, sizes, zero, squad.numbers()).tolist() == [not first]


@pytest.mark.skipif(not mmsg.AVAILABLE, reason="no recvmmsg here")
def test_an_answer_longer_than_the_room_close_by_is_put_together() -> None:
    dice = random.Random(1)
    incoming = mmsg.Incoming(16, 600)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as agent,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ours,
    ):
        ours.setblocking(False)
        ours.bind(("127.0.0.1", 0))
        told = [dice.randbytes(size) for size in (1, incoming.width, incoming.width + 1, 50_000)]
        for data in told:
            agent.sendto(data, ours.getsockname())
        assert incoming.receive(ours, 7.0) == len(told)
        sizes = incoming.sizes.tolist()

    assert [incoming.datagram(row) for row in range(len(sizes))] == told

    squad = squad_of(1, 100, 100)
    data = encode(
        Message(1, b"public", Pdu(RESPONSE, 2**30, 0, 0, _binds(squad.packets[0], (2**30,) * 100)))
    )
    assert len(data) > incoming.width
    numbers = squad.numbers()
    zero = np.zeros(1, np.intp)
    assert _read_one(squad, 0, data, numbers)
    assert not squad.read(incoming, zero, np.array([len(data)], np.uint32), zero, numbers).any()


def _binds(packet: Packet, values: Iterable[int]) -> tuple[VarBind, ...]:
    return tuple(
        VarBind(oid, SAID[kind][0], value)
        for oid, kind, value in zip(packet.oids(), packet.kinds, values, strict=True)
    )


@pytest.mark.skipif(not mmsg.AVAILABLE, reason="no recvmmsg here")
def test_octets_of_any_kind_are_no_answer_or_one_with_its_id() -> None:
    dice = random.Random(7)
    incoming = mmsg.Incoming(32, 300)
    packet = squad_of(1, 5).packets[0]
    for _ in range(300):
        told = [
            dice.choice((
                lambda: dice.randbytes(dice.randrange(90)),
                lambda: spoilt(answer(packet, dice)[0], dice),
            ))()
            for _ in range(32)
        ]  # fmt: skip
        incoming.octets[:] = dice.randrange(256)
        for row, datagram in enumerate(told):
            incoming.octets[row, : len(datagram)] = np.frombuffer(datagram, np.uint8)
        rows, ids = answers(incoming, np.array([len(d) for d in told], np.uint32))
        for row, number in zip(rows.tolist(), ids.tolist(), strict=True):
            assert number.to_bytes(4, "big") in told[row]
        for row, datagram in enumerate(told):
            try:
                pdu = decode(datagram).pdu
            except DecodeError:
                continue
            if isinstance(pdu, Pdu) and pdu.request_id >= 2**23 and row in rows.tolist():
                assert ids[rows.tolist().index(row)] == pdu.request_id


def test_answers_read_together_are_each_as_old_as_they_are() -> None:
    """More questions than may be out at once: fetched in portions, read in one go."""
    agents = {f"gw{n}": Agent(switch(ports=40)) for n in range(40)}

    async def story(house: House) -> Any:
        await house.settled()
        return await house.sweep()

    seen, _ = tell(story, agents, oids_per_packet=20)

    fetched = {batch.mono_s for batch in seen.values()}
    assert set(seen) == set(agents)
    assert len(fetched) >= 3
    assert max(fetched) - min(fetched) > DRAIN_S


def test_a_reload_forgets_no_sysuptime_that_sweeps_saw() -> None:
    """Who restarts around it, and was up for less at its last look by itself, is found out."""

    async def story(house: House) -> Any:
        agent = house.agents[SUSPECT]
        agent.change(switch(uptime=6_000))
        await house.settled()
        agent.change(agent.mib | {"1.3.6.1.2.1.1.3.0": (Tag.TIME_TICKS, 90_000)})
        assert SUSPECT in await house.sweep()
        await house.poller.retarget(house.poller._targets, house.poller._tables)
        agent.change(agent.mib | {"1.3.6.1.2.1.1.3.0": (Tag.TIME_TICKS, 20_000)})
        return set(await house.sweep()), house.named

    (seen, named), _ = tell(story)

    assert (seen, named) == (set(HONEST), [SUSPECT])


def test_the_next_packets_of_a_device_wait_for_no_tick() -> None:
    """One is deaf: that nothing comes from it holds up no round of another."""
    deaf = Deaf()
    agents: dict[str, Agent] = {name: Agent(switch()) for name in HONEST[:3]}
    agents |= {HONEST[3]: deaf, SUSPECT: Agent(switch(ports=60))}

    async def story(house: House) -> Any:
        await house.settled()
        deaf.deaf = 100
        return (await house.sweep())[SUSPECT].took_s

    took_s, _ = tell(story, agents, timeout_s=1.0, retries=0, oids_per_packet=40)

    assert took_s < 0.4, "six rounds"


def test_what_others_send_makes_nobody_ask_more_at_once() -> None:
    agents: dict[str, Agent] = {f"gw{n}": Deaf() for n in range(8)}

    async def story(house: House) -> int:
        await house.settled()
        for agent in agents.values():
            assert isinstance(agent, Deaf)
            agent.deaf = 1000
        sweeper = house.poller._sweeper
        assert sweeper is not None
        line = sweeper._lines[socket.AF_INET]
        assert line._sock is not None
        port = line._sock.getsockname()[1]
        sweep = asyncio.ensure_future(house.sweep())
        most = 0
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
            for _ in range(60):
                await asyncio.sleep(0.005)
                for _ in range(5):
                    stranger.sendto(bytes(20), ("127.0.0.1", port))
                most = max(most, line.in_flight)
        await sweep
        return most

    most, _ = tell(story, agents, timeout_s=0.5, retries=0, max_in_flight=4)

    assert most == 4


def test_a_squad_of_a_closed_line_is_lost_at_once() -> None:
    async def story(house: House) -> Any:
        await house.singly()
        await house.singly()
        sweeper = house.poller._sweeper
        assert sweeper is not None
        sweep = asyncio.ensure_future(house.sweep())
        for _ in range(100):
            await asyncio.sleep(0)
            if any(roster.busy for roster in sweeper._rosters.values()):
                break  # it forms its squads
        await house.poller.close()
        return await asyncio.wait_for(sweep, 5), house.named

    (seen, named), _ = tell(story)

    assert (seen, set(named)) == ({}, set(NAMES))


@pytest.mark.skipif(not mmsg.AVAILABLE, reason="no sendmmsg here")
def test_a_datagram_without_room_is_not_put() -> None:
    outgoing = mmsg.Outgoing([(b"a", b"b")], [bytes(mmsg.SOURCE)], spare=2)

    assert outgoing.put(0, bytes(8))
    assert not outgoing.put(0, bytes(9))
