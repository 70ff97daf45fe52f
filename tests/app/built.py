"""A daemon that is built and not served, of two devices; poller and office are stand-ins."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from bss_bridge.settings import Contract, Customer
from netopsd.app import Daemon
from netopsd.core.outcome import Beliefs
from netopsd.errors import TryLater
from netopsd.settings import load
from netopsd.store.sqlite import SqliteStore

CONFIG = Path(__file__).parents[2] / "config"
DEVICES = """
[login.read]
user = "reader"
password = "x"
[login.act]
user = "activate"
password = "x"
[[device]]
name = "r1"
address = "127.0.0.1"
interval = "10s"
netconf = { login = "read", activate = "act", host_keys = ["SHA256:x"] }
[[device]]
name = "r2"
address = "127.0.0.2"
netconf = { login = "read", host_keys = ["SHA256:x"] }
"""
CUSTOMERS = """
[[customer]]
id = "acme"
name = "Acme"
currency = "NOK"
zone = "Europe/Oslo"
[[customer.account]]
id = "acme-1"
"""


def configured(folder: Path) -> Path:
    """Write a small configuration into a folder."""
    for name in ("tables.toml", "yang.toml"):
        shutil.copy(CONFIG / name, folder)
    shutil.copytree(CONFIG / "services", folder / "services")
    (folder / "netopsd.toml").write_text("")
    (folder / "rules.toml").write_text("")
    (folder / "devices.toml").write_text(DEVICES)
    (folder / "customers.toml").write_text(CUSTOMERS)
    return folder


class Targets:
    """Stands in for the SNMP poller: remembers what it was told to poll."""

    def __init__(self) -> None:
        self.told: list[Mapping[str, Any]] = []

    async def retarget(self, targets: Mapping[str, Any], tables: Mapping[str, Any]) -> None:
        self.told.append(targets)


class Office:
    """Stands in for the office: remembers the customers it was told of; may be locked."""

    def __init__(self) -> None:
        self.told: list[list[str]] = []
        self.locked = False

    async def synchronise(
        self, customers: Sequence[Customer], contracts: Sequence[Contract]
    ) -> None:
        if self.locked:
            raise TryLater("office: database is locked")
        self.told.append([customer.id for customer in customers])


@asynccontextmanager
async def built(folder: Path) -> AsyncIterator[tuple[Daemon, Targets, Office]]:
    """A daemon that is built and not served: nothing is judged before its pipeline runs."""
    settings = load(folder)
    settings.state.mkdir()
    async with AsyncExitStack() as closing:
        store = SqliteStore(settings.store_url)
        await store.open()
        closing.push_async_callback(store.close)
        daemon = Daemon(settings, store)
        await daemon.office.open()
        closing.push_async_callback(daemon.office.close)
        await daemon.build(closing, Beliefs())
        targets, office = Targets(), Office()
        daemon.poller, daemon.office = targets, office  # type: ignore[assignment]
        yield daemon, targets, office
