"""What the store can do: durable raises and clears a second, traps kept a second, time to load.

`python -m tests.bench.store_rows [--quick]` prints `run`. Figures are of this machine and its disk;
what is compared (plain statements against SQLAlchemy's) is a ratio of CPU time.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from netopsd.core.beliefs import (
    Alarm,
    AlarmType,
    Change,
    DeviceState,
    Phase,
    Reach,
    Severity,
)
from netopsd.core.model import Event, Resource
from netopsd.core.outcome import Outcome
from netopsd.ports import Message
from netopsd.store.shapes import ALARMS
from netopsd.store.sqlite import SqliteStore
from netopsd.store.tables import Row

T0 = datetime(2026, 11, 23, 10, tzinfo=UTC)


def run(quick: bool = False) -> dict[str, Any]:
    """Return every figure, each with its unit in its name."""
    with tempfile.TemporaryDirectory(prefix="netopsd-store-", dir=_disk()) as where:
        folder = Path(where)
        return {
            "sqlite": sqlite3.sqlite_version,
            **asyncio.run(_durable(folder / "changes.db", 10_000 if quick else 100_000)),
            **asyncio.run(_single(folder / "single.db", 200 if quick else 2_000)),
            **asyncio.run(_traps(folder / "traps.db", 2 if quick else 20)),
            **asyncio.run(_messages(folder / "outbox.db", 20_000 if quick else 200_000)),
            **asyncio.run(_start(folder / "start.db", 10_000, 20_000 if quick else 100_000)),
            **_against_sqlalchemy(folder / "peer.db", 5_000 if quick else 20_000),
        }


def _disk() -> str:
    """Return a folder on a disk: a tmpfs would make every commit look durable for nothing."""
    return "/var/tmp" if os.path.isdir("/var/tmp") else "."


def _size(path: Path) -> int:
    return path.stat().st_size


def alarm(number: int, at: datetime, phase: Phase, occurrence: int, devices: int = 10_000) -> Alarm:
    resource = Resource(f"gw-{number % devices:05}", "if", f"ge-0/0/{number // devices}")
    return Alarm(
        key=f"{resource}!link-down",
        resource=resource,
        alarm="link-down",
        type=AlarmType.COMMUNICATIONS,
        severity=Severity.MAJOR,
        probable_cause="lossOfSignal",
        text=f"{resource.device} port {resource.row} is down: customer Acme, Oslo ring 3",
        why="ifOperStatus down for 60 s, seen twice",
        phase=phase,
        occurrence=occurrence,
        since=at,
        raised_at=at,
        cleared_at=at if phase is Phase.CLEARED else None,
        changed_at=at,
    )


def outcome(
    number: int, at: datetime, phase: Phase, occurrence: int = 1, devices: int = 10_000
) -> Outcome:
    """What one raise or clear changes: the alarm and a line of its history."""
    one = alarm(number, at, phase, occurrence, devices)
    change = Change(
        alarm=one.key,
        occurrence=occurrence,
        at=at,
        what="raised" if phase is Phase.ACTIVE else "cleared",
        by="netopsd",
        why=one.why,
        severity=one.severity,
    )
    return Outcome(alarms={one.key: one}, changes=[change])


def message(number: int) -> Message:
    return Message(
        key=f"usage/{number}",
        sink="office",
        topic="usage.record",
        stream=f"A-{number % 1000}",
        body=json.dumps({"key": f"usage/{number}", "octets": number * 1_000_003, "x": "y" * 250}),
        at=T0,
    )


async def _durable(path: Path, many: int, group: int = 500) -> dict[str, Any]:
    """Raise `many` alarms and clear them, one outcome each, `group` outcomes a commit."""
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=0)
    await store.open()
    stories = [outcome(n, T0, Phase.ACTIVE) for n in range(many)]
    stories += [outcome(n, T0 + timedelta(minutes=5), Phase.CLEARED) for n in range(many)]
    began, cpu = time.perf_counter(), time.process_time()
    for first in range(0, len(stories), group):
        await store.commit(stories[first : first + group], [])
    took, used = time.perf_counter() - began, time.process_time() - cpu
    await store.close()
    return {
        "durable_raises_and_clears_per_s": round(len(stories) / took),
        "durable_raises_and_clears_per_cpu_s": round(len(stories) / used),
        "durable_group": group,
    }


async def _single(path: Path, many: int) -> dict[str, Any]:
    """Commit one raise at a time: the latency a lone alarm sees."""
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=0)
    await store.open()
    took = []
    for number in range(many):
        one = [outcome(number, T0, Phase.ACTIVE)]
        began = time.perf_counter()
        await store.commit(one, [message(number)])
        took.append(time.perf_counter() - began)
    await store.close()
    took.sort()
    return {
        "lone_commit_median_ms": round(took[len(took) // 2] * 1e3, 3),
        "lone_commit_p99_ms": round(took[len(took) * 99 // 100] * 1e3, 3),
    }


async def _traps(path: Path, seconds: int) -> dict[str, Any]:
    """Keep `seconds` times 10,000 traps of five varbinds as history, 500 a commit."""
    values = {
        "1.3.6.1.2.1.1.3.0": "123456",
        "1.3.6.1.6.3.1.1.4.1.0": "1.3.6.1.6.3.1.1.5.3",
        "1.3.6.1.2.1.2.2.1.1.7": "7",
        "1.3.6.1.2.1.2.2.1.7.7": "1",
        "1.3.6.1.2.1.2.2.1.8.7": "2",
    }
    groups = [
        Outcome(
            events=[
                Event(
                    at=T0 + timedelta(microseconds=100 * (first + n)),
                    device=f"gw-{n % 100}",
                    source=f"10.0.0.{n % 100}",
                    name="1.3.6.1.6.3.1.1.5.3",
                    values=values,
                )
                for n in range(500)
            ]
        )
        for first in range(0, seconds * 10_000, 500)
    ]
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=0)
    await store.open()
    began, cpu = time.perf_counter(), time.process_time()
    for group in groups:
        await store.commit([group], [])
    took, used = time.perf_counter() - began, time.process_time() - cpu
    await store.close()
    return {
        "traps_kept_per_s": round(seconds * 10_000 / took),
        "traps_kept_cpu_us_each": round(used / (seconds * 10_000) * 1e6, 2),
        "traps_kept_bytes_each": round(_size(path) / (seconds * 10_000), 1),
    }


async def _messages(path: Path, many: int) -> dict[str, Any]:
    """Queue `many` messages in 1,000 streams, look for due ones, and deliver some."""
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=0, sent_kept=1000)
    await store.open()
    began = time.perf_counter()
    for first in range(0, many, 1000):
        await store.commit([], [message(n) for n in range(first, first + 1000)])
    queued = time.perf_counter() - began
    began = time.perf_counter()
    for _ in range(20):
        due = await store.due("office", T0, 100)
    looked = (time.perf_counter() - began) / 20
    began = time.perf_counter()
    for _ in range(20):
        due = await store.due("office", T0, 100)
        await store.delivered([pending.id for pending in due])
    settled = time.perf_counter() - began
    await store.close()
    return {
        "messages_queued_per_s": round(many / queued),
        f"due_of_{many}_ms": round(looked * 1e3, 2),
        "messages_settled_per_s": round(2000 / settled),
    }


async def _start(path: Path, devices: int, alarms: int) -> dict[str, Any]:
    """Open and load a database of `devices` and `alarms`."""
    store = SqliteStore(f"sqlite:///{path}", ballast_bytes=0)
    await store.open()
    states = [
        DeviceState(name=f"gw-{n:05}", reach=Reach.ANSWERING, since=T0) for n in range(devices)
    ]
    await store.commit([Outcome(devices={state.name: state for state in states})], [])
    for first in range(0, alarms, 5000):
        group = [outcome(n, T0, Phase.ACTIVE) for n in range(first, first + 5000)]
        await store.commit(group, [])
    await store.close()
    began = time.perf_counter()
    await store.open()
    opened = time.perf_counter() - began
    beliefs = await store.load()
    took = time.perf_counter() - began
    assert (len(beliefs.devices), len(beliefs.alarms)) == (devices, alarms)
    await store.close()
    return {
        f"open_with_{alarms}_alarms_s": round(opened, 3),
        f"open_and_load_{devices}_devices_{alarms}_alarms_s": round(took, 3),
        "database_mb": round(_size(path) / 1e6, 1),
    }


def _against_sqlalchemy(path: Path, many: int) -> dict[str, Any]:
    """Upsert the same alarms with our plain statements and through SQLAlchemy Core."""
    alarms = [alarm(n, T0, Phase.ACTIVE, 1) for n in range(many)]
    engine = sa.create_engine(f"sqlite:///{path}")
    table = Row.metadata.tables[ALARMS.table]
    table.create(engine)
    statement = insert(table)
    keep = {c.name: statement.excluded[c.name] for c in ALARMS.columns if c.name != "key"}
    upsert = statement.on_conflict_do_update(index_elements=["key"], set_=keep)
    names = [column.name for column in ALARMS.columns]
    cpu = time.process_time()
    with engine.begin() as connection:
        rows = ALARMS.rows(alarms)
        connection.execute(upsert, [dict(zip(names, row, strict=True)) for row in rows])
    theirs = time.process_time() - cpu
    engine.dispose()
    with sqlite3.connect(path, isolation_level=None) as raw:
        raw.execute("DELETE FROM alarms")
        cpu = time.process_time()
        raw.execute("BEGIN")
        raw.executemany(ALARMS.upsert, ALARMS.rows(alarms))
        raw.execute("COMMIT")
        ours = time.process_time() - cpu
    raw.close()
    return {"sqlalchemy_core_over_plain_upsert": round(theirs / ours, 2)}


if __name__ == "__main__":
    print(json.dumps(run("--quick" in sys.argv), indent=2))
