"""The webhook on the billing system's good and bad days."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
from collections.abc import Awaitable, Callable
from datetime import timedelta
from ipaddress import ip_address, ip_network
from typing import Any

import pytest
from pydantic import ValidationError

from bss_bridge.canonical import digest
from bss_bridge.settings import WebhookSinkSettings
from bss_bridge.sinks.address import judge
from bss_bridge.sinks.webhook import WebhookSink, retry_after_s
from netopsd.clock import ManualClock
from netopsd.errors import Refused, TryLater
from tests.bss_bridge.peers import BillingStub, billing
from tests.bss_bridge.world import T0, message
from tests.patience import PatientLoop

SECRET = "a secret of the right length"


def sink(port: int, **changes: object) -> WebhookSink:
    said: dict[str, object] = {
        "name": "billing",
        "url": f"http://127.0.0.1:{port}/usage?v=1",
        "secret": SECRET,
        "key_id": "k1",
        "timeout_s": 0.3,
        "allow": ["127.0.0.0/8"],
    }
    return WebhookSink(WebhookSinkSettings.model_validate(said | changes), ManualClock(T0))


def on_a_day(mood: str, story: Callable[[WebhookSink, BillingStub], Awaitable[Any]]) -> Any:
    async def run() -> Any:
        async with billing(mood) as stub:
            hook = sink(stub.port)
            try:
                return await story(hook, stub)
            finally:
                await hook.close()

    return asyncio.run(run())


def test_a_message_arrives_whole_and_signed() -> None:
    said = message(body='{"navn":"Ålesund"}', key="usage.record|s1|ge-0/0/1\r\nX-Evil: 1")

    async def story(hook: WebhookSink, stub: BillingStub) -> None:
        await hook.deliver(said)
        ((line, headers, body),) = stub.requests
        assert line == "POST /usage?v=1 HTTP/1.1"
        assert body == said.body.encode()
        assert headers["host"] == f"127.0.0.1:{stub.port}"
        assert headers["idempotency-key"] == digest(said.key)
        assert "x-evil" not in headers
        signed = headers["netopsd-timestamp"].encode() + b"." + body
        expected = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
        assert headers["netopsd-signature"] == f"keyid=k1,alg=hmac-sha256,sig={expected}"

    on_a_day("ok", story)


@pytest.mark.parametrize("mood", ["409", "422"])
def test_what_the_billing_system_will_never_take_is_refused(mood: str) -> None:
    async def story(hook: WebhookSink, stub: BillingStub) -> str:
        with pytest.raises(Refused) as refused:
            await hook.deliver(message())
        return str(refused.value)

    why = on_a_day(mood, story)
    assert f"answered {mood}" in why
    assert "\x1b" not in why


@pytest.mark.parametrize(
    ("mood", "after_s"),
    [
        ("503", 17.0),
        ("429", 120.0),
        ("401", None),
        ("302", None),
        ("timeout", None),
        ("accepted-then-timeout", None),
        ("garbage", None),
        ("reset", None),
    ],
)
def test_what_may_pass_is_tried_later(mood: str, after_s: float | None) -> None:
    async def story(hook: WebhookSink, stub: BillingStub) -> None:
        with pytest.raises(TryLater) as later:
            await hook.deliver(message())
        assert later.value.after_s == after_s
        assert stub.followed == 0
        assert len(stub.requests) == 1

    on_a_day(mood, story)


def test_a_reply_that_was_lost_leads_to_no_second_booking() -> None:
    async def story(hook: WebhookSink, stub: BillingStub) -> None:
        with pytest.raises(TryLater):
            await hook.deliver(message())
        stub.mood = "ok"
        await hook.deliver(message())
        assert len(stub.requests) == 2
        assert stub.booked == {digest(message().key): message().body.encode()}

    on_a_day("accepted-then-timeout", story)


@pytest.mark.parametrize("mood", ["babble", "drip"])
def test_an_endless_reply_to_a_booked_message_is_a_delivery(mood: str) -> None:
    async def story(hook: WebhookSink, stub: BillingStub) -> None:
        async with asyncio.timeout(5):
            await hook.deliver(message())

    on_a_day(mood, story)


def test_messages_share_a_connection() -> None:
    async def story(hook: WebhookSink, stub: BillingStub) -> None:
        for n in range(5):
            await hook.deliver(message(n))
        assert len(stub.booked) == 5

    on_a_day("ok", story)


def test_nobody_listening_is_tried_later() -> None:
    with pytest.raises(TryLater, match="ConnectError"):
        asyncio.run(sink(1).deliver(message()))


FORMS = [
    "127.0.0.1", "127.1", "0x7f.1", "2130706433", "0177.0.0.1", "0", "0.0.0.0", "localhost",
    "[::1]", "[::]", "[::ffff:127.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]", "[fe80::1]",
    "[64:ff9b::a9fe:a9fe]", "169.254.169.254", "[fd00:ec2::254]", "100.100.100.200", "192.0.0.192",
    "[::ffff:169.254.169.254]", "[2002:7f00:1::]", "224.0.0.1", "255.255.255.255", "[ff02::1]",
    "0xa9fea9fe", "2852039166", "198.18.0.1", "[fec0::1]",
]  # fmt: skip


@pytest.mark.parametrize("host", FORMS)
def test_no_spelling_of_our_own_machine_or_of_metadata_is_connected_to(host: str) -> None:
    async def story(hook: WebhookSink, stub: BillingStub) -> None:
        with pytest.raises((TryLater, ValidationError), match=r"not allowed|not resolve|Invalid"):
            await sink(stub.port, url=f"http://{host}:{stub.port}/", allow=[]).deliver(message())
        assert not stub.requests

    on_a_day("ok", story)


@pytest.mark.parametrize("address", ["10.1.2.3", "172.16.0.1", "192.168.0.1", "8.8.8.8", "fd12::1"])
def test_private_and_public_networks_are_where_billing_lives(address: str) -> None:
    assert judge(ip_address(address)) == ""


def test_only_the_listed_network_is_allowed() -> None:
    allow = [ip_network("127.0.0.2/32")]
    assert judge(ip_address("127.0.0.2"), allow) == ""
    assert judge(ip_address("::ffff:127.0.0.2"), allow) == ""
    assert "not allowed" in judge(ip_address("127.0.0.1"), allow)


class RebindingLoop(PatientLoop):
    """A resolver that answers well when asked first, and with another address from then on."""

    asked = 0

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
        if host != "billing.example":
            return await super().getaddrinfo(host, port, **how)
        self.asked += 1
        address = "127.0.0.1" if self.asked == 1 else "127.0.0.99"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]


def test_the_judged_address_is_the_one_connected_to() -> None:
    async def run() -> None:
        async with billing() as stub:
            url = f"http://billing.example:{stub.port}/"
            hook = sink(stub.port, url=url, allow=["127.0.0.1/32"])
            await hook.deliver(message(1))
            assert stub.requests[0][1]["host"] == f"billing.example:{stub.port}"
            with pytest.raises(TryLater, match=r"127\.0\.0\.99 is in"):
                await hook.deliver(message(2))
            assert len(stub.requests) == 1
            await hook.close()

    with asyncio.Runner(loop_factory=RebindingLoop) as runner:
        runner.run(run())


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("-1", None),
        ("1e9", None),
        ("٣", None),
        ("x" * 100, None),
        ("9" * 60, 1e60),
        ("Mon, 23 Nov 2026 10:00:30 GMT", 30.0),
        ("Mon, 23 Nov 2020 10:00:30 GMT", 0.0),
        ("Mon, 23 Nov 2026 10:00:30", None),
        ("Mon, 99 Nov 2026", None),
    ],
)
def test_retry_after_is_read_or_ignored(header: str | None, seconds: float | None) -> None:
    found = retry_after_s(header, T0)
    assert found == (pytest.approx(seconds) if seconds is not None else None)
    assert T0 + timedelta(seconds=min(found or 0.0, 86400)) >= T0


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"url": "ftp://x/"}, "url"),
        ({"url": "http://user:pass@x/"}, "url"),
        ({"url": "http://x/#y"}, "url"),
        ({"url": "http://x y/"}, "url"),
        ({"secret": "short"}, "at least 16"),
        ({"timeout_s": 0}, "timeout_s"),
        ({"allow": ["127.0.0.1/8"]}, "allow"),
        ({"topics": ["SLA"]}, "is no topic"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes: dict[str, object], says: str) -> None:
    with pytest.raises(ValidationError, match=says) as error:
        sink(1, **changes)
    assert SECRET not in str(error.value)
