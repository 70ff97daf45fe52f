"""What arrives on the wire is told, counted, or both; never lost without a trace."""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from collectors.snmp_codec.message import (
    INFORM,
    RESPONSE,
    TRAP2,
    Message,
    Pdu,
    TrapV1,
    VarBind,
    decode,
    encode,
)
from collectors.snmp_trap.listener import GATHER_S, TrapListener, gather_s
from collectors.snmp_trap.parse import SYS_UPTIME, TRAP_OID
from collectors.snmp_trap.settings import TrapSettings
from collectors.snmp_trap.udp import passed_by_systemd
from netopsd.clock import SystemClock
from netopsd.errors import BadConfiguration
from tests.collectors.snmp_trap.ears import IF_INDEX, LINK_DOWN, Ear, Heard, accounted, listening

LINK_UP = "1.3.6.1.6.3.1.1.5.4"
V3 = bytes.fromhex("3009020103300402010001")  # its first octets
Story = Callable[[Heard], Awaitable[Any]]


def trap(
    index: int = 3, name: str = LINK_DOWN, tag: int = TRAP2, number: int = 1, ticks: int = 5,
    community: bytes = b"public",
) -> bytes:  # fmt: skip
    binds = (VarBind(SYS_UPTIME, 0x43, ticks), VarBind(TRAP_OID, 6, name),
             VarBind(f"{IF_INDEX}.{index}", 2, index))  # fmt: skip
    return encode(Message(1, community, Pdu(tag, number, 0, 0, binds)))


def told(story: Story, tmp_path: Path, **settings: Any) -> Any:
    async def run() -> Any:
        async with asyncio.timeout(30), listening(tmp_path, **settings) as heard:
            return await story(heard)

    return asyncio.run(run())


class Sender:
    """A socket bound to one loopback address."""

    def __init__(self, heard: Heard, address: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind((address, 0))
        self.sock.setblocking(False)
        self._to = ("127.0.0.1", heard.port)

    def __enter__(self) -> Sender:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def send(self, *datagrams: bytes) -> None:
        for datagram in datagrams:
            self.sock.sendto(datagram, self._to)

    async def answer(self, within_s: float = 5.0) -> bytes | None:
        try:
            async with asyncio.timeout(within_s):
                return await asyncio.get_running_loop().sock_recv(self.sock, 65535)
        except TimeoutError:
            return None


def test_a_trap_becomes_an_event_of_its_device(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        with Sender(heard) as sender:
            sender.send(trap())
            await heard.settled(1)
        (event,) = heard.ear.events
        assert (event.device, event.source, event.name) == ("osl-gw1", "127.0.0.1", LINK_DOWN)
        assert event.values == {f"{IF_INDEX}.3": "3"}
        assert not event.authenticated
        assert not event.confirmed

    told(story, tmp_path)


def test_strangers_wrong_communities_and_junk_are_only_counted(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        with Sender(heard) as known, Sender(heard, "127.0.0.9") as stranger:
            stranger.send(trap(), b"junk")
            known.send(trap(community=b"private"), b"", b"junk", trap()[:-1], trap(tag=0xA0))
            known.send(V3)
            stats = await heard.settled(8)
        assert heard.ear.events == []
        assert stats["unknown_source"] == 2
        assert stats["wrong_community"] == 1
        assert stats["malformed"] == 4
        assert stats["v3_no_users"] == stats["v3_refused"] == 1

    told(story, tmp_path)


def test_equal_traps_that_arrive_together_are_one_event_with_a_count(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        with Sender(heard) as sender:
            sender.send(*(trap(number=n, ticks=n) for n in range(200)))
            stats = await heard.settled(200)
        assert sum(event.count for event in heard.ear.events) == 200
        assert len(heard.ear.events) == len(heard.ear.batches) < 20
        assert stats["folded"] == 200 - len(heard.ear.events)

    told(story, tmp_path)


def test_folding_keeps_the_last_state_last(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        with Sender(heard) as sender:
            sender.send(*(trap(name=LINK_UP if n % 2 else LINK_DOWN) for n in range(41)))
            await heard.settled(41)
        assert heard.ear.events[-1].name == LINK_DOWN

    told(story, tmp_path)


def test_an_inform_is_acknowledged_only_once_it_is_durable(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        heard.ear.gate.clear()
        with Sender(heard) as sender:
            sender.send(trap(tag=INFORM, number=99))
            await heard.until(lambda: heard.ear.durable_batches == [1])
            assert await sender.answer(within_s=0.2) is None
            assert heard.stats()["in_flight"] == 1
            heard.ear.gate.set()
            answer = decode(await sender.answer() or b"")
        assert (answer.pdu.tag, answer.pdu.request_id) == (RESPONSE, 99)  # type: ignore[union-attr]
        (event,) = heard.ear.events
        assert event.confirmed

    told(story, tmp_path)


def test_an_inform_the_store_could_not_keep_is_never_acknowledged(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        heard.ear.broken = True
        with Sender(heard) as sender:
            sender.send(trap(tag=INFORM))
            await heard.settled(1)
            assert await sender.answer(within_s=0.2) is None
            assert heard.stats()["unacknowledged"] == 1
            heard.ear.broken = False  # the sender tries again
            sender.send(trap(tag=INFORM))
            assert await sender.answer() is not None
        assert len(heard.ear.events) == 1

    told(story, tmp_path)


def test_an_inform_judgement_stumbles_over_takes_no_other_one_with_it(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        heard.ear.gate.clear()
        heard.ear.poison = LINK_DOWN + ".99"
        with Sender(heard) as sender:
            sender.send(trap(tag=INFORM, number=0))
            await heard.until(lambda: heard.ear.durable_batches == [1])
            sender.send(*(trap(tag=INFORM, number=n) for n in range(1, 8)))
            sender.send(trap(name=heard.ear.poison, tag=INFORM, number=8))
            sender.send(*(trap(tag=INFORM, number=n) for n in range(9, 20)))
            await heard.until(lambda: heard.stats()["in_flight"] == 20)
            heard.ear.gate.set()
            answers = [decode(await sender.answer() or b"").pdu for _ in range(19)]
            assert await sender.answer(within_s=0.1) is None
        numbers = [answer.request_id for answer in answers]  # type: ignore[union-attr]
        assert sorted(numbers) == [n for n in range(20) if n != 8]
        assert (heard.stats()["unacknowledged"], heard.stats()["emitted"]) == (1, 19)
        assert len(heard.ear.events) == 19

    told(story, tmp_path)


def test_informs_that_wait_together_share_one_durable_batch(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        heard.ear.gate.clear()
        with Sender(heard) as sender:
            sender.send(trap(tag=INFORM, number=0))
            await heard.until(lambda: heard.ear.durable_batches == [1])
            sender.send(*(trap(tag=INFORM, number=n) for n in range(1, 51)))
            await heard.until(lambda: heard.stats()["in_flight"] == 51)
            heard.ear.gate.set()
            numbers = {decode(await sender.answer() or b"").pdu.request_id for _ in range(51)}  # type: ignore[union-attr]
        assert numbers == set(range(51))
        assert heard.ear.durable_batches == [1, 50]

    told(story, tmp_path)


def test_an_inform_sent_again_is_answered_again_and_told_once(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        heard.ear.gate.clear()
        with Sender(heard) as sender:
            sender.send(*[trap(tag=INFORM)] * 3)
            await heard.until(lambda: heard.stats()["repeated"] == 2)
            heard.ear.gate.set()
            assert await sender.answer() is not None
            sender.send(trap(tag=INFORM))
            assert await sender.answer() is not None
            stats = await heard.settled(4)
        assert len(heard.ear.events) == stats["emitted"] == 1
        assert stats["repeated"] == 3

    told(story, tmp_path)


def test_a_full_inbox_is_counted_as_overflow(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        heard.ear.full = True
        with Sender(heard) as sender:
            sender.send(*(trap(n) for n in range(1, 31)))
            assert (await heard.settled(30))["overflow"] == 30

    told(story, tmp_path)


def test_one_loud_source_is_limited_and_its_neighbour_is_not(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        with Sender(heard) as loud, Sender(heard, "127.0.0.2") as quiet:
            loud.send(*(trap(n) for n in range(1, 301)))
            quiet.send(*(trap(n) for n in range(1, 11)))
            stats = await heard.settled(310)
        assert stats["rate_limited"] >= 200
        assert sum(e.device == "b" for e in heard.ear.events) == 10

    told(story, tmp_path, devices={"127.0.0.1": "a", "127.0.0.2": "b"}, source_rate=10)


def test_the_agent_address_of_a_v1_trap_counts_only_from_a_forwarder(tmp_path: Path) -> None:
    v1 = encode(Message(0, b"public", TrapV1("1.3.6.1.4.1.9", "192.0.2.7", 2, 0, 5, ())))
    devices = {"127.0.0.1": "proxy", "127.0.0.2": "gw", "192.0.2.7": "behind"}

    async def story(heard: Heard) -> None:
        with Sender(heard) as forwarder, Sender(heard, "127.0.0.2") as other:
            forwarder.send(v1)
            other.send(v1)
            await heard.settled(2)
        assert {e.source: e.device for e in heard.ear.events} == {
            "127.0.0.1": "behind",
            "127.0.0.2": "gw",
        }

    told(story, tmp_path, devices=devices, forwarders=["127.0.0.1"])


def test_devices_can_change_while_it_listens(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        with Sender(heard) as sender:
            heard.listener.know({"127.0.0.2": "other"})
            sender.send(trap())
            assert (await heard.settled(1))["unknown_source"] == 1
            heard.listener.know({"127.0.0.1": "new"})
            sender.send(trap())
            await heard.settled(2)
        assert [event.device for event in heard.ear.events] == ["new"]

    told(story, tmp_path)


def test_strangers_are_heard_where_that_is_configured(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        with Sender(heard, "127.0.0.77") as sender:
            sender.send(trap())
            await heard.settled(1)
        assert [(e.device, e.source) for e in heard.ear.events] == [("", "127.0.0.77")]

    told(story, tmp_path, accept_unknown_sources=True)


def test_a_socket_for_both_families_knows_ipv4_devices(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        with Sender(heard) as sender:
            sender.send(trap(), trap(tag=INFORM))
            assert await sender.answer() is not None
            await heard.settled(2)
        assert {event.source for event in heard.ear.events} == {"127.0.0.1"}

    told(story, tmp_path, listen="[::]:0")


def storm(rng: random.Random, size: int) -> Iterable[bytes]:
    """All that can arrive, mixed: good, repeated, informs, junk, wrong, v3."""
    good = [trap(index, name) for index in range(1, 20) for name in (LINK_DOWN, LINK_UP)]
    other = [
        b"junk", b"", trap(community=b"wrong"), V3, trap(tag=0xA1),
        encode(Message(0, b"public", TrapV1("1.3.6", "1.2.3.4", 6, 1, 0, ()))),
    ]  # fmt: skip
    for n in range(size):
        dice = rng.random()
        if dice < 0.7:
            yield rng.choice(good)
        elif dice < 0.8:
            yield trap(tag=INFORM, number=n)
        else:
            yield rng.choice(other)


@pytest.mark.parametrize("trouble", ["none", "full", "broken", "small"])
def test_every_datagram_of_a_storm_is_accounted_for(tmp_path: Path, trouble: str) -> None:
    """received = the sum of its ends and what is in flight; sent = received + kernel drops."""
    devices = {f"127.0.0.{n}": f"d{n}" for n in range(1, 11)}
    small = {"receive_buffer": 2**16, "backlog": 100} if trouble == "small" else {}

    async def story(heard: Heard) -> None:
        rng, sent = random.Random(7), 0
        senders = [Sender(heard, f"127.0.0.{n}") for n in range(1, 14)]  # the last three: strangers
        try:
            heard.ear.broken = trouble == "broken"
            for burst in range(5):
                heard.ear.full = trouble == "full" and burst % 2 == 0
                for datagram in storm(rng, 1200):
                    rng.choice(senders).send(datagram)
                    sent += 1
                assert accounted(heard.stats())
                await asyncio.sleep(0.01)
                assert accounted(heard.stats())
            await heard.until(
                lambda: heard.stats()["received"] + heard.stats()["kernel_dropped"] == sent
            )
            stats = await heard.settled(0)
        finally:
            for sender in senders:
                sender.sock.close()
        assert stats["emitted"] == sum(event.count for event in heard.ear.events)
        assert accounted(stats)
        assert stats["in_flight"] == 0
        if trouble == "small":
            assert stats["kernel_dropped"] > 0
        else:
            assert stats["kernel_dropped"] == 0
        if trouble == "broken":
            assert stats["informs_acked"] == 0

    told(story, tmp_path, devices=devices, source_rate=100, **small)


@pytest.mark.parametrize(("rate", "wait_s"), [(100, 0), (2_000, 0), (10_000, 1), (50_000, 1)])
def test_a_storm_is_gathered_and_a_shower_is_not(rate: int, wait_s: int) -> None:
    """From any state a steady rate finds its wait within a second."""
    for heard in (0, 1_000):
        waits = [gather_s(heard)]
        while sum(waits) < 1.0:
            waits.append(gather_s(round(rate * waits[-1])))
        assert waits[-1] == GATHER_S[wait_s]


def test_a_port_in_use_is_a_clear_mistake(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        settings = TrapSettings(listen=f"127.0.0.1:{taken.getsockname()[1]}")
        listener = TrapListener(settings, {}, SystemClock(), tmp_path)
        with pytest.raises(BadConfiguration, match=r"traps\.listen.*in use"):
            asyncio.run(listener.listen(Ear()))


def test_the_socket_of_systemd_is_taken_by_its_name() -> None:
    pid = os.getpid()
    env = {"LISTEN_PID": str(pid), "LISTEN_FDS": "2", "LISTEN_FDNAMES": "http:other"}
    assert passed_by_systemd(env, pid) is None
    assert passed_by_systemd({}, pid) is None
    assert passed_by_systemd({**env, "LISTEN_FDNAMES": "trap", "LISTEN_PID": "1"}, pid) is None
