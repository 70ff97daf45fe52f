"""Each case folder is one thing a device once said. A bug report is a new folder.

`device.snmprec` is what the device has (OID|tag|value; tag with an x: value in hexadecimal),
`expected.json` what a look must tell of one table. None is a value that is missing.
"""

from __future__ import annotations

import asyncio
import bz2
import json
import math
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from collectors.snmp_poll import SnmpPoller, SnmpPollSettings, TablesFile, TableSpec, Target
from netopsd.clock import SystemClock
from netopsd.core.model import Batch, Table
from tests.collectors.snmp_poll.agent import Agent, arcs
from tests.collectors.snmp_poll.test_lies import TABLES, credentials

CASES = sorted(path for path in (Path(__file__).parent / "cases").iterdir() if path.is_dir())
RECORDED = Path(__file__).parents[4] / "shared" / "data" / "walks"
WALKS = sorted(RECORDED.glob("*.snmprec.bz2")) if RECORDED.is_dir() else []


def recorded(text: str) -> dict[str, Any]:
    mib: dict[str, Any] = {}
    for line in text.splitlines():
        oid, tag, value = line.split("|", 2)
        tag, _, variation = tag.partition(":")
        if variation:  # a simulated movement; where it began is enough
            value = dict(p.split("=") for p in value.split(",")).get("initial", "0")
        number = int(tag.rstrip("x"))
        if number in (4, 68):
            said: Any = bytes.fromhex(value) if tag.endswith("x") else value.encode()
        elif number == 64 and tag.endswith("x"):
            said = ".".join(str(octet) for octet in bytes.fromhex(value))
        else:
            said = value if number in (6, 64) else None if number == 5 else int(value)
        mib[oid] = (number, said)
    return mib


def look(
    mib: dict[str, Any],
    version: str = "2c",
    tables: tuple[str, ...] = tuple(TABLES),
    specs: Mapping[str, TableSpec] = TABLES,
) -> Batch:
    async def run() -> Batch:
        async with Agent(mib) as agent:
            target = Target(
                name="gw1",
                address="127.0.0.1",
                port=agent.port,
                credentials=credentials(version),
                tables=tables,
            )
            every = {n: spec.model_copy(update={"every": 0.0}) for n, spec in specs.items()}
            poller = SnmpPoller(
                SnmpPollSettings(timeout_s=5), every, {"gw1": target}, SystemClock()
            )
            await poller.start()
            try:
                await poller.poll("gw1")
                # The second look knows what is absent, and what stands in for it.
                return await poller.poll("gw1")
            finally:
                await poller.close()

    return asyncio.run(run())


def told(table: Table) -> dict[str, list[Any]]:
    """Return the numbers of a table by column, None where missing."""
    columns: dict[str, list[Any]] = {}
    for at, name in enumerate(table.layout.counters):
        lost = table.missing[at] if table.missing is not None else [False] * len(table.layout.rows)
        columns[name] = [
            None if m else int(v) for v, m in zip(table.counters[at], lost, strict=True)
        ]
    for at, name in enumerate(table.layout.gauges):
        columns[name] = [None if math.isnan(v) else v for v in table.gauges[at]]
    return columns


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_case(case: Path) -> None:
    expected = json.loads((case / "expected.json").read_text())
    mib = recorded((case / "device.snmprec").read_text())

    batch = look(mib, tables=("system", expected["table"]))

    table = next(t for t in batch.tables if t.layout.table == expected["table"])
    got = told(table)
    assert list(table.layout.rows) == expected["rows"]
    for name, values in {**expected.get("counters", {}), **expected.get("gauges", {})}.items():
        assert got[name] == values, name
    for name, texts in expected.get("labels", {}).items():
        assert list(table.layout.labels[name]) == texts
    for name, value in expected.get("clocks", {}).items():
        assert getattr(batch.clocks, name) == value
    for name, text in expected.get("facts", {}).items():
        assert batch.facts[name] == text
    assert dict(batch.errors) == expected["errors"]


def test_an_operator_adds_a_table_and_a_scalar_without_code() -> None:
    mine = TablesFile.model_validate(
        tomllib.loads("""
            [[table]]
            name = "ciscoCpu"
            scalar = true
            column = [{ name = "avgBusy5", oid = "1.3.6.1.4.1.9.2.1.58", kind = "gauge" }]

            [[table]]
            name = "fan"
            index = "fanIndex"
            row = ["fanName"]
            column = [
              { name = "fanName", oid = "1.3.6.1.4.1.99999.1.2", kind = "text", label = true },
              { name = "fanSpeed", oid = "1.3.6.1.4.1.99999.1.3", kind = "gauge" },
            ]
            """)
    ).by_name()
    mib = recorded(
        "1.3.6.1.4.1.9.2.1.58.0|2|37\n"
        "1.3.6.1.4.1.99999.1.2.1|4|left\n1.3.6.1.4.1.99999.1.2.2|4|right\n"
        "1.3.6.1.4.1.99999.1.3.1|66|4200\n1.3.6.1.4.1.99999.1.3.2|66|4300\n"
    )

    batch = look(mib, tables=tuple(mine), specs=mine)

    assert {t.layout.table: (t.layout.rows, told(t)) for t in batch.tables} == {
        "ciscoCpu": (("0",), {"avgBusy5": [37]}),
        "fan": (("left", "right"), {"fanSpeed": [4200, 4300]}),
    }
    assert batch.tables[1].layout.labels == {"fanIndex": ("1", "2"), "fanName": ("left", "right")}


@pytest.mark.skipif(not WALKS, reason="the recorded walks (../shared/data/walks) are not here")
@pytest.mark.parametrize("version", ["1", "2c"])
@pytest.mark.parametrize("walk", WALKS, ids=lambda path: path.name.split(".")[0])
def test_a_recorded_device_is_read_with_all_its_interfaces(walk: Path, version: str) -> None:
    wanted = ("1.3.6.1.2.1.1.", "1.3.6.1.2.1.2.", "1.3.6.1.2.1.31.", "1.3.6.1.2.1.25.1.1.")
    with bz2.open(walk, "rt", encoding="latin-1") as file:
        mib = recorded("".join(line for line in file if line.startswith(wanted)))

    batch = look(mib, version, ("system", "if"))

    (table,) = batch.tables
    there = {oid.rpartition(".")[2] for oid in mib if oid.startswith("1.3.6.1.2.1.2.2.1.2.")}
    assert set(table.layout.index) == there
    assert list(table.layout.index) == sorted(table.layout.index, key=arcs)
    assert len(set(table.layout.rows)) == len(there)
    got = told(table)
    states = [mib.get(f"1.3.6.1.2.1.2.2.1.8.{i}", (0, None))[1] for i in table.layout.index]
    assert got["ifOperStatus"] == states
    octets = "ifHCInOctets" if version == "2c" and "ifHCInOctets" in got else "ifInOctets"
    column = "1.3.6.1.2.1.31.1.1.1.6" if octets == "ifHCInOctets" else "1.3.6.1.2.1.2.2.1.10"
    for index, value in zip(table.layout.index, got[octets], strict=True):
        if value is not None:
            assert value == mib[f"{column}.{index}"][1]
