"""What a running daemon takes up at once from a new configuration, and what it leaves as it is."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from netopsd.app import Daemon
from netopsd.core.beliefs import UsageRecord
from netopsd.core.model import Resource
from netopsd.core.outcome import Beliefs, UsageNotice
from netopsd.settings import Settings, load
from netopsd.store.sqlite import SqliteStore

ROOT = Path(__file__).parents[2]
AT = datetime(2026, 11, 23, 10, tzinfo=UTC)


def settings(folder: Path, *sinks: str) -> Settings:
    for name in ("tables.toml", "yang.toml"):
        shutil.copy(ROOT / "config" / name, folder)
    for name in ("rules.toml", "devices.toml", "customers.toml"):
        (folder / name).write_text("")
    head = "[traps]\nenabled = false\n"
    told = "".join(
        f'[[sink]]\nkind = "file"\nname = "{name}"\npath = "{folder}/{name}"\n' for name in sinks
    )
    (folder / "netopsd.toml").write_text(head + told)
    return load(folder)


def addressed(daemon: Daemon) -> Sequence[str]:
    """The sinks that a record of usage is meant for."""
    record = UsageRecord(
        key="k",
        service="s",
        customer="c",
        account="a",
        resource=Resource("d"),
        starts=AT,
        ends=AT,
        in_octets=1,
        out_octets=1,
        covered_s=1.0,
        completeness=Decimal(1),
    )
    messages = daemon.pipeline.translate([UsageNotice(record=record, at=AT)])
    return [message.sink for message in messages]


def test_the_sinks_that_run_hear_everything_until_the_next_start(tmp_path: Path) -> None:
    """A sink renamed or gone in the files still runs, and nobody runs one that is new there."""
    first = settings(tmp_path, "office", "archive")
    first.state.mkdir()

    async def story() -> None:
        async with AsyncExitStack() as closing:
            store = SqliteStore(first.store_url, ballast_bytes=0)
            await store.open()
            closing.push_async_callback(store.close)
            daemon = Daemon(first, store)
            await daemon.office.open()
            closing.push_async_callback(daemon.office.close)
            await daemon.build(closing, Beliefs())
            judging = asyncio.create_task(daemon.pipeline.run())
            assert addressed(daemon) == ["office", "archive"]
            settings(tmp_path, "billing")
            await daemon.reload()
            assert daemon.settings.sinks[0].name == "billing"
            assert addressed(daemon) == ["office", "archive"]
            daemon.pipeline.stop()
            await judging

    asyncio.run(story())
