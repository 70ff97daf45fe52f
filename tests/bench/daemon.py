"""The real daemon as the bench runs it: a configuration folder, a process, its own figures."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench import farm, processes

IF, IFX = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
LABELS = (
    f'{{name="ifName", oid="{IFX}.1", kind="text", label=true}}',
    f'{{name="ifDescr", oid="{IF}.2", kind="text", label=true}}',
)
FOUR = (
    ("ifHCInOctets", f"{IFX}.6", "counter64"),
    ("ifHCOutOctets", f"{IFX}.10", "counter64"),
    ("ifInErrors", f"{IF}.14", "counter32"),
    ("ifOperStatus", f"{IF}.8", "state"),
)
TEN = (
    *FOUR,
    ("ifHCInUcastPkts", f"{IFX}.7", "counter64"),
    ("ifHCOutUcastPkts", f"{IFX}.11", "counter64"),
    ("ifOutErrors", f"{IF}.20", "counter32"),
    ("ifInDiscards", f"{IF}.13", "counter32"),
    ("ifOutDiscards", f"{IF}.19", "counter32"),
    ("ifAdminStatus", f"{IF}.7", "state"),
)
RULES = """
[[threshold]]
alarm = "link-down"
table = "if"
column = "ifOperStatus"
bad = [2, 7]
severity = "major"
[[threshold]]
alarm = "errors-in"
table = "if"
column = "ifInErrors"
take = "rate"
raise_above = 1.0
clear_at = 0.1
severity = "minor"
type = "qualityOfServiceAlarm"
"""
LINK_TRAPS = """
[[event]]
name = "1.3.6.1.6.3.1.1.5.3"
alarm = "link-down"
table = "if"
row_from = "1.3.6.1.2.1.2.2.1.1"
severity = "major"
verify_after = [{verify}]
[[event]]
name = "1.3.6.1.6.3.1.1.5.4"
clears = "link-down"
table = "if"
row_from = "1.3.6.1.2.1.2.2.1.1"
verify_after = [{verify}]
"""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a daemon is to watch."""

    devices: int
    interval_s: float
    columns: Sequence[tuple[str, str, str]] = FOUR
    port: int = farm.PORT
    name: str = "d{}"
    rules: str = RULES
    more: str = ""  # lines of netopsd.toml, before its first table
    credentials: str = 'version = "2c"\ncommunity = "public"\n'
    engine: str = "auto"
    snmp: str = "timeout = 1\nretries = 1\n"
    traps: str = ""
    trap_port: int = 11162


def write(folder: Path, plan: Plan) -> Path:
    """Lay out the configuration of `plan`; return its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "netopsd.toml").write_text(
        f'{plan.more}[http]\nlisten = "127.0.0.1:0"\n[traps]\n'
        f'listen = "127.0.0.1:{plan.trap_port}"\n'
        f'communities = ["public"]\n{plan.traps}[snmp]\n{plan.snmp}[log]\nlevel = "warning"\n'
    )
    columns = [
        *LABELS,
        *(f'{{name="{n}", oid="{o}", kind="{k}"}}' for n, o, k in plan.columns),
    ]
    (folder / "tables.toml").write_text(
        '[[table]]\nname = "if"\nindex = "ifIndex"\nrow = ["ifName", "ifDescr"]\n'
        f"column = [\n {','.join(columns)}\n]\n"
    )
    (folder / "rules.toml").write_text(plan.rules)
    (folder / "services.toml").write_text("")
    (folder / "customers.toml").write_text("")
    devices = "".join(
        f'[[device]]\nname = "{plan.name.format(i)}"\naddress = "{farm.address(i)}"\n'
        for i in range(plan.devices)
    )
    (folder / "devices.toml").write_text(
        f"[credentials.bench]\n{plan.credentials}[defaults]\n"
        f'credentials = "bench"\nengine = "{plan.engine}"\nport = {plan.port}\n'
        f'interval = "{plan.interval_s:g}s"\n{devices}'
    )
    return folder


def command(folder: Path) -> list[str]:
    """Return what starts the daemon in the foreground."""
    return [sys.executable, "-m", "netopsd", "run", "--config", str(folder)]


class Running:
    """A daemon that is ready."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.pid = process.pid
        self.folder = folder
        self.http = json.loads((folder / "state" / "running.json").read_text())["http"]

    def own(self) -> dict[str, float]:
        """Return its own figures by name and labels, as /metrics writes them."""
        with urllib.request.urlopen(f"http://{self.http}/metrics?part=own", timeout=30) as answer:
            text = answer.read().decode()
        found = re.findall(r"^(\w+(?:\{[^}]*\})?) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in found}

    def cpu_s(self) -> float:
        return processes.cpu_s(self.pid)

    def rss_mb(self) -> float:
        return processes.rss_mb(self.pid)

    def alarms(self) -> float:
        """Return how many alarms are active."""
        return sum(v for k, v in self.own().items() if k.startswith("netopsd_alarms{"))

    def kinds(self) -> dict[str, set[str]]:
        """Return the devices of the active alarms, by alarm type."""
        found: dict[str, set[str]] = {}
        for key in active(self.folder / "state" / "netopsd.db"):
            resource, _, alarm = key.partition("!")
            found.setdefault(alarm, set()).add(resource.partition("/")[0])
        return found

    def until_polled(self, looks: float, within_s: float) -> None:
        """Wait until so many looks have been taken."""
        deadline = time.monotonic() + within_s
        while polled(self.own()) < looks:
            if time.monotonic() > deadline:
                raise RuntimeError(f"no {looks:g} looks within {within_s:g} s")
            time.sleep(0.5)


def active(database: Path) -> list[str]:
    """Return the keys of the active alarms as stored."""
    with contextlib.closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as kept:
        return [key for (key,) in kept.execute("SELECT key FROM alarms WHERE phase = 'active'")]


def polled(own: dict[str, float]) -> float:
    """Return how many looks there were, whatever they saw."""
    return sum(v for k, v in own.items() if k.startswith("netopsd_polls_total{"))


@contextlib.contextmanager
def running(folder: Path, core: int | None = None, within_s: float = 60.0) -> Iterator[Running]:
    """Start the daemon and give it once it is ready; end it in any case."""
    said = folder / "state" / "running.json"
    said.unlink(missing_ok=True)
    log = folder / "daemon.log"
    with processes.started(command(folder), core, log) as process:
        deadline = time.monotonic() + within_s
        while not said.exists():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the daemon did not get ready: {log.read_text()[-2000:]}")
            time.sleep(0.02)
        time.sleep(0.05)
        yield Running(process, folder)


def quantile(before: dict[str, float], after: dict[str, float], name: str, q: float) -> float:
    """Return the upper bound of the bucket that holds quantile `q` of what a histogram gained."""
    mark = f'{name}_bucket{{le="'
    gained = sorted(
        (float(key[len(mark) :].rstrip('"}')), value - before.get(key, 0.0))
        for key, value in after.items()
        if key.startswith(mark)
    )
    total = gained[-1][1] if gained else 0.0
    return next((bound for bound, count in gained if total and count >= q * total), 0.0)
