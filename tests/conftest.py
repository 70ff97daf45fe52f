"""Peers: real programs the tests talk to. Absent ones skip with their package, or fail in CI."""

from __future__ import annotations

import os
import shutil

import pytest

PACKAGES = {
    "snmpd": "snmpd",
    "snmpget": "snmp",
    "snmptrap": "snmp",
    "snmpinform": "snmp",
    "snmptrapd": "snmptrapd",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "mosquitto": "mosquitto",
    "ip": "iproute2",
    "strace": "strace",
    "chromium": "chromium",
    "systemd-analyze": "systemd",
}
os.environ["PATH"] += ":/usr/sbin:/sbin"


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
