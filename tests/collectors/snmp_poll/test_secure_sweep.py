"""SNMPv3 devices asked together: who is not who it says spoils nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from collectors.snmp_codec import usm as codec_usm
from collectors.snmp_codec import v3
from collectors.snmp_codec.ber import Tag, tlv
from collectors.snmp_codec.message import Pdu
from collectors.snmp_codec.v3 import MOST_BOOTS
from netopsd.core.model import Batch
from simulators import usm
from tests.collectors.snmp_poll.agent import IFX, Agent, switch
from tests.collectors.snmp_poll.secure_agent import ENGINE, KEYS, SecureAgent
from tests.collectors.snmp_poll.test_lies import counter
from tests.collectors.snmp_poll.test_sweep import HONEST, NAMES, SUSPECT, House, tell

TRUTH = [2**40 + 1000 * i + 6 for i in range(1, 5)]


def agents(suspect: SecureAgent | None = None) -> dict[str, Agent]:
    made: dict[str, Agent] = {name: SecureAgent(switch()) for name in HONEST}
    return {**made, SUSPECT: suspect or SecureAgent(switch())}


@pytest.mark.parametrize(
    "wrong",
    [
        {"time": 1},
        {"boots": 2},
        {"boots": MOST_BOOTS},
        {"engine_id": b"\x80\x00\x00\x00\x09\x09"},
        {"user": "you"},
        {"flags": 0},
        {"flags": usm.AUTH},
        {"context": b"\x80\x00\x00\x00\x09\x09"},
        {"name": b"vlan-7"},
        {"msg_id": 2**30 + 1},
        {"request_id": 2**30 + 1},
    ],
    ids=lambda said: next(iter(said)),
)
def test_an_answer_that_is_not_ours_in_one_way_is_not_believed(wrong: dict[str, Any]) -> None:
    suspect = SecureAgent(switch())

    async def story(house: House) -> Any:
        await house.settled()
        suspect.wrong.update(wrong)
        lied = set(await house.sweep()), list(house.named)
        suspect.wrong.clear()
        await house.singly()
        return lied, set(await house.sweep())

    ((seen, named), after), stats = tell(story, agents(suspect), timeout_s=0.2, retries=0)

    assert (seen, named) == (set(HONEST), [SUSPECT])
    assert after == set(NAMES), "a lie that ends costs one look"
    assert stats.in_flight == 0


def test_who_is_changed_on_the_way_is_not_believed_and_the_truth_that_follows_is() -> None:
    suspect = SecureAgent(switch())

    def tamper(data: bytes) -> Iterator[bytes]:
        yield data[:-1] + bytes((data[-1] ^ 1,))
        yield data
        yield data

    async def story(house: House) -> Any:
        await house.settled()
        suspect.tamper = tamper
        return await house.sweep(), house.named

    (seen, named), stats = tell(story, agents(suspect))

    assert (set(seen), named) == (set(NAMES), [])
    assert counter(seen[SUSPECT], "ifHCInOctets") == TRUTH
    assert stats.wrong_community >= 1
    assert stats.late >= 1, "the same answer twice"


def test_no_packet_goes_out_in_clear_or_with_a_salt_used_before() -> None:
    made = agents()

    async def story(house: House) -> Any:
        await house.settled()
        before = [len(agent.seen) for agent in made.values() if isinstance(agent, SecureAgent)]
        for _ in range(3):
            assert set(await house.sweep()) == set(NAMES)
        return before

    before, _ = tell(story, made)

    for since, agent in zip(before, made.values(), strict=True):
        assert isinstance(agent, SecureAgent)
        assert len(agent.seen) >= since + 3
        assert {parts.flags & 3 for parts in agent.seen[since:]} == {usm.AUTH | usm.PRIV}
        salts = [parts.salt for parts in agent.seen if parts.engine_id]
        assert len(set(salts)) == len(salts)


def test_a_lost_packet_is_sent_again_with_another_salt() -> None:
    class Deaf(SecureAgent):
        deaf = 0

        def datagram_received(self, data: bytes, addr: Any) -> None:
            self.deaf -= 1
            if self.deaf < 0:
                super().datagram_received(data, addr)
            else:
                self.seen.append(usm.take_apart(data))

    suspect = Deaf(switch(ports=40))

    async def story(house: House) -> Any:
        await house.settled()
        before = len(suspect.seen)
        suspect.deaf = 1
        return await house.sweep(), house.named, suspect.seen[before:]

    (seen, named, parts), stats = tell(story, agents(suspect), timeout_s=0.2, oids_per_packet=20)

    assert (set(seen), named) == (set(NAMES), [])
    assert stats.timeouts == 1
    again = [each for each in parts if each.message_id == parts[0].message_id]
    assert len(again) == 2
    assert again[0].salt != again[1].salt


def test_a_device_that_restarted_is_looked_at_by_itself_and_then_among_others_again() -> None:
    suspect = SecureAgent(switch())

    async def story(house: House) -> Any:
        await house.settled()
        suspect.boots += 1
        suspect.began_s = 0.0
        first = set(await house.sweep()), list(house.named)
        alone = await house.poller.poll(SUSPECT)
        return first, alone, set(await house.sweep())

    (first, alone, after), stats = tell(story, agents(suspect), timeout_s=2.0)

    assert first == (set(HONEST), [SUSPECT])
    assert stats.timeouts == 0, "what the device says is enough"
    assert isinstance(alone, Batch)
    assert counter(alone, "ifHCInOctets") == TRUTH
    assert after == set(NAMES)


def test_versions_share_a_turn_and_no_squad() -> None:
    made: dict[str, Agent] = {f"clear{n}": Agent(switch()) for n in range(4)}
    made |= {f"secure{n}": SecureAgent(switch()) for n in range(4)}

    async def story(house: House) -> Any:
        await house.settled()
        for n, agent in enumerate(made.values()):
            agent.change(agent.mib | {f"{IFX}.6.1": (Tag.COUNTER64, 2**41 + n)})
        return await house.sweep()

    seen, _ = tell(story, made)

    assert [counter(seen[name], "ifHCInOctets")[0] for name in made] == [
        2**41 + n for n in range(8)
    ]


@pytest.mark.parametrize(
    ("engine_id", "boots", "up_s"),
    [("8000000001020304", 12_000_000, 9_000_000), ("80" + "58" * 31, 2**31 - 2, 2**30)],
    ids=["boots of four octets", "everything at its longest"],
)
def test_devices_that_count_long_fit_into_their_squad(
    engine_id: str, boots: int, up_s: int
) -> None:
    made = agents()
    for agent in made.values():
        assert isinstance(agent, SecureAgent)
        agent.engine_id, agent.boots = bytes.fromhex(engine_id), boots
        agent.began_s = -float(up_s)

    async def story(house: House) -> Any:
        await house.settled()
        return set(await house.sweep())

    assert tell(story, made)[0] == set(NAMES)


@pytest.mark.parametrize("most", [1, 256])
def test_an_engine_id_that_grew_is_left_to_a_look_of_its_own(most: int) -> None:
    """Its packets no longer fit; whoever notices that, the others are asked as ever."""

    class Deaf(SecureAgent):
        deaf = False

        def datagram_received(self, data: bytes, addr: Any) -> None:
            if not self.deaf:
                super().datagram_received(data, addr)

    suspect, silent = SecureAgent(switch()), Deaf(switch())
    made = agents(suspect) | {"deaf": silent}
    del made[SUSPECT]
    made[SUSPECT] = suspect  # behind the one that is silent

    async def story(house: House) -> Any:
        await house.settled()
        suspect.engine_id = b"\x80" + b"X" * 31
        await house.sweep()
        alone = await house.poller.poll(SUSPECT)
        silent.deaf = True
        seen = await asyncio.wait_for(house.sweep(), 5)
        return alone, set(seen), set(house.named)

    (alone, seen, named), stats = tell(
        story, made, timeout_s=0.2, max_in_flight=most, interval_s=10.0
    )

    assert isinstance(alone, Batch)
    assert (seen, named) == (set(HONEST), {SUSPECT, "deaf"})
    assert stats.in_flight == 0


class LongHand(SecureAgent):
    """Writes the length of what stands first in a message in more octets than it needs."""

    def answer(self, parts: usm.Parts, pdu: Pdu) -> bytes:
        data = super().answer(parts, pdu)
        opening = data.index(b"\x02\x01\x03") + 3
        size = data[opening + 1]
        inside = data[opening - 3 : opening] + b"\x30\x82\x00" + data[opening + 1 :]
        assert size < 0x80
        long = tlv(0x30, inside)
        message = v3.decode_v3(long)
        at, end = message.auth_at, message.auth_at + len(message.auth)
        keys = codec_usm.keys("sha256", KEYS["auth_key"], "aes128", KEYS["priv_key"], ENGINE)
        blank = long[:at] + bytes(len(message.auth)) + long[end:]
        return long[:at] + keys.mac(blank) + long[end:]


def test_who_writes_lengths_in_more_octets_than_they_need_fits_into_its_squad() -> None:
    async def story(house: House) -> Any:
        await house.settled()
        return [set(await house.sweep()) for _ in range(2)]

    seen, stats = tell(story, agents(LongHand(switch())), timeout_s=0.3, retries=0)

    assert seen == [set(NAMES)] * 2
    assert (stats.decode_errors, stats.late, stats.timeouts) == (0, 0, 0)
