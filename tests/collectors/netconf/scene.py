"""A simulated device, a target that fits it, and what tests of NETCONF share."""

from __future__ import annotations

import asyncio
import tomllib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh

from collectors.netconf.poller import NetconfPoller
from collectors.netconf.settings import (
    NetconfCredentials,
    NetconfSettings,
    NetconfTarget,
    ViewsFile,
)
from netopsd.clock import SystemClock
from netopsd.core.model import Event, Events, Input
from netopsd.errors import NotJudged
from netopsd.ports import Worker
from simulators.netconf import NetconfSimulator, StandIn, User

SHIPPED = Path(__file__).parents[3] / "config" / "yang.toml"
FILE = ViewsFile.model_validate(tomllib.loads(SHIPPED.read_text()))
VIEWS = {view.name: view for view in FILE.view}
READER = User(name="netops", password="reading")
EDITOR = User(name="activate", password="writing", may_edit=True)
PORTS = ("ge-0/0/1", "ge-0/0/2", "ge-0/0/3")
QUICK = NetconfSettings(
    connect_s=3, hello_s=0.5, rpc_s=0.5, look_max_s=20, backoff_s=0.01, backoff_most_s=0.02,
    rejected_s=0.02,
)  # fmt: skip
KEY = asyncssh.generate_private_key("ssh-ed25519")


@asynccontextmanager
async def simulated(name: str = "r1", **options: Any) -> AsyncIterator[NetconfSimulator]:
    """A running simulator with two users."""
    simulator = NetconfSimulator(
        StandIn(name, PORTS), (READER, EDITOR), **{"host_key": KEY, **options}
    )
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


def target(simulator: NetconfSimulator, **changes: Any) -> NetconfTarget:
    """The simulator as an operator would configure it."""
    said: dict[str, Any] = {
        "name": simulator.model.name,
        "address": "127.0.0.1",
        "port": simulator.port,
        "credentials": NetconfCredentials(user="netops", password="reading"),
        "host_keys": (simulator.host_key_line,),
        "views": ("ietf-system", "ietf-interfaces"),
    }
    return NetconfTarget(**{**said, **changes})


@asynccontextmanager
async def polling(
    *targets: NetconfTarget,
    settings: NetconfSettings = QUICK,
    tell: Callable[[Event], bool] | None = None,
    worker: Worker | None = None,
) -> AsyncIterator[NetconfPoller]:
    """A poller of `targets`."""
    poller = NetconfPoller(settings, targets, VIEWS, SystemClock(), tell=tell, worker=worker)
    await poller.start()
    try:
        yield poller
    finally:
        await poller.close()


def keeping(told: list[Event]) -> Callable[[Event], bool]:
    """Return what hears events and keeps them."""

    def tell(event: Event) -> bool:
        told.append(event)
        return True

    return tell


class Ledger:
    """An inbox that keeps what was committed. `hold` makes a commit wait; `poison` is a text that
    judgement stumbles over."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.commits = 0
        self.poison = ""
        self.hold = asyncio.Event()
        self.hold.set()

    async def put(self, said: Input) -> None:
        raise NotImplementedError

    def offer(self, said: Input) -> bool:
        raise NotImplementedError

    async def durable(self, said: Input) -> None:
        assert isinstance(said, Events)
        await self.hold.wait()
        if self.poison and any(event.text == self.poison for event in said.items):
            raise NotJudged("a bug")
        self.events += said.items
        self.commits += 1

    def names(self) -> list[str]:
        return [event.name.rpartition(":")[2] for event in self.events]


async def until(true: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait until something is so. AssertionError where it does not become so."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110  what is waited for has no event
            await asyncio.sleep(0.005)
