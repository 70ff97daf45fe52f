"""Messages to a real mosquitto: events, retained state, and a broker's bad days."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from bss_bridge.canonical import canonical
from bss_bridge.settings import MqttSinkSettings
from bss_bridge.sinks.mqtt import OVER, MqttSink, cloud_event
from bss_bridge.tmforum import EVENT_TYPES
from netopsd.broker import Heard, Link
from netopsd.broker_settings import BrokerSettings
from netopsd.core.beliefs import FINAL
from netopsd.errors import Refused, TryLater
from netopsd.ports import Message
from tests.e2e.broker import Broker, running
from tests.ports import free_port

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)
ENDS = (
    ("alarm.raised", "alarm.cleared"),
    ("outage.started", "outage.ended"),
    ("ticket.opened", "ticket.closed"),
    ("ticket.opened", "ticket.cancelled"),
    ("ticket.opened", "ticket.rejected"),
)
ACL = """user sink
topic write allowed/#
user reader
topic read #
"""


def message(
    topic: str = "alarm.raised", key: str = "k1", about: str = "r1/if/ge-0\\/0!x"
) -> Message:
    family = topic.partition(".")[0]
    said = {"externalAlarmId": about, "id": about, "state": topic}
    body = canonical({"version": 1, "topic": topic, "event": {family: said}})
    return Message(key=key, sink="bus", topic=topic, stream="network", body=body, at=AT)


def settings(port: int, **more: object) -> MqttSinkSettings:
    return MqttSinkSettings.model_validate(
        {"name": "bus", "host": "127.0.0.1", "port": port, "timeout_s": 20.0, **more}
    )


async def retained(port: int, **who: object) -> dict[str, Heard]:
    """Return what a newcomer finds."""
    own = BrokerSettings.model_validate(
        {"host": "127.0.0.1", "port": port, "client_id": "n", **who}
    )
    found: dict[str, Heard] = {}
    async with Link(own) as link:
        await link.hear(["#"])
        await link.tell("all", b"")  # and behind what is retained
        while "all" not in found:
            heard = await link.take()
            link.ack(heard)
            found |= {one.topic: one for one in heard}
    del found["all"]
    return found


def with_sink(folder: Path, story: Callable[[MqttSink, Broker], Awaitable[None]]) -> None:
    async def go(broker: Broker) -> None:
        sink = MqttSink(settings(broker.port))
        try:
            await story(sink, broker)
        finally:
            await sink.close()

    with running(folder) as broker:
        asyncio.run(go(broker))


@pytest.mark.e2e
@pytest.mark.peer("mosquitto")
def test_each_message_is_an_event_and_the_latest_state_is_retained(tmp_path: Path) -> None:
    async def story(sink: MqttSink, broker: Broker) -> None:
        async with Link(BrokerSettings(host="127.0.0.1", port=broker.port)) as ear:
            await ear.hear(["netopsd/v1/out/event/#"])
            await sink.deliver(message())
            await sink.deliver(message())  # as after a crash: the same octets again
            await sink.deliver(message("alarm.changed", "k2"))
            heard: list[Heard] = []
            while len(heard) < 3:
                heard += await ear.take()
        assert [one.topic.rsplit("/", 2)[1:] for one in heard] == [
            ["alarm", "raised"],
            ["alarm", "raised"],
            ["alarm", "changed"],
        ]
        assert heard[0].payload == heard[1].payload
        event = json.loads(heard[0].payload)
        assert event["specversion"] == "1.0" and event["id"] == "k1"
        assert event["type"] == "netopsd.alarm.raised" and event["time"] == "2026-11-23T10:00:00Z"
        (state,) = (await retained(broker.port)).values()
        assert state.topic.startswith("netopsd/v1/out/state/alarm/r1%2Fif")
        assert json.loads(state.payload)["id"] == "k2" and state.retained

    with_sink(tmp_path, story)


@pytest.mark.e2e
@pytest.mark.peer("mosquitto")
def test_the_state_of_what_is_over_is_forgotten_by_the_broker(tmp_path: Path) -> None:
    async def story(sink: MqttSink, broker: Broker) -> None:
        for n, (begins, _) in enumerate(ENDS):
            await sink.deliver(message(begins, f"begins-{n}", f"it-{n}"))
        assert len(await retained(broker.port)) == len(ENDS)
        for n, (_, ends) in enumerate(ENDS):
            await sink.deliver(message(ends, f"ends-{n}", f"it-{n}"))
        assert await retained(broker.port) == {}

    with_sink(tmp_path, story)


def test_whatever_is_documented_to_end_leaves_no_state_behind() -> None:
    """An ending that is not known to be one leaves a retained topic for each thing that ended."""
    text = (Path(__file__).parents[2] / "bss_bridge" / "README.md").read_text(encoding="utf-8")
    named = re.findall(r"`(alarm|ticket|outage)\.([a-z|]+)`", text.partition("## Topics")[2])
    topics = {f"{family}.{word}" for family, words in named for word in words.split("|")}
    assert {one for pair in ENDS for one in pair} <= topics <= set(EVENT_TYPES)
    final = {f"ticket.{status}" for status in FINAL}
    assert {"alarm.cleared", "outage.ended"} | final == OVER == {ends for _, ends in ENDS}


@pytest.mark.e2e
@pytest.mark.peer("mosquitto")
def test_while_the_broker_is_away_a_message_waits_and_then_goes(tmp_path: Path) -> None:
    async def story(sink: MqttSink, broker: Broker) -> None:
        await sink.deliver(message())
        broker.kill9()
        for _ in range(2):
            with pytest.raises(TryLater):
                await sink.deliver(message(key="k2"))
        broker.start()
        await sink.deliver(message(key="k2"))
        (state,) = (await retained(broker.port)).values()
        assert json.loads(state.payload)["id"] == "k2"

    with_sink(tmp_path, story)


@pytest.mark.e2e
@pytest.mark.peer("mosquitto")
def test_a_broker_that_refuses_us_is_tried_later_and_one_that_never_will_is_not(
    tmp_path: Path,
) -> None:
    (tmp_path / "acl").write_text(ACL)
    (tmp_path / "acl").chmod(0o600)
    lines = ["allow_anonymous true", f"acl_file {tmp_path / 'acl'}", "max_packet_size 3000"]

    async def go(port: int) -> None:
        denied = MqttSink(settings(port, username="sink", root="elsewhere"))
        with pytest.raises(TryLater, match="0x87"):  # not authorized: the operator's to mend
            await denied.deliver(message())
        await denied.close()
        allowed = MqttSink(settings(port, username="sink", root="allowed"))
        await allowed.deliver(message())
        with pytest.raises(Refused, match="0x95"):  # packet too large: it will not shrink
            await allowed.deliver(message(about="x" * 5000))
        await allowed.deliver(message(key="k3"))
        await allowed.close()

    with running(tmp_path / "b", lines) as broker:
        asyncio.run(go(broker.port))


def test_nobody_there_is_try_later_and_leaves_nothing_open() -> None:
    async def go() -> None:
        sink = MqttSink(settings(free_port()))
        with pytest.raises(TryLater):
            await sink.deliver(message())
        await sink.close()

    asyncio.run(go())


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"event":{}}', '{"event":{"a":1}}', "{" * 5000])
def test_a_body_that_is_none_of_ours_is_refused(body: str) -> None:
    bad = Message(key="k", sink="bus", topic="alarm.raised", stream="network", body=body, at=AT)
    with pytest.raises(Refused):
        cloud_event(bad, "/netopsd")


@pytest.mark.parametrize("about", ["a/b", "a+b", "#", "\x00", "æ" * 300, "\udcff"])
def test_no_name_becomes_a_wildcard_or_another_level(about: str) -> None:
    _, level = cloud_event(message(about=about), "/netopsd")
    assert level and not set(level) & set("/+#\x00") and len(level) <= 200


def test_a_password_is_not_sent_in_clear() -> None:
    with pytest.raises(ValueError, match="set tls"):
        settings(1883, host="broker.example.net", username="u", password="secret-word")


@pytest.mark.parametrize("topic", ["care.notice", "alarm.raised"])
def test_what_the_broker_does_not_acknowledge_is_not_delivered(topic: str) -> None:
    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(bytes([0x20, 3, 0, 0, 0]))  # CONNACK, and never a word again
        while await reader.read(4096):
            pass
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(swallow, "127.0.0.1", 0)
        sink = MqttSink(settings(server.sockets[0].getsockname()[1], timeout_s=0.3))
        with pytest.raises(TryLater, match="acknowledged"):
            await sink.deliver(message(topic))
        await sink.close()
        server.close()
        await server.wait_closed()
        await asyncio.sleep(0.05)

    asyncio.run(go())
