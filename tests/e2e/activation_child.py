"""The real daemon, which kills itself at the n-th step of an order: no warning, no clean-up.

`--planted` makes it a worse program: devices are told to keep the change before that decision is
durable, and the way back trusts their rollback timers. The verdict must find it out.
"""

from __future__ import annotations

import argparse
import os
import signal
from pathlib import Path

import uvloop

from collectors.netconf.activate import NetconfActivation, NetconfActivator
from netopsd import logs
from netopsd.app import Daemon
from netopsd.core.ordered import OrderItem
from netopsd.core.outcome import Outcome
from netopsd.orders import OrderDesk
from netopsd.settings import Settings, load
from netopsd.store.sqlite import SqliteStore


class Fuse:
    """Kills this process once it was touched so many times while armed; 0 never does."""

    def __init__(self, after: int, armed: Path) -> None:
        self.left = after
        self._armed = armed

    def touch(self) -> None:
        if not self._armed.exists():
            return
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)


class Planted(NetconfActivation):
    async def prepare(self) -> None:
        await super().prepare()
        await super().confirm()

    async def undo(self) -> tuple[str, ...]:
        return ()


class PlantedActivator(NetconfActivator):
    def open(self, item: OrderItem) -> NetconfActivation:
        return Planted(self._changes(item), item.saved, self._settings)


class Desk(OrderDesk):
    fuse: Fuse
    planted = False

    def told(self, device: str, step: str) -> None:
        self.fuse.touch()

    def _new_activator(self) -> NetconfActivator:
        if not self.planted:
            return super()._new_activator()
        said = self._settings
        targets = said.netconf_devices.activators
        return PlantedActivator(said.activation, targets, said.templates, self._clock, self.told)


class Mortal(Daemon):
    fuse: Fuse
    planted = False

    def order_desk(self) -> OrderDesk:
        Desk.fuse, Desk.planted = self.fuse, self.planted
        return Desk(self.settings, self.world, self.pipeline.mailbox, self.clock)

    def committed(self, outcome: Outcome, seconds: float) -> None:
        if outcome.order_items:
            self.fuse.touch()  # durable and believed, and nobody else knows yet
        super().committed(outcome, seconds)


def main() -> None:
    said = argparse.ArgumentParser()
    said.add_argument("--config", type=Path, required=True)
    said.add_argument("--kill-at", type=int, default=0)
    said.add_argument("--planted", action="store_true")
    given = said.parse_args()
    with logs.writing("warning", "text"):
        uvloop.run(live(load(given.config), Fuse(given.kill_at, given.config / "armed"), given))


async def live(settings: Settings, fuse: Fuse, given: argparse.Namespace) -> None:
    settings.state.mkdir(parents=True, exist_ok=True)
    store = SqliteStore(settings.store_url)
    await store.open()
    try:
        daemon = Mortal(settings, store)
        daemon.fuse, daemon.planted = fuse, given.planted
        await daemon.run(await store.load())
    finally:
        await store.close()


if __name__ == "__main__":
    main()
