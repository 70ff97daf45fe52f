"""Devices configured by host name are heard, and a resolver can be slow or wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path

import pytest

from collectors.snmp_trap.names import Names
from netopsd.clock import ManualClock
from tests.collectors.mqtt.looks import T0
from tests.collectors.snmp_trap.ears import Heard, listening
from tests.collectors.snmp_trap.test_listener import Sender, trap


class Resolver:
    """Knows what it is told; may be gone, or slow."""

    def __init__(self, **known: list[str]) -> None:
        self.known = known
        self.gone = False
        self.names: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, host: str) -> Iterable[str]:
        self.names.append(host)
        await self.gate.wait()
        if self.gone or host not in self.known:
            raise OSError("Name or service not known")
        return self.known[host]


def followed(
    resolver: Resolver,
    devices: dict[str, str],
    story: Callable[[Names], Awaitable[None]],
) -> None:
    async def run() -> None:
        names = Names(ManualClock(T0), resolver)
        names.know(devices)
        task = asyncio.create_task(names.follow(lambda: None))
        await turns()
        await story(names)
        assert not task.done()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(run())


async def turns() -> None:
    for _ in range(50):
        await asyncio.sleep(0)


def test_a_device_configured_by_host_name_is_heard(tmp_path: Path) -> None:
    async def story(heard: Heard) -> None:
        await heard.until(lambda: "127.0.0.1" in heard.listener._devices)
        with Sender(heard) as sender:
            sender.send(trap())
            await heard.settled(1)
        assert [event.device for event in heard.ear.events] == ["osl-gw1"]

    async def run() -> None:
        resolver = Resolver(gw=["127.0.0.1"])
        async with listening(tmp_path, {"gw": "osl-gw1"}, resolve=resolver) as heard:
            await story(heard)

    asyncio.run(run())


def test_a_resolver_that_is_slow_keeps_nobody_else_from_being_heard(tmp_path: Path) -> None:
    async def run() -> None:
        resolver = Resolver()
        resolver.gate.clear()
        devices = {"gw": "osl-gw2", "127.0.0.1": "osl-gw1"}
        async with listening(tmp_path, devices, resolve=resolver) as heard:
            with Sender(heard) as sender:
                sender.send(trap())
                await heard.settled(1)
            assert [event.device for event in heard.ear.events] == ["osl-gw1"]

    asyncio.run(run())


def test_an_address_once_found_outlives_the_resolver(caplog: pytest.LogCaptureFixture) -> None:
    resolver = Resolver(gw=["192.0.2.1"])

    async def story(names: Names) -> None:
        resolver.gone = True
        await turns()
        assert names.addresses() == {"192.0.2.1": "osl-gw1"}
        resolver.gone, resolver.known["gw"] = False, ["192.0.2.9", "2001:db8::9"]
        await turns()
        assert names.addresses() == {"192.0.2.9": "osl-gw1", "2001:db8::9": "osl-gw1"}

    with caplog.at_level(logging.INFO):
        followed(resolver, {"gw": "osl-gw1"}, story)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"], "once each"


def test_an_address_once_found_outlives_a_reload() -> None:
    resolver = Resolver(gw=["192.0.2.1"])

    async def story(names: Names) -> None:
        resolver.gate.clear()  # and it takes its time now
        names.know({"gw": "osl-gw1", "192.0.2.7": "osl-gw7"})
        await turns()
        assert names.addresses() == {"192.0.2.1": "osl-gw1", "192.0.2.7": "osl-gw7"}

    followed(resolver, {"gw": "osl-gw1"}, story)


def test_one_name_that_is_not_resolved_makes_nobody_ask_for_the_others_again() -> None:
    resolver = Resolver(**{f"gw{n}": [f"192.0.2.{n}"] for n in range(1, 100)})

    async def story(names: Names) -> None:
        await turns()
        assert len(names.addresses()) == 99
        rounds = resolver.names.count("typo")
        assert rounds > 10
        assert resolver.names.count("gw1") <= 1 + rounds // 10, "every five minutes, not every 30 s"
        resolver.known["typo"] = ["192.0.2.200"]
        await turns()
        assert names.addresses()["192.0.2.200"] == "osl-gw0"

    followed(resolver, {"typo": "osl-gw0"} | {f"gw{n}": f"osl-gw{n}" for n in range(1, 100)}, story)


def test_a_resolver_gives_nobody_the_address_of_a_device_configured_by_it() -> None:
    async def story(names: Names) -> None:
        assert names.addresses() == {"192.0.2.1": "osl-gw1"}

    devices = {"evil": "osl-gw2", "192.0.2.1": "osl-gw1"}
    followed(Resolver(evil=["192.0.2.1"]), devices, story)


def test_names_that_come_with_a_reload_are_resolved_and_gone_ones_forgotten() -> None:
    async def story(names: Names) -> None:
        names.know({"b": "osl-gw2"})
        assert names.addresses() == {}
        await turns()
        assert names.addresses() == {"192.0.2.2": "osl-gw2"}
        names.know({})
        await turns()
        assert names.addresses() == {}

    followed(Resolver(a=["192.0.2.1"], b=["192.0.2.2"]), {"a": "osl-gw1"}, story)
