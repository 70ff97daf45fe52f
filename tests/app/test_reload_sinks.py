"""What a running daemon takes up at once from a new configuration, and what it leaves as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from netopsd.app import Daemon
from netopsd.core.beliefs import UsageRecord
from netopsd.core.model import Resource
from netopsd.core.outcome import UsageNotice
from tests.app.built import built, configured

AT = datetime(2026, 11, 23, 10, tzinfo=UTC)


def name(folder: Path, *sinks: str) -> None:
    told = "".join(
        f'[[sink]]\nkind = "file"\nname = "{name}"\npath = "{folder}/{name}"\n' for name in sinks
    )
    (folder / "netopsd.toml").write_text("[traps]\nenabled = false\n" + told)


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
    name(configured(tmp_path), "office", "archive")

    async def story() -> None:
        async with built(tmp_path) as (daemon, _, _):
            judging = asyncio.create_task(daemon.pipeline.run())
            assert addressed(daemon) == ["office", "archive"]
            name(tmp_path, "billing")
            await daemon.reload()
            assert daemon.settings.sinks[0].name == "billing"
            assert addressed(daemon) == ["office", "archive"]
            daemon.pipeline.stop()
            await judging

    asyncio.run(story())
