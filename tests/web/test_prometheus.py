"""What Prometheus makes of us: its tools read our files, a real server scrapes and answers."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from netopsd.clock import SystemClock
from netopsd.core.inventory import Device
from netopsd.core.model import Batch, Clocks, Layout, Table
from netopsd.web.page import Page
from netopsd.web.series import Series
from netopsd.web.server import WebServer
from tests.ports import free_port

CONFIG = Path(__file__).parents[2] / "config"
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def promtool(*arguments: str, folder: Path) -> str:
    done = subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=60, cwd=folder,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def panels() -> Iterator[tuple[str, str]]:
    """Yield (title of the panel, expression) of the shipped dashboard."""
    board = json.loads((CONFIG / "grafana" / "netopsd.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", ()):
            yield panel["title"], target["expr"]


@pytest.mark.peer("promtool")
def test_the_shipped_scrape_configuration_and_rules_are_good() -> None:
    promtool("check", "config", "prometheus.yml", folder=CONFIG / "prometheus")


@pytest.mark.peer("promtool")
def test_the_shipped_rules_do_what_they_say(tmp_path: Path) -> None:
    shutil.copy(CONFIG / "prometheus" / "netopsd.rules.yml", tmp_path)
    shutil.copy(Path(__file__).parent / "netopsd.rules.test.yml", tmp_path)
    promtool("test", "rules", "netopsd.rules.test.yml", folder=tmp_path)


@pytest.mark.peer("promtool")
def test_every_expression_of_the_dashboard_is_good(tmp_path: Path) -> None:
    shown = [
        {"record": f"panel_{i}", "expr": expr.replace("$__rate_interval", "5m")}
        for i, (_, expr) in enumerate(panels())
    ]
    rules = {"groups": [{"name": "dashboard", "rules": shown}]}
    (tmp_path / "rules.yml").write_text(json.dumps(rules))  # JSON is YAML
    promtool("check", "rules", "rules.yml", folder=tmp_path)


def test_dashboard_and_rules_ask_only_for_series_that_exist() -> None:
    documented = (CONFIG.parent / "docs" / "metrics.md").read_text()
    known = set(re.findall(r"`([a-z]\w+)", documented))
    known |= set(re.findall(r'name = "(\w+)"', (CONFIG / "tables.toml").read_text()))
    rules = (CONFIG / "prometheus" / "netopsd.rules.yml").read_text()
    asked = "\n".join([rules, *(expr for _, expr in panels())])
    names = set(re.findall(r"\b(?:netopsd_\w+|(?:if|hr|sys)[A-Z]\w+)", asked))
    assert len(names) > 20
    assert {re.sub(r"_(bucket|count|sum)$", "", name) for name in names} <= known


def a_network() -> Series:
    clock = SystemClock()
    series = Series(clock, {"ifHCInOctets": "Octets received."})
    for name in ("osl-gw1", "brg-gw1"):
        layout = Layout(
            table="if", rows=("ge-0/0/1", "ge-0/0/2"), index=("1", "2"),
            labels={
                "ifIndex": ("1", "2"), "ifName": ("ge-0/0/1", "ge-0/0/2"),
                "ifDescr": ("port 1", "port 2"), "ifAlias": ('"} 1\nup{x="', "\x1b[31m\u202e æ\\"),
            },
            counters=("ifHCInOctets",), widths=(64,), gauges=("ifOperStatus",),
        )  # fmt: skip
        table = Table(
            layout, np.array([[2**53, 17]], dtype=np.uint64), np.array([[1.0, float("nan")]])
        )
        batch = Batch(
            device=name, at=NOON, mono_s=0.0, tables=(table,), clocks=Clocks(sys_uptime_ticks=4242)
        )
        series.take(batch, Device(name=name, site="oslo", interval_s=300.0))
    return series


async def asked(asker: httpx.AsyncClient, query: str) -> list[dict[str, Any]]:
    answer = await asker.get("/api/v1/query", params={"query": query})
    answer.raise_for_status()
    result: list[dict[str, Any]] = answer.json()["data"]["result"]
    return result


@pytest.mark.e2e
@pytest.mark.peer("prometheus")
def test_a_real_prometheus_scrapes_us_and_gives_everything_back(site: Any, tmp_path: Path) -> None:
    page = Page(
        clock=SystemClock(), series=a_network(), own=site.figures.text, families=site.page.families
    )

    class Http:
        host, port, hosts, token = "127.0.0.1", 0, (), ()

    async def run() -> None:
        web = WebServer(Http(), site.house, page, version="0.1.0")
        serving = asyncio.create_task(web.serve())
        await asyncio.wait_for(web.listening.wait(), 10)
        (tmp_path / "p.yml").write_text(
            "global: {scrape_interval: 500ms}\n"
            "scrape_configs:\n- job_name: netopsd\n  static_configs:\n"
            f"  - targets: ['127.0.0.1:{web.port}']\n"
        )
        port = free_port()
        prometheus = await asyncio.create_subprocess_exec(
            "prometheus", f"--config.file={tmp_path}/p.yml", f"--storage.tsdb.path={tmp_path}/d",
            f"--web.listen-address=127.0.0.1:{port}", "--log.level=error",
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as asker:
                await until_scraped(asker)
                await until_everything_is_there(asker)
        finally:
            prometheus.terminate()
            await prometheus.wait()
            serving.cancel()
            await asyncio.wait([serving])

    asyncio.run(run())


async def until_scraped(asker: httpx.AsyncClient) -> None:
    async with asyncio.timeout(60):
        while True:
            try:
                if await asked(asker, 'up{job="netopsd"} == 1'):
                    return
            except httpx.HTTPError:  # nobody there yet, or 503: still starting
                pass
            await asyncio.sleep(0.1)


async def until_everything_is_there(asker: httpx.AsyncClient) -> None:
    """Look again where a scrape was too late meanwhile: its series are stale then."""
    for _ in range(20):
        try:
            return await everything_is_there(asker)
        except (AssertionError, IndexError):
            await asyncio.sleep(0.5)
    return await everything_is_there(asker)


async def everything_is_there(asker: httpx.AsyncClient) -> None:
    octets = await asked(asker, 'ifHCInOctets{ifName="ge-0/0/1",device="osl-gw1",site="oslo"}')
    assert [series["value"][1] for series in octets] == [str(2**53)]
    assert octets[0]["metric"]["ifAlias"] == '"} 1\nup{x="'
    aliases = await asked(asker, 'ifHCInOctets{ifIndex="2",device="brg-gw1"}')
    assert aliases[0]["metric"]["ifAlias"] == "\\x1b[31m\\u202e æ\\"
    assert len(await asked(asker, "ifOperStatus")) == 2  # NaN rows are not there
    assert len(await asked(asker, "netopsd_device_up == 1")) == 2
    assert [s["value"][1] for s in await asked(asker, "sysUpTime")] == ["4242", "4242"]
    assert (await asked(asker, "netopsd_sla_budget_burn_ratio"))[0]["value"][1] == "0.5"
    kinds = (await asker.get("/api/v1/metadata")).json()["data"]
    assert kinds["ifHCInOctets"][0]["type"] == "counter"
    assert kinds["ifHCInOctets"][0]["help"] == "Octets received."
    assert kinds["ifOperStatus"][0]["type"] == "gauge"
    assert kinds["netopsd_poll_duration_seconds"][0]["type"] == "histogram"
