"""Looks at a device nobody configured yet: who it is, and which tables it offers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from collectors.snmp_poll.poller import SnmpPoller
from collectors.snmp_poll.settings import Credentials, SnmpPollSettings, TableSpec, Target
from netopsd.core.model import Batch
from netopsd.ports import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovered:
    """What a device says of itself. `tables` maps each table it offers to its number of rows;
    `ports` are the rows of "if", `labels` their labels."""

    address: str
    port: int
    sys_name: str
    sys_descr: str
    sys_object_id: str
    sys_location: str
    tables: Mapping[str, int]
    ports: tuple[str, ...]
    labels: Mapping[str, tuple[str, ...]]
    batch: Batch


async def look_once(
    target: Target,
    tables: Mapping[str, TableSpec],
    clock: Clock,
    settings: SnmpPollSettings | None = None,
) -> Batch:
    """Return one look at `target`, by a poller made for it. Raises CannotLook."""
    poller = SnmpPoller(settings or SnmpPollSettings(), tables, {target.name: target}, clock)
    try:
        await poller.start()
        await poller.poll(target.name)
        # What was absent is known now, and what stands in for it is read the second time.
        return await poller.poll(target.name)
    finally:
        await poller.close()


async def discover(
    address: str,
    port: int,
    credentials: Credentials,
    tables: Mapping[str, TableSpec],
    clock: Clock,
) -> Discovered:
    """Return what the device at `address` offers of `tables`. Raises CannotLook."""
    every = {name: spec.model_copy(update={"every": 0.0}) for name, spec in tables.items()}
    target = Target(
        name=address, address=address, port=port, credentials=credentials, tables=tuple(every)
    )
    batch = await look_once(target, every, clock)
    offered = {t.layout.table: len(t.layout.rows) for t in batch.tables}
    system = {name: 1 for name, spec in tables.items() if spec.scalar and _tells(spec, batch)}
    interfaces = next((t.layout for t in batch.tables if t.layout.table == "if"), None)
    return Discovered(
        address=address,
        port=port,
        sys_name=batch.facts.get("sysName", ""),
        sys_descr=batch.facts.get("sysDescr", ""),
        sys_object_id=batch.facts.get("sysObjectID", ""),
        sys_location=batch.facts.get("sysLocation", ""),
        tables=system | offered,
        ports=interfaces.rows if interfaces else (),
        labels=interfaces.labels if interfaces else {},
        batch=batch,
    )


def _tells(spec: TableSpec, batch: Batch) -> bool:
    told = any(column.name in batch.facts for column in spec.texts)
    return told or (bool(spec.clocks) and batch.clocks.sys_uptime_ticks is not None)
