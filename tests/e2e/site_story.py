"""Two sites, their collectors, a broker and a core: what is killed, and what the books hold after.

Traffic begins when all are watched and ends before the last looks, so that what the simulators
counted and what the office was told must be the same number.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from simulators import session
from tests.e2e.broker import Broker, memory
from tests.e2e.daemon import BROKEN, ROOT, Daemon, until, write_config
from tests.e2e.story import zone

SITES = {"oslo": ("o1", "o2", "o3", "o4"), "bergen": ("b1", "b2", "b3")}
DEVICES = [device for devices in SITES.values() for device in devices]
SLOT_S = 5
RATES = (180e6, 50.7e6)

RULES = """
[policy]
unreachable_after = 2
isolation_devices = 3
state_holds = "5s"
usage_interval = "5s"
checkpoint = "3s"
[[threshold]]
alarm = "link-down"
table = "if"
column = "ifOperStatus"
bad = [2, 7]
only_when = { ifAdminStatus = 1 }
"""
NETOPSD = """
[state]
directory = "state"
[traps]
enabled = false
[snmp]
timeout = "200ms"
retries = 1
look_max = "2s"
[mqtt]
host = "127.0.0.1"
port = PORT
keepalive = "5s"
timeout = "2s"
[collect]
remote = ["oslo", "bergen"]
heartbeat = "1s"
[[sink]]
kind = "office"
name = "office"
"""


def network() -> str:
    rows = [
        f'[[device]]\nname = "{name}"\naddress = "127.32.0.{n}"\nkind = "switch"\n'
        'ports = [{ name = "p1", in = 0, out = 0 }, { name = "p2", in = "3M", out = "1M" }]\n'
        for n, name in enumerate(DEVICES, start=1)
    ]
    return '[network]\ncommunity = "e2e"\nseed = 3\nsample_every = "60s"\n' + "".join(rows)


def config(folder: Path, snmp_port: int, broker_port: int) -> Path:
    """Write the operator's files: one folder for core and collectors."""
    site = {device: site for site, devices in SITES.items() for device in devices}
    devices = (
        f'[defaults]\ncredentials = "e2e"\nport = {snmp_port}\ninterval = "1s"\n'
        'tables = ["system", "if"]\n[credentials.e2e]\nversion = "2c"\ncommunity = "e2e"\n'
    ) + "".join(
        f'[[device]]\nname = "{name}"\naddress = "127.32.0.{n}"\nsite = "{site[name]}"\n'
        for n, name in enumerate(DEVICES, start=1)
    )
    services = "".join(
        f'[[service]]\nid = "S-{d}"\nname = "Line {d}"\naccount = "ACC-1"\n'
        f'paths = ["{d}/p1"]\nmeters = ["{d}/p1"]\n'
        for d in DEVICES
    )
    customers = (
        f'[[customer]]\nid = "acme"\nname = "Acme"\nzone = "{zone()}"\n'
        '[[customer.account]]\nid = "ACC-1"\n'
    )
    return write_config(
        folder,
        {
            "netopsd.toml": NETOPSD.replace("PORT", str(broker_port)),
            "rules.toml": RULES,
            "devices.toml": devices,
            "services.toml": services,
            "customers.toml": customers,
        },
    )


class Collector:
    """One `netopsd collect`, through all its lives."""

    def __init__(self, config: Path, site: str, name: str) -> None:
        self.site, self.name = site, name
        self.config = config
        self.log_path = config / f"{site}.{name}.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> Collector:
        if self._log is None:
            self._log = self.log_path.open("ab")
        command = [sys.executable, "-m", "netopsd", "collect", "--site", self.site,
                   "--name", self.name, "--config", str(self.config)]  # fmt: skip
        env = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, cwd=self.config, env=env
        )
        return self

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def kill9(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def stop(self) -> int:
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(15)

    def end(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill9()
        if self._log is not None:
            self._log.close()
            self._log = None

    def spool_octets(self) -> int:
        folder = self.config / "state" / "spool" / f"{self.site}.{self.name}"
        return sum(path.stat().st_size for path in folder.glob("*.seg"))


class Scene:
    """Everything, running."""

    def __init__(self, folder: Path, sim: session.Session) -> None:
        self.sim = sim
        self.broker = Broker(folder / "broker")
        self.config = config(folder / "config", sim.port, self.broker.port)
        self.core = Daemon(self.config)
        self.collectors = {
            (site, name): Collector(self.config, site, name)
            for site in SITES
            for name in ("c1", "c2")
        }

    def start(self) -> None:
        self.broker.start()
        for one in self.collectors.values():
            one.start()
        self.core.start()
        until(self.all_seen, 30, lambda: f"not all devices are seen:\n{self.tails()}", 0.2)

    def all_seen(self) -> bool:
        ups = [v for name, _, v in self.core.samples() if name == "netopsd_device_up"]
        return len(ups) == len(DEVICES) and all(ups)

    def traffic(self, on: bool) -> None:
        for device in DEVICES:
            inward, outward = RATES if on else (0, 0)
            self.sim.ask(
                do="rate", device=device, port="p1", **{"in": int(inward), "out": int(outward)}
            )

    def counter(self, name: str) -> float:
        return self.core.value(f"netopsd_mqtt_sites_{name}_total") or 0.0

    def truth(self) -> dict[str, tuple[int, int]]:
        now = self.sim.truth()["devices"]
        found = {}
        for device in DEVICES:
            port = now[device]["ports"]["p1"]
            found[f"S-{device}"] = (port["in"], port["out"])
        return found

    def told(self) -> tuple[dict[str, tuple[int, int]], list[dict[str, Any]]]:
        """Return octets by service as the office holds them, and all records."""
        found: dict[str, tuple[int, int]] = {}
        records = []
        for device in DEVICES:
            service = f"S-{device}"
            sums = (0, 0)
            for record in self.core.reader.usage(service=service):
                records.append(record)
                sums = (sums[0] + record.in_octets, sums[1] + record.out_octets)
            found[service] = sums
        return found, records

    def settle(self, within_s: float = 60.0) -> None:
        """End the traffic and wait until what was counted is what was told."""
        self.traffic(False)
        truth = self.truth()

        def equal() -> bool:
            return self.told()[0] == truth

        until(equal, within_s, lambda: f"{self.told()[0]}\nis not\n{truth}\n{self.tails()}", 0.5)
        time.sleep(2 * SLOT_S)  # what would come twice would come now
        told, records = self.told()
        assert told == truth
        keys = [record.key for record in records]
        assert len(keys) == len(set(keys))
        for service in truth:
            sequences = sorted(r.sequence for r in records if r.service == service)
            assert sequences == list(range(1, len(sequences) + 1)), service

    def gaps(self) -> list[str]:
        """Return named gaps of usage, without those of before metering began."""
        return [g for r in self.told()[1] for g in r.gaps if "not yet metered" not in g]

    def alarms(self) -> set[str]:
        return set(self.core.alarms())

    def memory(self) -> dict[str, int]:
        pids = {f"{s}.{n}": c.pid for (s, n), c in self.collectors.items()}
        return {name: memory(pid) for name, pid in {**pids, "core": self.core.process.pid}.items()}

    def tails(self) -> str:
        logs = [self.core.tail(15), *(c.log[-1000:] for c in self.collectors.values())]
        return "\n---\n".join(logs)

    def end(self) -> None:
        for one in self.collectors.values():
            one.end()
        self.core.end()
        self.broker.end()


@contextlib.contextmanager
def scene(folder: Path) -> Iterator[Scene]:
    """Give a running scene; end it, and fail where a log holds what it should not."""
    with (
        tempfile.TemporaryDirectory(prefix="nets") as near,
        session.running(network(), Path(near)) as sim,
    ):
        made = Scene(folder, sim)
        try:
            made.start()
            yield made
        except BaseException as error:
            error.add_note(made.tails() if made.core.log_path.exists() else "")
            raise
        finally:
            made.end()
        for one in made.collectors.values():
            assert not BROKEN.search(one.log), one.log[-3000:]
        assert not made.core.unclean(), made.core.unclean()


def kill_broker(scene: Scene, kills: int, every_s: float, down_s: float) -> None:
    """Kill the broker again and again, and then leave it down."""
    for _ in range(kills):
        scene.broker.kill9()
        time.sleep(every_s / 2)
        scene.broker.start()
        time.sleep(every_s / 2)
    scene.broker.kill9()
    time.sleep(down_s)
    scene.broker.start()


def main() -> None:
    """The story of distributed collection, at full length with --full."""
    full = "--full" in sys.argv[1:]
    kills, every_s, down_s = (24, 5.0, 600.0) if full else (6, 2.0, 20.0)
    with tempfile.TemporaryDirectory(prefix="netsites") as folder, scene(Path(folder)) as made:
        made.traffic(True)
        time.sleep(5)
        before = made.memory()
        kill_broker(made, kills, every_s, down_s)
        spooled = sum(c.spool_octets() for c in made.collectors.values())
        began = time.monotonic()
        made.settle(120)
        figures = {
            "kills": kills,
            "down_s": down_s,
            "spooled_octets": spooled,
            "settled_s": round(time.monotonic() - began - 2 * SLOT_S, 1),
            "memory_before": before,
            "memory_after": made.memory(),
            "gaps": made.gaps(),
            "counts": {n: made.counter(n) for n in ("looks", "parcels", "repeated", "gaps")},
        }
        print(json.dumps(figures, indent=1), flush=True)
