"""Looks at SNMPv3 devices: only what this engine tells this user now, and clear words else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from collectors.snmp_codec.message import RESPONSE, Message, Pdu, encode
from collectors.snmp_codec.v3 import MOST_BOOTS
from collectors.snmp_poll import SnmpPoller
from netopsd.core.model import Batch, Blind
from netopsd.errors import CannotLook
from simulators import usm
from simulators.scenario import User
from tests.collectors.snmp_poll.agent import switch
from tests.collectors.snmp_poll.secure_agent import ME, SecureAgent, SecureLiar
from tests.collectors.snmp_poll.test_lies import counter, look, ports, tell, two_looks

ENGINE_TIME = "1.3.6.1.6.3.10.2.1.3.0"
HASTY: dict[str, Any] = {"timeout_s": 0.05, "retries": 1}


def told(
    agent: SecureAgent, change: Callable[[SecureAgent], Any], looks: int = 1, **settings: Any
) -> tuple[list[Any], Any]:
    """Return a good look, then `looks` more after `change`, and what was counted."""

    async def story(poller: SnmpPoller) -> list[Any]:
        first = await look(poller)
        assert isinstance(first, Batch), first
        change(agent)
        return [first] + [await look(poller) for _ in range(looks)]

    return tell(agent, story, "3", **{**HASTY, **settings})


def lies(**wrong: Any) -> Callable[[SecureAgent], Any]:
    return lambda agent: agent.wrong.update(wrong)


def test_a_device_is_discovered_once_and_asked_in_as_many_packets_as_in_v2c() -> None:
    agent = SecureAgent(switch())

    async def story(poller: SnmpPoller) -> Any:
        await two_looks(poller)
        before = len(agent.seen)
        return before, await look(poller), len(agent.seen)

    (before, got, after), stats = tell(agent, story, "3")

    assert counter(got, "ifHCInOctets") == [2**40 + 1000 * i + 6 for i in range(1, 5)]
    assert agent.reports == [usm.ENGINE]
    assert after - before == 2
    assert stats.in_flight == 0


def test_nothing_but_the_question_for_the_engine_is_said_in_clear() -> None:
    agent = SecureAgent(switch())

    tell(agent, two_looks, "3")

    first, *others = agent.seen
    assert (first.engine_id, first.user, first.flags & 3) == (b"", "", 0)
    assert b"\x30\x00" in first.payload, "variables in clear"
    assert {parts.flags & 3 for parts in others} == {usm.AUTH | usm.PRIV}
    assert len({parts.salt for parts in others}) == len(others)


@pytest.mark.parametrize(
    ("wrong", "counted"),
    [
        ({"time": 1}, "wrong_community"),
        ({"boots": 2}, "wrong_community"),
        ({"boots": MOST_BOOTS}, "wrong_community"),
        ({"engine_id": b"\x80\x00\x00\x00\x09\x09"}, "wrong_community"),
        ({"user": "you"}, "wrong_community"),
        ({"flags": 0}, "wrong_community"),
        ({"flags": usm.AUTH}, "wrong_community"),
        ({"context": b"\x80\x00\x00\x00\x09\x09"}, "wrong_community"),
        ({"name": b"vlan-7"}, "wrong_community"),
        ({"msg_id": 2**30 + 1}, "late"),
        ({"request_id": 2**30 + 1}, "late"),
    ],
    ids=lambda said: next(iter(said)) if isinstance(said, dict) else "",
)
def test_an_answer_that_is_not_ours_in_one_way_is_not_believed(
    wrong: dict[str, Any], counted: str
) -> None:
    (_, blind), stats = told(SecureAgent(switch()), lies(**wrong))

    assert isinstance(blind, CannotLook)
    assert getattr(stats, counted) >= 1
    assert stats.in_flight == 0
    if counted == "wrong_community":
        assert blind.why is Blind.MALFORMED
        assert "SNMPv3 user me: answers come" in str(blind)


def test_a_lie_that_ends_costs_one_look() -> None:
    agent = SecureAgent(switch())

    async def story(poller: SnmpPoller) -> list[Any]:
        seen = [await look(poller)]
        for wrong in ({"time": 1}, {}, {"engine_id": b"\x80\x00\x00\x00\x09"}, {}):
            agent.wrong = wrong
            seen.append(await look(poller))
        return seen

    got, _ = tell(agent, story, "3", **HASTY)

    assert [isinstance(each, Batch) for each in got] == [True, False, True, False, True]


def test_a_past_time_is_called_that() -> None:
    (_, blind), _ = told(SecureAgent(switch()), lies(time=7))

    assert "from a past boot or time of the device (boots 3, time 7 s)" in str(blind)


def test_a_device_whose_boots_went_back_is_heard_again_at_the_next_look() -> None:
    """It forgets its boots, which the RFC forbids: strictly it would be lost for ever."""

    def forgets(agent: SecureAgent) -> None:
        agent.boots, agent.began_s = 1, asyncio.get_running_loop().time()

    (_, refused, heard), _ = told(SecureAgent(switch()), forgets, looks=2)

    assert isinstance(refused, CannotLook)
    assert "past boot" in str(refused)
    assert isinstance(heard, Batch)


def test_a_reboot_costs_no_look() -> None:
    def reboot(agent: SecureAgent) -> None:
        agent.boots += 1
        agent.began_s = asyncio.get_running_loop().time()
        agent.change(switch(uptime=50))

    agent = SecureAgent(switch())

    (_, got, again), stats = told(agent, reboot, looks=2, timeout_s=2.0)

    assert isinstance(got, Batch)
    assert isinstance(again, Batch)
    assert got.clocks.sys_uptime_ticks == 50
    assert usm.TIME in agent.reports
    assert stats.timeouts == 0


def test_what_was_said_before_a_reboot_is_not_believed_after_it() -> None:
    def reboot(agent: SecureAgent) -> None:
        agent.boots += 1
        agent.began_s = asyncio.get_running_loop().time()

    agent = SecureAgent(switch())

    async def story(poller: SnmpPoller) -> list[Any]:
        await look(poller)
        before = agent.time()
        reboot(agent)
        await look(poller)
        agent.wrong = {"boots": agent.boots - 1, "time": before}
        return [await look(poller)]

    (blind,), _ = tell(agent, story, "3", **HASTY)

    assert isinstance(blind, CannotLook)
    assert "past boot" in str(blind)


def test_another_engine_id_costs_no_look() -> None:
    def replace(agent: SecureAgent) -> None:
        agent.engine_id = b"\x80\x00\x00\x00\x01new-one"
        agent.boots, agent.began_s = 1, asyncio.get_running_loop().time()

    (_, got), stats = told(SecureAgent(switch()), replace, timeout_s=2.0)

    assert isinstance(got, Batch)
    assert stats.timeouts == 0


@pytest.mark.parametrize(
    ("report", "said"),
    [
        (usm.LEVEL, "does not let this user speak at this security level"),
        (usm.USER, "does not know this user"),
        (usm.ENGINE, "its engine id is another one, and names the same"),
        (usm.DIGEST, "our digest is wrong: auth or auth_key differ"),
        (usm.DECRYPT, "could not decrypt what we sent: priv or priv_key differ"),
        (9, "answers with the report 1.3.6.1.6.3.15.1.1.9.0"),
    ],
)
def test_a_report_gives_the_reason_and_a_bounded_number_of_tries(report: int, said: str) -> None:
    agent = SecureAgent(switch())

    (_, blind), stats = told(agent, lambda it: setattr(it, "report", report))

    assert blind.why is Blind.REJECTED
    assert said in str(blind)
    assert "auth-pass" not in str(blind)
    assert len(agent.reports) < 24
    assert stats.in_flight == 0


def test_an_authentic_word_that_our_time_is_wrong_is_taken_a_bounded_number_of_times() -> None:
    agent = SecureAgent(switch())

    def never(agent: SecureAgent) -> None:
        agent.report, agent.reported_with = usm.TIME, ME

    (_, blind), _ = told(agent, never)

    assert blind.why is Blind.REJECTED
    assert "our time is wrong, again" in str(blind)
    assert len(agent.reports) < 24


def test_an_unsigned_word_that_our_time_is_wrong_changes_nothing() -> None:
    agent = SecureAgent(switch())

    def forged(agent: SecureAgent) -> None:
        agent.report = usm.TIME
        agent.boots, agent.began_s = 99, 0.0

    (_, blind), stats = told(agent, forged)

    assert blind.why is Blind.MALFORMED
    assert stats.wrong_community >= 1
    assert max(parts.boots for parts in agent.seen) == 3


def test_a_true_answer_counts_though_a_forged_report_came_first() -> None:
    class Shadowed(SecureAgent):
        def said(self, data: bytes, parts: usm.Parts) -> Any:
            if parts.engine_id:
                yield self.reports_on(parts, usm.USER)
                yield self.reports_on(parts, usm.DIGEST)
            yield from super().said(data, parts)

    got, stats = tell(Shadowed(switch()), two_looks, "3")

    assert isinstance(got, Batch)
    assert not got.errors
    assert stats.timeouts == 0


def test_an_answer_of_snmpv2c_is_none_to_a_question_of_snmpv3() -> None:
    class Downgraded(SecureAgent):
        bare = False

        def answer(self, parts: usm.Parts, pdu: Pdu) -> bytes:
            if self.bare:
                return encode(Message(1, b"", pdu._replace(tag=RESPONSE)))
            return super().answer(parts, pdu)

    (_, blind), stats = told(Downgraded(switch()), lambda it: setattr(it, "bare", True))

    assert isinstance(blind, CannotLook)
    assert stats.wrong_community >= 1


def test_each_try_has_its_own_msg_id_and_a_late_answer_to_the_first_still_counts() -> None:
    class Slow(SecureAgent):
        slow = False

        def send(self, data: bytes, addr: Any) -> None:
            if self.slow:
                asyncio.get_running_loop().call_later(0.15, super().send, data, addr)
            else:
                super().send(data, addr)

    agent = Slow(switch())

    async def story(poller: SnmpPoller) -> Any:
        await look(poller)
        agent.slow = True
        agent.seen.clear()
        agent.asked.clear()
        got = await look(poller)
        assert not poller._transport._pending, "msgIDs are kept that nobody waits for"
        return got

    got, stats = tell(agent, story, "3", timeout_s=0.1, retries=1)

    assert isinstance(got, Batch)
    assert stats.timeouts >= 1
    assert stats.in_flight == 0
    assert len({parts.message_id for parts in agent.seen}) == len(agent.seen)
    assert len({pdu.request_id for pdu in agent.asked}) < len(agent.asked)


def test_asking_again_after_a_report_is_none_of_the_tries() -> None:
    class Unlucky(SecureAgent):
        losing = 0

        def answer(self, parts: usm.Parts, pdu: Pdu) -> bytes:
            self.losing -= 1
            return b"" if self.losing >= 0 else super().answer(parts, pdu)

        def reboots(self) -> None:
            self.boots += 1
            self.began_s = asyncio.get_running_loop().time()
            self.losing = 2

    (_, got), stats = told(Unlucky(switch()), lambda agent: agent.reboots(), timeout_s=0.2)  # type: ignore[attr-defined]

    assert isinstance(got, Batch)
    assert not got.errors
    assert stats.timeouts >= 1


def test_an_answer_from_another_port_is_none() -> None:
    got, stats = tell(SecureLiar("other port", switch()), look, "3", **HASTY)

    assert isinstance(got, CannotLook)
    assert stats.wrong_source >= 1


def test_lost_packets_are_asked_for_again() -> None:
    class Lossy(SecureAgent):
        count = 0

        def send(self, data: bytes, addr: Any) -> None:
            self.count += 1
            if self.count % 4:
                super().send(data, addr)

    got, stats = tell(Lossy(switch(ports=30)), two_looks, "3", retries=4, timeout_s=0.1)

    assert isinstance(got, Batch)
    assert not got.errors
    assert stats.timeouts > 0


@pytest.mark.parametrize("spoil", ["digest", "salt", "payload", "cut", "garbage"])
def test_spoilt_answers_are_not_believed(spoil: str) -> None:
    def spoilt(data: bytes) -> list[bytes]:
        parts = usm.take_apart(data)
        at = {"digest": parts.mac_at, "salt": parts.mac_at + 30, "payload": len(data) - 3}
        if spoil == "cut":
            return [data[:-7]]
        if spoil == "garbage":
            return [data[:30] + bytes(len(data) - 30)]
        i = at[spoil]
        return [data[:i] + bytes((data[i] ^ 1,)) + data[i + 1 :]]

    (_, blind), stats = told(SecureAgent(switch()), lambda it: setattr(it, "tamper", spoilt))

    assert isinstance(blind, CannotLook)
    assert blind.why is Blind.MALFORMED
    assert stats.wrong_community + stats.decode_errors >= 1


def test_a_user_without_privacy_is_read_in_clear_and_checked() -> None:
    agent = SecureAgent(switch())
    agent.user = User(name="me", auth="SHA-256", auth_key=ME.auth_key)

    got, _ = tell(agent, two_looks, "3 auth")
    assert isinstance(got, Batch)
    assert len(ports(got).layout.rows) == 4

    (_, blind), _ = told_as("3 auth", agent, lies(time=1))
    assert "past boot or time" in str(blind)


def test_a_user_without_keys_is_read_where_the_operator_says_so() -> None:
    agent = SecureAgent(switch())
    agent.user = User(name="me")

    (_, got), _ = told_as("3 open", agent, lies(time=1))

    assert isinstance(got, Batch), "without authentication there is no time to check"
    assert not got.errors


def told_as(
    version: str, agent: SecureAgent, change: Callable[[SecureAgent], Any]
) -> tuple[list[Any], Any]:
    async def story(poller: SnmpPoller) -> list[Any]:
        first = await look(poller)
        change(agent)
        return [first, await look(poller)]

    return tell(agent, story, version, **HASTY)
