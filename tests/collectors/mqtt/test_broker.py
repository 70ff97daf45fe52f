"""Against a real mosquitto, and against a broker that lies: nothing but typed errors and counts."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from collectors.mqtt.listener import MqttListener
from collectors.mqtt.packing import Packing
from collectors.mqtt.publisher import Publisher
from collectors.mqtt.settings import MqttSettings
from collectors.mqtt.sites import SiteIntake
from collectors.mqtt.spool import Spool
from collectors.mqtt.topics import Collector
from netopsd.broker import BrokerGone, Link, NotTaken
from netopsd.broker_settings import BrokerSettings
from netopsd.clock import SystemClock
from netopsd.core.model import Batch, Events, Input
from netopsd.errors import NotJudged
from simulators.mqtt import HOSTILE, Gateway, readings
from tests.collectors.mqtt.looks import layout, look
from tests.e2e.broker import Broker, running

TOPICS = [
    {"filter": "plant/+/env", "device": "{2}", "table": "env",
     "reading": [{"from": "/temperature", "column": "temperature"}]},
    {"filter": "plant/+/meter", "device": "{2}", "table": "meter",
     "reading": [{"from": "/energy/wh", "column": "wh", "kind": "counter64"}]},
    {"filter": "plant/+/alarm", "device": "{2}", "event": "gw:alarm"},
]  # fmt: skip


class Heap:
    """An inbox that keeps what it is given; it stumbles over events and looks of `poison`."""

    def __init__(self) -> None:
        self.all: list[Input] = []
        self.poison = ""

    async def put(self, said: Input) -> None:
        self.all.append(said)

    def offer(self, said: Input) -> bool:
        del said
        return False

    async def durable(self, said: Input) -> None:
        about = said.items if isinstance(said, Events) else (said,)
        if self.poison and any(getattr(one, "device", "") == self.poison for one in about):
            raise NotJudged("a bug")
        self.all.append(said)

    def values(self, table: str, column: int = 0) -> list[float]:
        batches = [b for b in self.all if isinstance(b, Batch)]
        tables = [t for b in batches for t in b.tables if t.layout.table == table]
        return [float(t.gauges[column, 0] if len(t.gauges) else t.counters[0, 0]) for t in tables]


def mqtt(port: int, **more: object) -> MqttSettings:
    said = {"host": "127.0.0.1", "port": port, "topic": TOPICS, "gather_s": 0.05, "timeout_s": 2.0}
    return MqttSettings.model_validate({**said, **more})


async def until(true: Callable[[], bool], what: str) -> None:
    for _ in range(6000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(what)


async def alone() -> None:
    """Wait until no other task is left."""
    await until(lambda: len(asyncio.all_tasks()) == 1, "something stays open")


def hearing(
    settings: MqttSettings, story: Callable[[MqttListener, Heap], Awaitable[None]]
) -> tuple[MqttListener, Heap]:
    async def go() -> tuple[MqttListener, Heap]:
        listener = MqttListener(settings, frozenset({"gw1", "gw2"}), SystemClock())
        heap = Heap()
        task = asyncio.create_task(listener.listen(heap))
        try:
            await story(listener, heap)
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        return listener, heap

    return asyncio.run(go())


pytestmark = [pytest.mark.e2e]
real = pytest.mark.peer("mosquitto")


@real
def test_gateways_readings_become_looks_and_hostile_ones_counts(tmp_path: Path) -> None:
    with running(tmp_path) as broker:
        gateway = Gateway(broker.port)
        gateway.say("plant/gw1/env", {"temperature": -40}, retain=True)  # old news

        async def story(listener: MqttListener, heap: Heap) -> None:
            await until(lambda: listener.stats()["retained"] == 1, "the retained one")
            for topic, payload in readings(3, 5):
                await asyncio.to_thread(gateway.say, topic, payload)
            for payload in HOSTILE:
                await asyncio.to_thread(gateway.say, "plant/gw1/env", payload)
            await asyncio.to_thread(gateway.say, "plant/gw2/alarm", {"what": "door"})
            await until(lambda: listener.stats()["heard"] >= 6 + len(HOSTILE) + 2, "all heard")
            await until(lambda: any(isinstance(x, Events) for x in heap.all), "the event")

        listener, heap = hearing(mqtt(broker.port), story)
        gateway.close()
    stats = listener.stats()
    assert -40.0 not in heap.values("env")
    assert set(heap.values("env")) == {21.5, 22.5} and set(heap.values("meter")) == {1005.0, 2010.0}
    # gw3 is nobody's device: both its topics; every hostile payload is a count of its own.
    assert stats["bad_no_device"] == 2
    bad = sum(n for name, n in stats.items() if name.startswith("bad_"))
    assert stats["heard"] == stats["readings"] + stats["events"] + stats["retained"] + bad
    (events,) = [x for x in heap.all if isinstance(x, Events)]
    assert events.items[0].device == "gw2" and not events.items[0].authenticated


@real
def test_what_judgement_stumbles_over_is_passed_over_and_the_next_is_heard(tmp_path: Path) -> None:
    with running(tmp_path) as broker:
        gateway = Gateway(broker.port)

        async def story(listener: MqttListener, heap: Heap) -> None:
            await until(lambda: "plant/+/env" in broker.log_path.read_text(), "subscribed")
            heap.poison = "gw1"
            for topic in ("plant/gw1/env", "plant/gw1/alarm"):
                await asyncio.to_thread(gateway.say, topic, {"temperature": 1})
            await until(lambda: listener.stats()["heard"] == 2, "both heard")
            await asyncio.to_thread(gateway.say, "plant/gw2/env", {"temperature": 7})
            await until(lambda: 7.0 in heap.values("env"), "the other one")

        hearing(mqtt(broker.port), story)
        gateway.close()


@real
def test_a_disk_that_does_not_take_how_far_we_are_ends_nothing(tmp_path: Path) -> None:
    async def story(port: int) -> None:
        clock, heap, folder = SystemClock(), Heap(), tmp_path / "state"
        own = BrokerSettings(host="127.0.0.1", port=port)
        me = Collector(root="n", site="oslo", name="c")
        spool = Spool(tmp_path / "spool", 1 << 20)
        spool.open("x")
        publisher = Publisher(own, me, spool, clock, 5.0, lambda _: None)
        packing = Packing(spool, publisher.nudge, 1, 0.1)
        folder.mkdir()
        intake = SiteIntake(own, "n", {"d1": "oslo"}, clock, folder)
        tasks = [asyncio.create_task(intake.listen(heap))]
        await until(lambda: intake.connected, "connected")
        tasks.append(asyncio.create_task(publisher.run()))
        looks = lambda: sum(isinstance(x, Batch) for x in heap.all)  # noqa: E731
        shape, kept = layout(), folder / "sites.json"
        await packing.put(look("d1", shape, 0))
        await until(lambda: looks() == 1 and kept.exists(), "the first look")
        await asyncio.sleep(0.5)
        before = kept.read_text()
        folder.rename(tmp_path / "away")
        await packing.put(look("d1", shape, 1))
        await until(lambda: looks() == 2, "the second look")
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in tasks)
        (tmp_path / "away").rename(folder)
        await until(lambda: kept.read_text() != before, "kept now")
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        spool.close()

    with running(tmp_path / "broker") as broker:
        asyncio.run(story(broker.port))


@real
def test_a_device_that_floods_is_limited_and_the_other_is_not(tmp_path: Path) -> None:
    with running(tmp_path) as broker:

        async def story(listener: MqttListener, heap: Heap) -> None:
            own = BrokerSettings(host="127.0.0.1", port=broker.port, client_id="flood")
            async with Link(own) as link:
                await until(lambda: "plant/+/env" in broker.log_path.read_text(), "subscribed")
                for n in range(400):
                    await link.tell("plant/gw1/env", b'{"temperature": %d}' % n)
                await link.tell("plant/gw2/env", b'{"temperature": 7}')
                await until(lambda: 7.0 in heap.values("env"), "the other one")

        settings = mqtt(broker.port, device_rate=0.5, device_burst=10)
        listener, _ = hearing(settings, story)
    stats = listener.stats()
    assert stats["limited"] > 350 and stats["readings"] + stats["limited"] == 401


def certificates(folder: Path) -> None:
    """Make an authority, the broker's certificate for 127.0.0.1, and passwords."""
    run = lambda *words: subprocess.run(words, cwd=folder, check=True, capture_output=True)  # noqa: E731
    run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out",
        "ca.pem", "-days", "2", "-subj", "/CN=test authority")  # fmt: skip
    run("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-keyout", "b.key", "-out", "b.csr",
        "-subj", "/CN=127.0.0.1")  # fmt: skip
    (folder / "ext").write_text("subjectAltName=IP:127.0.0.1\n")
    run("openssl", "x509", "-req", "-in", "b.csr", "-CA", "ca.pem", "-CAkey", "ca.key",
        "-CAcreateserial", "-out", "b.pem", "-days", "2", "-extfile", "ext")  # fmt: skip
    (folder / "passwords").write_text("gw1:one\ncore:two\n")
    run("mosquitto_passwd", "-U", "passwords")
    for name in ("passwords", "b.key"):
        (folder / name).chmod(0o600)


@pytest.mark.peer("mosquitto")
def test_over_tls_only_who_has_credentials_is_heard_and_only_on_his_own_topics(
    tmp_path: Path,
) -> None:
    certificates(tmp_path)
    (tmp_path / "acl").write_text("pattern write plant/%u/#\nuser core\ntopic read #\n")
    (tmp_path / "acl").chmod(0o600)
    lines = [
        f"cafile {tmp_path / 'ca.pem'}", f"certfile {tmp_path / 'b.pem'}",
        f"keyfile {tmp_path / 'b.key'}", "allow_anonymous false",
        f"password_file {tmp_path / 'passwords'}", f"acl_file {tmp_path / 'acl'}",
    ]  # fmt: skip
    with running(tmp_path / "broker", lines) as broker:
        secure = {"tls": True, "ca_file": tmp_path / "ca.pem", "username": "core"}
        gateway = Gateway(broker.port, username="gw1", password="one", ca=str(tmp_path / "ca.pem"))

        async def story(listener: MqttListener, heap: Heap) -> None:
            await until(lambda: "plant/+/env" in broker.log_path.read_text(), "subscribed")
            theirs = await asyncio.to_thread(gateway.say, "plant/gw2/env", {"temperature": 99})
            own = await asyncio.to_thread(gateway.say, "plant/gw1/env", {"temperature": 20})
            assert (theirs, own) == (0x87, 0)
            await until(lambda: heap.values("env") == [20.0], "its own")

        hearing(mqtt(broker.port, **secure, password="two"), story)
        gateway.close()

        async def refused(**who: object) -> None:
            async with Link(mqtt(broker.port, **who)):
                pass

        with pytest.raises(NotTaken, match=r"0x8[67]"):
            asyncio.run(refused(**secure, password="wrong"))
        with pytest.raises(BrokerGone, match=r"(?i)certificate"):  # an authority we do not know
            asyncio.run(refused(**{**secure, "ca_file": None}, password="two"))


CONNACK = bytes([0x20, 3, 0, 0, 0])
LIES = {
    "closes at once": b"",
    "says nothing readable": b"\xff" * 100,
    "refuses": bytes([0x20, 3, 0, 0x88, 0]),
    "announces 256 MB": CONNACK + bytes([0x30, 0xFF, 0xFF, 0xFF, 0x7F]) + b"x" * 100,
    "a length of five octets": CONNACK + bytes([0x30, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
    "a topic that is no text": CONNACK + bytes([0x30, 6, 0, 2, 0xFF, 0xFE, 0, 1]),
    "a topic longer than its packet": CONNACK + bytes([0x30, 4, 0xFF, 0xFF, 0, 0]),
    "an empty publish": CONNACK + bytes([0x30, 0]),
    "properties without an end": CONNACK + bytes([0x30, 6, 0, 1, 0x61, 0xFF, 0xFF, 0xFF]),
    "an acknowledgement of nothing": CONNACK + bytes([0x40, 4, 0x12, 0x34, 0, 0]),
    "a subscription nobody made": CONNACK + bytes([0x90, 4, 0, 9, 0, 1]),
    "a second connack": CONNACK + CONNACK,
    "an unknown packet": CONNACK + bytes([0x00, 0]),
    "qos 3": CONNACK + bytes([0x36, 7, 0, 1, 0x61, 0, 1, 0, 0x62]),
    "good-bye": CONNACK + bytes([0xE0, 2, 0x8B, 0]),
}


@pytest.mark.parametrize("lie", LIES)
def test_a_lying_broker_is_a_typed_error_and_nothing_stays_open(lie: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(LIES[lie])
        await asyncio.sleep(0.05)
        writer.close()

    complaints: list[str] = []

    async def go() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: complaints.append(str(context)))
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        own = BrokerSettings(host="127.0.0.1", port=port, timeout_s=1.0)
        for _ in range(3):
            with pytest.raises((BrokerGone, NotTaken)):
                async with Link(own) as link:
                    async with asyncio.timeout(30):
                        while True:
                            await link.take()
        assert not [t for t in asyncio.all_tasks() if "misc_loop" in repr(t) and not t.cancelling()]
        server.close()
        await server.wait_closed()
        await alone()
        gc.collect()

    asyncio.run(go())
    assert complaints == []


def publish(qos: int, number: int) -> bytes:
    mid = number.to_bytes(2, "big") if qos else b""
    body = b"\0\3a/b" + mid + b"\0" + str(number).encode()
    return bytes([0x30 | qos << 1, len(body)]) + body


def test_a_flood_without_acknowledgement_takes_no_place_of_what_must_be_acknowledged() -> None:
    more = 5  # than there is room for

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        flood = b"".join(publish(0, n) for n in range(8))
        writer.write(CONNACK + flood + publish(1, 90) + publish(0, 9) + publish(1, 91))
        replied.append(await reader.readexactly(8))
        writer.write(b"".join(publish(1, n) for n in range(100, 100 + more + 4)))
        await reader.read(100)
        writer.close()
        left.set()

    replied: list[bytes] = []
    left = asyncio.Event()

    async def go() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        own = BrokerSettings(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        async with Link(own, waiting=more, receive_maximum=3) as link:
            await until(lambda: link.stats.dropped == 4, "those of QoS 0 are dropped")
            await asyncio.sleep(0.05)
            assert replied == [], "nothing is acknowledged that nobody took"
            heard = await link.take()
            assert [int(one.payload) for one in heard] == [0, 1, 2, 3, 4, 90, 91]
            link.ack(heard)
            await until(lambda: not link.open, "it sends more at once than was agreed")
            with pytest.raises(BrokerGone, match="more at once"):
                while True:
                    await link.take()
        await left.wait()
        assert b"\x40\x02\x00\x5a" in replied[0] and b"\x40\x02\x00\x5b" in replied[0]
        server.close()
        await server.wait_closed()

    asyncio.run(go())


def test_a_connection_that_fails_during_the_good_bye_raises_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(CONNACK)
        with contextlib.suppress(OSError):
            await reader.read(100)  # the subscription
            writer.write(bytes([0x90, 4, 0, 1, 0, 1]))
            await reader.read(100)
        writer.close()

    async def go() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        own = BrokerSettings(host="127.0.0.1", port=server.sockets[0].getsockname()[1])
        async with Link(own) as link:
            hearing = asyncio.create_task(link.hear(["a"]))
            await asyncio.sleep(0)
            hearing.cancel()  # what is answered now is waited for by nobody
            await asyncio.sleep(0.05)
            waiting = asyncio.create_task(link.take())
            await asyncio.sleep(0)
            failing = link._client.socket()
            asyncio.get_running_loop().call_soon(link._fail, ConnectionResetError("reset"), failing)
        with pytest.raises(BrokerGone, match="reset"):
            await waiting
        server.close()
        await server.wait_closed()

    asyncio.run(go())
    assert [r.getMessage() for r in caplog.records if r.exc_info] == []


def test_whoever_waits_while_nobody_answers_the_good_bye_is_told() -> None:
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(CONNACK)
        with contextlib.suppress(OSError):
            while await reader.read(100):
                pass
        await asyncio.sleep(0.5)
        writer.close()
        ended.set()

    async def go() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        link = Link(BrokerSettings(host="127.0.0.1", port=port, timeout_s=0.2))
        async with link:
            waiting = asyncio.create_task(link.take())
            await asyncio.sleep(0)
            link._client.disconnect = lambda: paho.MQTT_ERR_SUCCESS  # type: ignore[method-assign]
        with pytest.raises(BrokerGone):
            await waiting
        server.close()
        await server.wait_closed()
        await ended.wait()

    asyncio.run(go())


def test_a_broker_that_takes_the_connection_and_says_nothing_is_given_up() -> None:
    async def go() -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            own = BrokerSettings(host="127.0.0.1", port=silent.getsockname()[1], timeout_s=0.3)
            with pytest.raises(BrokerGone):
                async with Link(own):
                    pass
        await alone()

    asyncio.run(go())


@real
def test_whoever_waits_for_a_broker_that_dies_is_told(tmp_path: Path) -> None:
    async def go(broker: Broker) -> None:
        async with Link(BrokerSettings(host="127.0.0.1", port=broker.port)) as link:
            waiting = asyncio.create_task(link.take())
            await asyncio.sleep(0.05)
            broker.kill9()
            with pytest.raises(BrokerGone):
                await asyncio.wait_for(waiting, 30)
            with pytest.raises(BrokerGone):
                await link.tell("a", b"b")

    with running(tmp_path) as broker:
        asyncio.run(go(broker))


def test_certificates_that_cannot_be_read_are_a_typed_error(tmp_path: Path) -> None:
    async def go() -> None:
        own = BrokerSettings(host="127.0.0.1", tls=True, ca_file=tmp_path / "none.pem")
        with pytest.raises(BrokerGone, match="certificates"):
            Link(own)
        (tmp_path / "bad.pem").write_text("no certificate")
        with pytest.raises((BrokerGone, ssl.SSLError)):
            Link(own.model_copy(update={"ca_file": tmp_path / "bad.pem"}))

    asyncio.run(go())
