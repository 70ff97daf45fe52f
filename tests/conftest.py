"""Peers: real programs the tests talk to. Absent ones skip with their package, or fail in CI."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest
from hypothesis import settings

from tests.patience import Policy

PACKAGES = {
    "snmpd": "snmpd",
    "snmpget": "snmp",
    "snmptrap": "snmp",
    "snmpinform": "snmp",
    "snmptrapd": "snmptrapd",
    "prometheus-snmp-exporter": "prometheus-snmp-exporter",
    "collectd": "collectd-core",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "mosquitto": "mosquitto",
    "ip": "iproute2",
    "strace": "strace",
    "mkfs.ext4": "e2fsprogs",
    "chromium": "chromium",
    "systemd-analyze": "systemd",
}
# HYPOTHESIS=thorough looks ten times as long where a test does not say how long itself.
settings.register_profile("quick", max_examples=40, deadline=None)
settings.register_profile("thorough", max_examples=400, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS", "quick"))
asyncio.set_event_loop_policy(Policy())  # no time-out overtakes an answer that is there
os.environ["PATH"] += ":/usr/sbin:/sbin"

# Files whose tests take minutes together, the longest first: begun last, one of several processes
# would be at them while the others have nothing left to do.
LONGEST = ("test_sites", "test_netconf", "test_demo", "test_kill", "test_activation")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    places = {name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path.stem, len(LONGEST)))


def pytest_runtest_setup(item: pytest.Item) -> None:
    lacking = [
        f"{command} (Debian package {PACKAGES[command]})"
        for mark in item.iter_markers("peer")
        for command in mark.args
        if shutil.which(command) is None
    ]
    if item.get_closest_marker("root") and os.geteuid() != 0:
        lacking.append("root rights")
    if not lacking:
        return
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI must have {', '.join(lacking)}")
    pytest.skip(f"needs {', '.join(lacking)}")
