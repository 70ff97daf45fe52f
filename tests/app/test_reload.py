"""A reload changes everything or nothing: what is committed is gone by, and not before."""

from __future__ import annotations

import asyncio
import errno
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from collectors.netconf.poller import NetconfPoller
from netopsd.app import Daemon
from netopsd.clock import ManualClock, SystemClock
from netopsd.core.model import OrderProgress, Tick
from netopsd.core.ordered import OrderState, Progress
from netopsd.netconf import NetconfSide
from netopsd.pipeline import Mailbox
from netopsd.settings import load
from netopsd.story import Recorder
from tests.app.built import CUSTOMERS, DEVICES, built, configured

ORDER = {
    "id": "SO-1",
    "item": [
        {
            "service": "vpn",
            "template": "l2vpn",
            "account": "acme-1",
            "endpoint": [{"device": "r1", "port": "ge-0/0/1", "vlan": 7}],
        }
    ],
}


BROKER = '[mqtt]\nhost = "127.0.0.1"\n'
REMOTE = BROKER + '[collect]\nremote = ["oslo"]\n'
TOPIC = """[[mqtt.topic]]
filter = "plant/+"
device = "{2}"
event = "gw:alarm"
"""
AT_OSLO = """
[credentials.v2]
version = "2c"
community = "public"
[[device]]
name = "r1"
address = "127.0.0.1"
site = "oslo"
credentials = "v2"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return configured(tmp_path)


def change(folder: Path) -> None:
    """Take r1 away and a customer in."""
    (folder / "devices.toml").write_text(DEVICES.replace('"r1"', '"r3"'))
    (folder / "customers.toml").write_text(CUSTOMERS + CUSTOMERS.replace("acme", "umbra"))


async def queued(daemon: Daemon, many: int) -> None:
    async with asyncio.timeout(10):
        while len(daemon.pipeline.mailbox) < many:  # noqa: ASYNC110  there is no event of it
            await asyncio.sleep(0.001)


async def judged(daemon: Daemon, *waiting: asyncio.Task[Any]) -> None:
    """Let the pipeline run until those who wait for it have what they wait for."""
    running = asyncio.create_task(daemon.pipeline.run())
    await asyncio.wait(waiting)
    daemon.pipeline.stop()
    await running


def test_deliveries_wait_for_an_office_that_is_locked_and_the_watch_does_not(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with built(folder) as (daemon, _, office):
            daemon.clock = ManualClock(daemon.clock.now())  # type: ignore[assignment]
            office.locked = True
            delivering = asyncio.create_task(daemon.deliver())
            for _ in range(10):
                await asyncio.sleep(0)
            assert not delivering.done()
            assert "nothing is delivered yet: office: database is locked" in caplog.text
            office.locked = False
            for _ in range(10):
                await asyncio.sleep(0)
            assert office.told == [["acme"]]
            delivering.cancel()

    asyncio.run(story())


def test_a_story_that_can_no_longer_be_recorded_does_not_end_the_watch(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with built(folder) as (daemon, _, _):
            daemon.recorder = Recorder(Full())
            for _ in range(2):
                await daemon.pipeline.mailbox.put(Tick(daemon.clock.now()))
            await daemon.pipeline.finish()
            assert daemon.world.moments.get("tick") is not None
            assert caplog.text.count("nothing more is recorded") == 1

    asyncio.run(story())


def test_a_disk_that_is_full_does_not_keep_the_daemon_from_being_ready(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (folder / "netopsd.toml").write_text("traps.enabled = false")

    async def story() -> None:
        async with built(folder) as (daemon, _, _):
            (daemon.settings.state / "running.json").mkdir()  # it cannot be written, either
            daemon.web.listening.set()
            await daemon.announce()

    asyncio.run(story())
    assert "our own commands will not find us" in caplog.text


@pytest.mark.parametrize(
    ("before", "after", "polls", "waits"),
    [
        ("", REMOTE, ["snmp"], ["collect", "mqtt"]),
        (REMOTE, BROKER, [], ["collect"]),
        (REMOTE, REMOTE.replace("127.0.0.1", "127.0.0.9"), [], ["mqtt"]),
        (BROKER, BROKER + TOPIC, ["snmp"], ["mqtt"]),
        (BROKER + TOPIC, BROKER + TOPIC.replace("plant", "site"), ["snmp"], []),
    ],
    ids=["site added", "site taken away", "another broker", "first topic", "another topic"],
)
def test_who_polls_a_site_changes_at_the_start_that_takes_its_looks(
    folder: Path,
    caplog: pytest.LogCaptureFixture,
    before: str,
    after: str,
    polls: list[str],
    waits: list[str],
) -> None:
    (folder / "devices.toml").write_text(AT_OSLO)
    (folder / "netopsd.toml").write_text(before)

    async def story() -> None:
        async with built(folder) as (daemon, _, _):
            (folder / "netopsd.toml").write_text(after)
            await daemon._follow(load(folder))
            assert [name for name, _ in daemon._pollers("r1")] == polls

    asyncio.run(story())
    said = [record.getMessage() for record in caplog.records]
    assert [text.split()[0] for text in said if "at the next start" in text] == waits


class Full(StringIO):
    """A file on a disk that is full."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


class SlowToClose(NetconfPoller):
    """A poller whose sessions take their time to close."""

    closing: asyncio.Event
    closed: asyncio.Event

    async def close(self) -> None:
        self.closing.set()
        await self.closed.wait()


def test_a_reload_taken_back_while_sessions_still_close_is_taken_back(folder: Path) -> None:
    async def story() -> None:
        before = load(folder)
        (folder / "devices.toml").write_text("")
        none = load(folder)
        side = NetconfSide(before, SystemClock(), Mailbox(), lambda _: None)
        slow = SlowToClose(before.netconf, (), {}, SystemClock())
        slow.closing, slow.closed = asyncio.Event(), asyncio.Event()
        side.poller = slow
        running = asyncio.create_task(side.run())
        await asyncio.sleep(0)
        side.follow(none)
        await asyncio.wait_for(slow.closing.wait(), 5)
        side.follow(before)
        slow.closed.set()
        async with asyncio.timeout(5):
            while side.poller is slow:  # noqa: ASYNC110  there is no event of it
                await asyncio.sleep(0.001)
        assert side.stats()["sessions"] == 0  # there is somebody to hold sessions with
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    asyncio.run(story())


def test_a_reload_is_gone_by_once_it_is_committed(folder: Path) -> None:
    async def story() -> None:
        async with built(folder) as (daemon, targets, office):
            change(folder)
            reloading = asyncio.create_task(daemon.reload())
            await queued(daemon, 1)
            assert (targets.told, list(daemon.settings.inventory.devices)) == ([], ["r1", "r2"])
            await judged(daemon, reloading)
            assert list(daemon.world.inventory.devices) == ["r3", "r2"]
            assert list(daemon.settings.inventory.devices) == ["r3", "r2"]
            assert (len(targets.told), office.told) == (1, [["acme", "umbra"]])
            assert daemon.figures.reload.successful

    asyncio.run(story())


def test_a_reload_that_an_order_overtook_is_refused_and_everything_stays(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with built(folder) as (daemon, targets, office):
            placing = asyncio.create_task(daemon.desk.place(ORDER, "crm"))
            await queued(daemon, 1)
            for what in (Progress.BEGUN, Progress.DECIDED, Progress.CONFIRMED):
                at = daemon.clock.now()
                said = OrderProgress(at=at, order="SO-1", item="1", what=what, attempt=1)
                assert daemon.pipeline.mailbox.offer(said)
            change(folder)
            reloading = asyncio.create_task(daemon.reload())  # it is checked before they are judged
            await queued(daemon, 5)
            await judged(daemon, placing, reloading)
            reloading.result()
            assert daemon.world.orders["SO-1"].state is OrderState.COMPLETED
            assert list(daemon.world.inventory.devices) == ["r1", "r2"]
            assert list(daemon.settings.inventory.devices) == ["r1", "r2"]
            assert (targets.told, office.told) == ([], [["acme", "umbra"], ["acme"]])
            assert not daemon.figures.reload.successful
        assert (
            "the old one stays: device 'r1' carries service 'vpn', ordered by SO-1" in caplog.text
        )

    asyncio.run(story())


def test_a_reload_while_the_office_is_locked_is_refused_and_everything_stays(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def story() -> None:
        async with built(folder) as (daemon, targets, office):
            office.locked = True
            change(folder)
            await daemon.reload()
            assert not len(daemon.pipeline.mailbox)
            assert (targets.told, list(daemon.settings.inventory.devices)) == ([], ["r1", "r2"])
            assert not daemon.figures.reload.successful
            assert "the old one stays: office: database is locked" in caplog.text
            office.locked = False
            await judged(daemon, asyncio.create_task(daemon.reload()))
            assert daemon.figures.reload.successful

    asyncio.run(story())
