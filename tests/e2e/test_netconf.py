"""The whole daemon against devices that speak NETCONF, alone and beside SNMP."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from simulators.session import Session
from simulators.session import running as network
from tests.e2e.daemon import ROOT, Daemon, running, until, write_config

pytestmark = [pytest.mark.e2e]
SCENARIO = """
[network]
seed = 11
swing = 0.2
sample_every = 0
community = "public"
[[netconf_user]]
name = "reader"
password = "demo"
[[device]]
name = "osl-n1"
address = "127.0.71.1"
netconf = true
ports = [
  { name = "ge-0/0/0", alias = "core", in = "8M", out = "4M" },
  { name = "ge-0/0/1", alias = "customer", in = "2M", out = "1M" },
  { name = "ge-0/0/2", admin = "down" },
]
[[device]]
name = "osl-b1"
address = "127.0.71.2"
netconf = true
ports = [
  { name = "ge-0/0/0", alias = "core", in = "8M", out = "4M" },
  { name = "ge-0/0/1", alias = "customer", in = "2M", out = "1M" },
]
[[device]]
name = "osl-s1"
address = "127.0.71.3"
ports = 2
"""
DEVICES = """
[credentials.public]
version = "2c"
community = "public"
[login.reader]
user = "reader"
password = "demo"
[defaults]
interval = "500ms"
timeout = "100ms"
retries = 1
port = {port}
tables = ["system", "if"]
[[device]]
name = "osl-n1"
address = "127.0.71.1"
site = "oslo"
[device.netconf]
login = "reader"
port = {n1[port]}
host_keys = ["{n1[host_key]}"]
stream = "NETCONF"
[[device]]
name = "osl-b1"
address = "127.0.71.2"
site = "oslo"
credentials = "public"
[device.netconf]
login = "reader"
port = {b1[port]}
host_keys = ["{b1[host_key]}"]
stream = "NETCONF"
[[device]]
name = "osl-s1"
address = "127.0.71.3"
site = "oslo"
credentials = "public"
"""
MAIN = """
[traps]
communities = ["public"]
[netconf]
connect = "2s"
hello = "2s"
rpc = "2s"
look_max = "3s"
backoff = "300ms"
backoff_most = "600ms"
rejected = "1s"
[[sink]]
kind = "office"
name = "office"
"""
SERVICES = """
[[service]]
id = "B-1"
account = "ACC-1"
paths = ["osl-b1/ge-0/0/1"]
meters = ["osl-b1/ge-0/0/1"]
"""
CUSTOMERS = """
[[customer]]
id = "c"
name = "Customer"
zone = "Europe/Oslo"
currency = "NOK"
[[customer.contact]]
name = "Anna"
channel = "mail"
address = "a@example.net"
[[customer.account]]
id = "ACC-1"
"""
POLICY = """
[policy]
unreachable_after = 2
isolation_devices = 5
ticket_hold = "1s"
usage_interval = "2s"
checkpoint = "1s"
"""
FAN = "osl-n1/entPhySensor/fan1!fan-failure"
FAN1 = "/hw:hardware/hw:component[hw:name='fan1']"


def configured(folder: Path, net: Session) -> Path:
    """A configuration of these devices: the shipped rules and views, quick numbers."""
    at: dict[str, Any] = {name[4:]: net.devices[name].get("netconf") for name in net.devices}
    rules = (ROOT / "config" / "rules.toml").read_text().replace("[policy]\n", POLICY, 1)
    write_config(
        folder,
        {
            "netopsd.toml": MAIN,
            "devices.toml": DEVICES.format(port=net.port, **at),
            "rules.toml": rules,
            "services.toml": SERVICES,
            "customers.toml": CUSTOMERS,
        },
    )
    shutil.copy(ROOT / "config" / "yang.toml", folder)
    return folder


@contextmanager
def house(folder: Path) -> Iterator[tuple[Daemon, Session]]:
    """The network and a daemon that hears both NETCONF devices."""
    with (
        network(SCENARIO, folder, ["--netconf-port", "0"]) as net,
        running(configured(folder / "config", net)) as daemon,
    ):
        listening(daemon, net)
        yield daemon, net


def listening(daemon: Daemon, net: Session, most: int = 2) -> None:
    until(lambda: daemon.value("netopsd_netconf_subscriptions") == most, 20, daemon.tail)


def alarm(daemon: Daemon, key: str) -> Any:
    return daemon.alarms().get(key)


def series(daemon: Daemon, name: str, device: str) -> list[tuple[dict[str, str], float]]:
    found = daemon.samples("network")
    return [(said, v) for known, said, v in found if known == name and said["device"] == device]


def asked_in_3_s(net: Session) -> int:
    """Return how many SNMP requests the devices get in three seconds."""
    before = net.ask(do="counts")["counts"]["requests"]
    time.sleep(3)
    return int(net.ask(do="counts")["counts"]["requests"] - before)


def test_a_device_watched_by_netconf_alone_has_series_alarms_and_events(tmp_path: Path) -> None:
    with house(tmp_path) as (daemon, net):
        until(lambda: len(series(daemon, "ifHCInOctets", "osl-n1")) == 3, 10, "three ports")
        said, first = series(daemon, "ifHCInOctets", "osl-n1")[0]
        assert (said["ifName"], said["ifAlias"], said["ifIndex"]) == ("ge-0/0/0", "core", "1")
        until(lambda: series(daemon, "ifHCInOctets", "osl-n1")[0][1] > first, 5, "octets grow")
        assert daemon.value("netopsd_device_up", device="osl-n1") == 1

        net.do("port_down", device="osl-n1", port="ge-0/0/0")
        key = "osl-n1/if/ge-0/0/0!link-down"
        until(lambda: alarm(daemon, key), 5, "a link-down")
        assert [k for k in daemon.alarms() if "link-down" in k] == [key]
        net.do("port_up", device="osl-n1", port="ge-0/0/0")
        until(lambda: not alarm(daemon, key), 5, "link-down cleared")

        net.do("admin_up", device="osl-n1", port="ge-0/0/2")
        until(lambda: alarm(daemon, "osl-n1!configuration-changed"), 5, "a changed configuration")
        assert daemon.reader.events(device="osl-n1", limit=50)[0].authenticated


def test_a_device_is_polled_by_hand_by_netconf(tmp_path: Path) -> None:
    with network(SCENARIO, tmp_path, ["--netconf-port", "0"]) as net:
        config = configured(tmp_path / "config", net)
        for name, more, source in (
            ("osl-n1", [], "ge-0/0/2"), ("osl-b1", ["--netconf"], "temp0"),
        ):  # fmt: skip
            said = netopsd("poll", name, *more, "--config", str(config))
            assert source in said.stdout, said.stderr
            assert said.returncode == 0
        net.do("host_key", device="osl-n1", mode="new")
        said = until(lambda: refused(netopsd("poll", "osl-n1", "--config", str(config))), 10, "no")
        assert "host key" in said
        assert "Traceback" not in said
        for words in (["dump"], ["dump", "--json"]):
            assert '"demo"' not in netopsd(*words, "--config", str(config)).stdout


def netopsd(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "netopsd", *words], capture_output=True, text=True, cwd=ROOT,
        timeout=60, check=False,
    )  # fmt: skip


def refused(said: subprocess.CompletedProcess[str]) -> str:
    return said.stderr if said.returncode == 1 else ""


def test_an_alarm_of_the_device_keeps_its_severity_becomes_a_ticket_and_resolves_it(
    tmp_path: Path,
) -> None:
    with house(tmp_path) as (daemon, net):
        said = {"device": "osl-n1", "alarm": "fan-failure", "resource": FAN1}
        net.do("alarm_raise", severity="critical", text="fan 1 stands still", **said)
        raised = until(lambda: alarm(daemon, FAN), 5, "the device's alarm")
        assert raised["perceivedSeverity"] == "critical"
        ticket = until(lambda: daemon.api("tickets"), 10, "a ticket")[0]
        assert "fan 1 stands still" in ticket["name"]
        net.do("alarm_clear", **said)
        until(lambda: not alarm(daemon, FAN), 5, "the alarm's end")
        until(lambda: daemon.api("tickets")[0]["status"] == "resolved", 10, "a resolved ticket")


def test_a_device_watched_in_two_ways_is_counted_once(tmp_path: Path) -> None:
    with house(tmp_path) as (daemon, net):
        until(lambda: len(series(daemon, "ifHCInOctets", "osl-b1")) == 2, 10, "two ports")
        net.do("port_down", device="osl-b1", port="ge-0/0/1")  # a trap, a notification and looks
        key = "osl-b1/if/ge-0/0/1!link-down"
        until(lambda: alarm(daemon, key), 5, "a link-down")
        until(lambda: daemon.reader.events(device="osl-b1", limit=50), 5, "notifications")
        assert [k for k in daemon.alarms() if k.startswith("osl-b1")] == [key]
        net.do("port_up", device="osl-b1", port="ge-0/0/1")
        until(lambda: not alarm(daemon, key), 5, "link-down cleared")
        assert len(series(daemon, "ifHCInOctets", "osl-b1")) == 2
        tell = until(lambda: len(daemon.api("usage")) >= 3 and daemon.api("usage"), 15, "usage")
        keys = [(one["service"], one["starts"]) for one in tell]
        assert len(set(keys)) == len(keys)
        truth = net.truth()["devices"]["osl-b1"]["ports"]["ge-0/0/1"]
        assert 0 < sum(int(one["inOctets"]) for one in tell) <= truth["in"]


def test_another_host_key_is_an_alarm_and_nothing_of_it_is_believed(tmp_path: Path) -> None:
    with house(tmp_path) as (daemon, net):
        until(lambda: daemon.value("netopsd_device_up", device="osl-n1") == 1, 10, "seen")
        net.do("host_key", device="osl-n1", mode="new")
        raised = until(lambda: alarm(daemon, "osl-n1!hostkey-changed"), 10, "the alarm")
        assert raised["perceivedSeverity"] == "critical"
        rpcs = net.truth()["devices"]["osl-n1"]["netconf"]["rpcs"]
        net.do("alarm_raise", device="osl-n1", alarm="fan-failure", resource=FAN1)
        until(lambda: alarm(daemon, "osl-n1!access-refused"), 10, "a blind device")
        assert net.truth()["devices"]["osl-n1"]["netconf"]["rpcs"] == rpcs
        assert not alarm(daemon, FAN)
        daemon.kill9()
        net.do("host_key", device="osl-n1", mode="old")
        daemon.start()  # who starts anew remembers that it was wrong, and sees that it is right
        until(lambda: not alarm(daemon, "osl-n1!hostkey-changed"), 20, "the key is good")
        until(lambda: alarm(daemon, FAN), 10, "what was told meanwhile is heard")


def test_what_a_device_told_while_we_were_away_is_heard_afterwards(tmp_path: Path) -> None:
    with house(tmp_path) as (daemon, net):
        net.do("alarm_raise", device="osl-n1", alarm="psu-failure", severity="minor")
        until(lambda: alarm(daemon, "osl-n1/entPhySensor/chassis!psu-failure"), 5, "the first")
        net.do("netconf_down", device="osl-n1")
        until(lambda: daemon.value("netopsd_netconf_subscriptions") == 1, 5, "a lost session")
        net.do("alarm_raise", device="osl-n1", alarm="fan-failure", resource=FAN1)
        net.do("alarm_clear", device="osl-n1", alarm="psu-failure")
        net.do("netconf_up", device="osl-n1")
        until(lambda: alarm(daemon, FAN), 10, "told while the server was away")
        until(lambda: len(daemon.alarms()) == 1, 5, "the first one's end")
        daemon.kill9()
        net.do("alarm_clear", device="osl-n1", alarm="fan-failure", resource=FAN1)
        daemon.start()
        until(lambda: not daemon.alarms(), 15, "told while we were away")
        assert not daemon.value("netopsd_netconf_gaps_total")


def test_what_cannot_be_replayed_is_an_alarm_and_the_devices_list_is_read(tmp_path: Path) -> None:
    with house(tmp_path) as (daemon, net):
        net.do("alarm_raise", device="osl-n1", alarm="psu-failure")
        psu = "osl-n1/entPhySensor/chassis!psu-failure"
        until(lambda: alarm(daemon, psu), 5, "the first")
        net.do("netconf_down", device="osl-n1")
        net.do("alarm_raise", device="osl-n1", alarm="fan-failure", resource=FAN1)
        net.do("alarm_clear", device="osl-n1", alarm="psu-failure")
        net.do("netconf_forget", device="osl-n1")
        net.do("netconf_up", device="osl-n1")
        until(lambda: alarm(daemon, "osl-n1!notification-gap"), 10, "a gap")
        until(lambda: alarm(daemon, FAN) and not alarm(daemon, psu), 10, "the list's word")
        assert daemon.value("netopsd_netconf_gaps_total") == 1


@pytest.mark.parametrize("mode", ["hang", "drip", "silent", "hello-never", "huge"])
def test_a_device_that_hangs_delays_no_other(mode: str, tmp_path: Path) -> None:
    with house(tmp_path) as (daemon, net):
        until(lambda: len(series(daemon, "ifHCInOctets", "osl-b1")) == 2, 10, "two ports")
        usual = asked_in_3_s(net)
        net.do("netconf_fault", device="osl-n1", mode=mode)
        net.do("netconf_cut", device="osl-n1")
        until(lambda: daemon.value("netopsd_device_up", device="osl-n1") == 0, 30, "blind")
        assert asked_in_3_s(net) >= 0.8 * usual, "the others are looked at as often as before"
        net.do("port_down", device="osl-b1", port="ge-0/0/1")
        until(lambda: alarm(daemon, "osl-b1/if/ge-0/0/1!link-down"), 2, "in time")
        net.do("netconf_fault", device="osl-n1", mode="none")
        until(lambda: daemon.value("netopsd_device_up", device="osl-n1") == 1, 15, "seen again")
