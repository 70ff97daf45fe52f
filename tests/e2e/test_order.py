"""An order on the command line becomes a working port: monitored, metered, billed, then ended."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulators.session import running as network
from tests.e2e.daemon import ROOT, Daemon, running, until, write_config

pytestmark = [pytest.mark.e2e]
TOKEN = "operator-token-0001"
SCENARIO = """
[network]
seed = 11
sample_every = 0
[[netconf_user]]
name = "reader"
password = "demo"
[[netconf_user]]
name = "activate"
password = "demo"
edit = true
[[device]]
name = "osl-n1"
address = "127.0.74.1"
netconf = true
ports = [{ name = "ge-0/0/1", admin = "down", in = "8M", out = "4M" }]
[[device]]
name = "bgo-n1"
address = "127.0.74.2"
netconf = true
ports = [{ name = "ge-0/0/1", admin = "down", in = "4M", out = "8M" }]
"""
MAIN = f"""
[[http.token]]
name = "anna"
role = "operator"
sha256 = "{hashlib.sha256(TOKEN.encode()).hexdigest()}"
[activation]
confirm = "20s"
verify = "5s"
drift_every = "1s"
[traps]
enabled = false
[[sink]]
kind = "office"
name = "office"
"""
DEVICES = """
[credentials.public]
version = "2c"
community = "public"
[login.reader]
user = "reader"
password = "demo"
[login.activate]
user = "activate"
password = "demo"
[defaults]
interval = "500ms"
timeout = "100ms"
retries = 1
port = {port}
tables = ["system", "if"]
"""
DEVICE = """
[[device]]
name = "{name}"
address = "{address}"
credentials = "public"
[device.netconf]
login = "reader"
activate = "activate"
port = {port}
host_keys = ["{host_key}"]
"""
RULES = """
[policy]
usage_interval = "60s"
"""
CUSTOMERS = """
[[customer]]
id = "acme"
name = "Acme"
currency = "NOK"
[[customer.account]]
id = "acme-1"
"""
ORDER = """
id = "{id}"
description = "Oslo to Bergen"
[[item]]
action = "{action}"
service = "acme-vpn"
template = "l2vpn"
account = "acme-1"
[item.contract]
target = 99.9
monthly_fee = "490.00"
[[item.endpoint]]
device = "osl-n1"
port = "ge-0/0/1"
vlan = {vlan}
[[item.endpoint]]
device = "bgo-n1"
port = "ge-0/0/1"
vlan = {vlan}
"""


class Scene:
    """A daemon, its network, and the command line."""

    def __init__(self, daemon: Daemon, folder: Path) -> None:
        self.daemon = daemon
        self.folder = folder

    def cli(self, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "netopsd", *words, "--config", str(self.daemon.config)],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
            env={**os.environ, "NETOPSD_TOKEN": TOKEN, "COLUMNS": "200"},
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    def order(self, *more: str, code: int = 0, **said: Any) -> str:
        file = self.folder / "order.toml"
        file.write_text(ORDER.format(**{"id": "SO-1", "action": "add", "vlan": 120, **said}))
        return self.cli("activate", str(file), *more, code=code)

    def ended(self, id: str) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            said: dict[str, Any] = json.loads(self.cli("order", id, "--json"))
            done = said["state"] in ("completed", "failed", "partial", "cancelled")
            return said if done else None

        return until(look, 30, f"{id} has not ended")

    def billed(self) -> dict[str, bool]:
        with self.daemon.books() as books:
            return {row["id"]: bool(row["active"]) for row in books._rows("service", {}, "id")}


def test_an_order_comes_alive_is_metered_and_billed_and_ends(tmp_path: Path) -> None:
    with network(SCENARIO, tmp_path) as sim:
        rows = [DEVICES.format(port=sim.port)]
        for name, said in sim.devices.items():
            rows.append(DEVICE.format(name=name, address=said["address"], **said["netconf"]))
        files = {
            "netopsd.toml": MAIN, "devices.toml": "".join(rows), "rules.toml": RULES,
            "customers.toml": CUSTOMERS,
        }  # fmt: skip
        config = write_config(tmp_path / "config", files)
        shutil.copy(ROOT / "config" / "yang.toml", config)
        shutil.copytree(ROOT / "config" / "services", config / "services")
        with running(config) as daemon:
            story(Scene(daemon, tmp_path), sim)


def story(scene: Scene, sim: Any) -> None:
    daemon = scene.daemon

    def port(device: str) -> dict[str, Any]:
        found: dict[str, Any] = sim.truth()["devices"][device]["ports"]["ge-0/0/1"]
        return found

    shown = scene.order("--dry-run")
    assert "+ services/service[id=acme-vpn]/vlan = 120" in shown
    assert port("osl-n1")["oper"] == "down"
    assert json.loads(scene.cli("orders", "--json")) == []
    scene.order()
    said = scene.ended("SO-1")
    assert said["state"] == "completed", said
    assert [n["state"] for n in said["note"] if not n["item"]][-1] == "completed"
    assert port("osl-n1")["oper"] == port("bgo-n1")["oper"] == "up"
    until(lambda: scene.billed() == {"acme-vpn": True}, 10, "the office books the service")
    until(lambda: len(daemon.reader.meters(service="acme-vpn")) == 2, 10, "it is metered")
    name = {"device": "osl-n1", "ifName": "ge-0/0/1"}
    until(lambda: daemon.value("ifOperStatus", **name) == 1.0, 10, "SNMP says what NETCONF did")

    scene.order()  # the same again adds nothing
    assert "known with other contents" in scene.order(vlan=121, code=1)
    assert "vlan must be 1 to 4094" in scene.order(id="SO-2", action="modify", vlan=5000, code=1)

    scene.order(id="SO-3", action="delete")
    assert scene.ended("SO-3")["state"] == "completed"
    assert port("osl-n1")["oper"] == port("bgo-n1")["oper"] == "down"
    until(lambda: scene.billed() == {"acme-vpn": False}, 10, "the office ends the service")
    assert daemon.reader.meters(service="acme-vpn") == []
    usage = daemon.reader.usage(service="acme-vpn")
    assert {str(record.resource) for record in usage} == {
        "osl-n1/if/ge-0/0/1", "bgo-n1/if/ge-0/0/1",
    }  # fmt: skip
    assert sum(record.in_octets for record in usage) > 0
    assert all(record.gaps[-1].endswith("metering ended") for record in usage[:2])
