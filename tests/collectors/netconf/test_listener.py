"""Notifications: heard once, in order, resumed, and never silently lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncssh
import pytest

from collectors.netconf import notification
from collectors.netconf.listener import NetconfListener
from collectors.netconf.notification import Meaning
from collectors.netconf.settings import NetconfSettings
from netopsd.clock import SystemClock
from netopsd.core.model import Resource
from simulators.netconf import Fault, FaultKind, NetconfSimulator, StandIn
from simulators.netconf.state import AlarmEntry
from tests.collectors.netconf.scene import FILE, QUICK, Ledger, simulated, target, until

MEANING = Meaning(events=FILE.event, resources=FILE.resource)


@asynccontextmanager
async def listening(
    simulator: NetconfSimulator,
    ledger: Ledger,
    *,
    settings: NetconfSettings = QUICK,
    resume: str = "",
    look: Callable[[str], None] = lambda _: None,
    **changes: Any,
) -> AsyncIterator[NetconfListener]:
    said = target(simulator, stream="NETCONF", **changes)
    listener = NetconfListener(
        settings, [said], MEANING, SystemClock(), resume=lambda _: resume, look=look
    )
    task = asyncio.create_task(listener.listen(ledger))
    try:
        yield listener
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def alarm(number: int, **changes: Any) -> AlarmEntry:
    said: dict[str, Any] = {
        "resource": "/if:interfaces/if:interface[if:name='ge-0/0/1']",
        "type_id": "acme:loss-of-signal",
        "text": f"alarm {number}",
        "severity": "critical",
        "changed": datetime.now(UTC),
    }
    return AlarmEntry(**{**said, **changes})


def model(simulator: NetconfSimulator) -> StandIn:
    assert isinstance(simulator.model, StandIn)
    return simulator.model


@pytest.mark.parametrize("subscribed", [False, True], ids=["RFC 5277", "RFC 8639"])
def test_an_alarm_keeps_its_own_severity_and_ends_itself(subscribed: bool) -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator:
            simulator.subscribed = subscribed
            async with listening(simulator, ledger) as listener:
                await until(lambda: listener.hearing)
                simulator.alarms.put(alarm(1))
                simulator.alarms.put(alarm(2, severity="minor", qualifier="lane 3"))
                simulator.alarms.put(alarm(3, cleared=True))
                await until(lambda: len(ledger.events) == 3)
            asked = "establish-subscription" if subscribed else "create-subscription"
            assert simulator.asked[asked] == 1
        raised, other, ended = ledger.events
        assert raised.name == "ietf-alarms:alarm-notification"
        assert raised.alarm == "loss-of-signal"
        assert raised.resource == Resource("r1", "if", "ge-0/0/1")
        assert (raised.severity, other.severity, ended.severity) == ("critical", "minor", "cleared")
        assert other.alarm == "loss-of-signal:lane 3"
        assert raised.text == "alarm 1"
        assert all(event.authenticated for event in ledger.events)
        assert (ended.alarm, ended.resource) == (raised.alarm, raised.resource)

    asyncio.run(story())


def test_a_port_that_goes_down_says_so_by_itself() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator, listening(simulator, ledger) as listener:
            await until(lambda: listener.hearing)
            model(simulator).cut("ge-0/0/2")
            model(simulator).mend("ge-0/0/2")
            await until(lambda: len(ledger.events) == 6)
        told = [event for event in ledger.events if event.name.startswith("ietf-interfaces:")]
        assert [event.severity for event in told] == ["major", "cleared"]
        assert {event.resource for event in told} == {Resource("r1", "if", "ge-0/0/2")}
        vendor = ledger.events[0]
        assert vendor.name == "netopsd-service:link-down", "known by its module, left to the rules"
        assert not vendor.alarm
        assert vendor.values["if-index"] == "2"

    asyncio.run(story())


@pytest.mark.parametrize("subscribed", [False, True], ids=["RFC 5277", "RFC 8639"])
def test_what_happened_while_the_connection_was_lost_is_replayed_once(subscribed: bool) -> None:
    async def story() -> None:
        ledger, looks = Ledger(), []
        async with simulated() as simulator:
            simulator.subscribed = subscribed
            async with listening(simulator, ledger, look=looks.append) as listener:
                await until(lambda: listener.hearing)
                for number in range(30):
                    simulator.alarms.put(alarm(number))
                    if number % 10 == 9:
                        simulator.cut_sessions()
                        simulator.alarms.put(alarm(100 + number))
                        connections = 2 + number // 10
                        await until(lambda n=connections: looks.count("r1") == n)  # type: ignore[misc]
                await until(lambda: len(ledger.events) >= 33)
                await asyncio.sleep(0.05)
                assert listener.gaps == 0
        texts = [event.text for event in ledger.events]
        assert len(texts) == len(set(texts)) == 33
        assert looks.count("r1") == 4, "one look after each connection"

    asyncio.run(story())


@pytest.mark.parametrize("subscribed", [False, True], ids=["RFC 5277", "RFC 8639"])
def test_a_port_that_goes_down_up_and_down_within_a_second_is_down(subscribed: bool) -> None:
    """Where eventTime is in whole seconds the third is, octet for octet, the first."""
    moment = datetime.now(UTC)

    async def story() -> None:
        ledger = Ledger()
        down, up = alarm(1, changed=moment), alarm(1, changed=moment, cleared=True)
        async with simulated() as simulator, listening(simulator, ledger) as listener:
            simulator.subscribed = subscribed
            simulator.stream.whole_seconds = True
            simulator.stream.created -= timedelta(seconds=2)  # its log begins before
            await until(lambda: listener.hearing)
            for told in (down, up, down):
                simulator.alarms.put(told)
            await until(lambda: len(ledger.events) == 3)
            simulator.cut_sessions()
            for told in (up, down):
                simulator.alarms.put(told)
            await until(lambda: len(ledger.events) >= 5)
            await asyncio.sleep(0.05)
        severities = [event.severity for event in ledger.events]
        assert severities == ["critical", "cleared", "critical", "cleared", "critical"]

    asyncio.run(story())


def test_what_came_with_the_end_of_a_subscription_is_heard() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator, listening(simulator, ledger) as listener:
            await until(lambda: listener.hearing)
            ledger.hold.clear()
            simulator.alarms.put(alarm(0))
            await asyncio.sleep(0.05)
            simulator.alarms.put(alarm(1))
            session = next(iter(simulator.sessions.values()))
            ns = "urn:ietf:params:xml:ns:netconf:notification:1.0"
            ended = f'<notification xmlns="{ns}"><eventTime>2026-11-23T10:00:00Z</eventTime>'
            over = '<notificationComplete xmlns="urn:ietf:params:xml:ns:netmod:notification"/>'
            session.send(f"{ended}{over}</notification>".encode())
            await asyncio.sleep(0.05)
            ledger.hold.set()
            await until(lambda: len(ledger.events) >= 2)
            await asyncio.sleep(0.05)
        assert [event.text for event in ledger.events] == ["alarm 0", "alarm 1"]

    asyncio.run(story())


def test_a_restart_resumes_from_what_was_committed() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator:
            async with listening(simulator, ledger) as listener:
                await until(lambda: listener.hearing)
                simulator.alarms.put(alarm(1))
                await until(lambda: ledger.events)
            last = ledger.events[-1].values["eventTime"]
            simulator.alarms.put(alarm(2))
            async with listening(simulator, ledger, resume=last):
                await until(lambda: "alarm 2" in [event.text for event in ledger.events])

    asyncio.run(story())


def test_a_log_that_does_not_reach_back_is_a_gap_and_said_so() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator:
            simulator.alarms.put(alarm(1))
            simulator.stream.forget(datetime.now(UTC))
            since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
            async with listening(simulator, ledger, resume=since) as listener:
                await until(lambda: ledger.events)
                assert listener.gaps == 1
        gap = ledger.events[0]
        assert gap.name == "netopsd:notification-gap"
        assert gap.values["since"] == since
        assert "log begins" in gap.values["why"]

    asyncio.run(story())


def test_a_device_that_does_not_replay_is_heard_and_the_gap_said() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator:
            simulator.faults.add(Fault(kind=FaultKind.NO_REPLAY, rpc="create-subscription"))
            since = datetime.now(UTC).isoformat()
            async with listening(simulator, ledger, resume=since) as listener:
                await until(lambda: listener.hearing and ledger.events)
                assert "does not replay" in ledger.events[0].values["why"]
                simulator.alarms.put(alarm(1))
                await until(lambda: len(ledger.events) == 2)

    asyncio.run(story())


def test_what_a_device_that_does_not_replay_says_again_happened_again() -> None:
    """Its clock may stand still: the same octets, after a lost connection, are no repetition."""

    async def story() -> None:
        ledger, moment = Ledger(), datetime.now(UTC)
        async with simulated() as simulator, listening(simulator, ledger) as listener:
            simulator.faults.add(Fault(kind=FaultKind.NO_REPLAY, rpc="create-subscription"))
            simulator.stream.whole_seconds = True
            await until(lambda: listener.hearing)
            simulator.alarms.put(alarm(1, changed=moment))
            await until(lambda: len(ledger.events) == 1)
            simulator.cut_sessions()
            await until(lambda: listener.hearing and listener.gaps == 1)
            simulator.alarms.put(alarm(1, changed=moment))
            await until(lambda: listener.heard + listener.repeated == 2)
            assert listener.repeated == 0

    asyncio.run(story())


def test_events_lost_around_the_subscription_are_left_to_the_look_and_the_gap() -> None:
    async def story() -> None:
        ledger, looks = Ledger(), []
        async with simulated() as simulator:
            lose = Fault(kind=FaultKind.LOSE_NOTIFICATIONS, rpc="create-subscription", lasts_s=0.3)
            simulator.faults.add(lose)
            since = datetime.now(UTC).isoformat()
            async with listening(simulator, ledger, resume=since, look=looks.append) as listener:
                await until(lambda: listener.hearing)
                simulator.alarms.put(alarm(1))
                await until(lambda: ledger.events)
        assert looks == ["r1"]
        assert "replay did not end" in ledger.events[0].values["why"]

    asyncio.run(story())


def test_a_slow_commit_makes_the_device_wait_and_loses_nothing() -> None:
    async def story() -> None:
        ledger = Ledger()
        settings = QUICK.model_copy(update={"queue": 10, "rpc_s": 5.0})
        async with simulated() as simulator:
            async with listening(simulator, ledger, settings=settings) as listener:
                await until(lambda: listener.hearing)
                ledger.hold.clear()
                for number in range(3000):
                    simulator.alarms.put(alarm(number))
                    if number % 100 == 0:
                        await asyncio.sleep(0)
                await asyncio.sleep(0.1)
                assert not ledger.events
                ledger.hold.set()
                await until(lambda: len(ledger.events) == 3000, 15)
            assert [event.text for event in ledger.events] == [f"alarm {n}" for n in range(3000)]

    asyncio.run(story())


def test_a_notification_judgement_stumbles_over_takes_no_other_one_with_it() -> None:
    async def story() -> None:
        ledger = Ledger()
        ledger.poison = "alarm 2"
        async with simulated() as simulator, listening(simulator, ledger) as listener:
            await until(lambda: listener.hearing)
            ledger.hold.clear()
            for number in range(6):
                simulator.alarms.put(alarm(number))
            await asyncio.sleep(0.05)
            ledger.hold.set()
            await until(lambda: len(ledger.events) == 5)
            assert [event.text for event in ledger.events] == [
                f"alarm {n}" for n in range(6) if n != 2
            ]
            assert listener.hearing

    asyncio.run(story())


def test_nothing_counts_as_heard_before_it_is_committed() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator:
            async with listening(simulator, ledger) as listener:
                await until(lambda: listener.hearing)
                simulator.alarms.put(alarm(1))
                await until(lambda: ledger.events)
                last = ledger.events[-1].values["eventTime"]
                ledger.hold.clear()
                simulator.alarms.put(alarm(2))
                await asyncio.sleep(0.05)
            ledger.hold.set()
            async with listening(simulator, ledger, resume=last):
                await until(lambda: "alarm 2" in [event.text for event in ledger.events])

    asyncio.run(story())


def test_a_clock_far_ahead_does_not_move_the_resume_point() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator, listening(simulator, ledger) as listener:
            await until(lambda: listener.hearing)
            session = next(iter(simulator.sessions.values()))
            ns = "urn:ietf:params:xml:ns:netconf:notification:1.0"
            odd = f'<notification xmlns="{ns}"><eventTime>9999-12-31T23:59:59Z</eventTime><x/>'
            session.send(odd.encode() + b"</notification>")
            await until(lambda: ledger.events)
            simulator.alarms.put(alarm(1))
            simulator.cut_sessions()
            simulator.alarms.put(alarm(2))
            await until(lambda: "alarm 2" in [event.text for event in ledger.events])

    asyncio.run(story())


def test_a_changed_host_key_is_an_alarm_that_ends_when_the_key_is_right_again() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator:
            right, port = simulator.host_key, simulator.port
            async with listening(simulator, ledger) as listener:
                await until(lambda: listener.hearing)
                await simulator.stop()
                simulator.host_key = asyncssh.generate_private_key("ssh-ed25519")
                await simulator.start(port=port)
                await until(lambda: ledger.events)
                await asyncio.sleep(0.1)
                assert [event.severity for event in ledger.events] == ["critical"], "told once"
                await simulator.stop()
                simulator.host_key = right
                await simulator.start(port=port)
                await until(lambda: len(ledger.events) == 2)
                assert ledger.events[1].severity == "cleared"

    asyncio.run(story())


@pytest.mark.parametrize("junk", [b"<notification/>", b"<x/>", b"not xml", b"<!DOCTYPE x><x/>"])
def test_junk_between_notifications_costs_a_reconnection_and_no_event(junk: bytes) -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator, listening(simulator, ledger) as listener:
            await until(lambda: listener.hearing)
            simulator.alarms.put(alarm(1))
            await until(lambda: len(ledger.events) == 1)
            next(iter(simulator.sessions.values())).send(junk)
            simulator.alarms.put(alarm(2))
            await until(lambda: len(ledger.events) == 2)
            assert ledger.events[1].text == "alarm 2"

    asyncio.run(story())


def listed(ledger: Ledger) -> list[tuple[str, str]]:
    return [(e.text, e.severity) for e in ledger.events if e.name == notification.LISTED]


def test_alarms_from_before_the_first_subscription_are_taken_from_the_devices_list() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator:
            simulator.alarms.put(alarm(1))
            simulator.alarms.put(alarm(2, qualifier="2", cleared=True))
            async with listening(simulator, ledger):
                await until(lambda: len(listed(ledger)) == 2)
        (_, first), (_, second) = listed(ledger)
        assert (first, second) == (alarm(1).severity, "cleared")

    asyncio.run(story())


def test_what_a_device_says_right_behind_its_list_is_newer_than_the_list() -> None:
    async def story() -> None:
        ledger = Ledger()
        async with simulated() as simulator:
            for number in range(300):
                simulator.alarms.put(alarm(number, qualifier=str(number)))
            async with listening(simulator, ledger) as listener:
                await until(lambda: simulator.asked.get("get"))
                for number in range(300):
                    simulator.alarms.put(alarm(number, qualifier=str(number), cleared=True))
                await until(lambda: listener.heard == 300)
                await asyncio.sleep(0.05)
        last = {event.alarm: event.severity for event in ledger.events}
        assert set(last.values()) == {"cleared"}

    asyncio.run(story())
