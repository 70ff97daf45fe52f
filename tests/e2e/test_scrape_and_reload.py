"""One running daemon: a real Prometheus scrapes it, its operator changes things, its disk fails."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from simulators.session import Session
from simulators.session import running as simulated
from tests.e2e import daemon as d
from tests.e2e import story
from tests.ports import free_port

pytestmark = pytest.mark.e2e
NEWCOMER = '\n[[device]]\nname = "newcomer"\naddress = "127.31.0.6"\n'
NETWORK = story.NETWORK.replace(
    "[[link]]",
    '[[device]]\nname = "newcomer"\naddress = "127.31.0.6"\nkind = "cpe"\nports = 2\n[[link]]',
    1,
)


@pytest.fixture(scope="module")
def network() -> Iterator[Session]:
    """A network in which traffic flows on the metered ports."""
    told = "".join(
        f'[[at]]\nafter = 0.1\ndo = "rate"\ndevice = "{device}"\nport = "{port}"\n'
        f"in = {inward}\nout = {outward}\n"
        for device, port, inward, outward in story.RATES
    )
    with tempfile.TemporaryDirectory(prefix="s-") as folder:
        text = NETWORK.replace("TRAPS", str(free_port())) + told
        with simulated(text, Path(folder)) as session:
            yield session


@pytest.fixture(scope="module")
def daemon(network: Session, tmp_path_factory: pytest.TempPathFactory) -> Iterator[d.Daemon]:
    config = story.config(tmp_path_factory.mktemp("daemon") / "config", network.port)
    with d.running(config) as one:
        yield one


def edited(path: Path, edit: Callable[[str], str]) -> None:
    path.write_text(edit(path.read_text()))


def reloaded(daemon: d.Daemon) -> float:
    """When the configuration in use was read, and whether the latest one is in use."""
    stamp = daemon.value("netopsd_config_last_reload_success_timestamp_seconds")
    assert stamp is not None
    return stamp


# ---- Prometheus


@pytest.mark.peer("prometheus")
def test_prometheus_scrapes_the_daemon_and_answers_as_with_snmp_exporter(
    daemon: d.Daemon, tmp_path: Path
) -> None:
    (tmp_path / "p.yml").write_text(
        "global: {scrape_interval: 500ms}\nscrape_configs:\n- job_name: netopsd\n"
        f"  static_configs:\n  - targets: ['{daemon.said()['http']}']\n"
    )
    with prometheus(tmp_path) as asked:
        query = 'rate(ifHCInOctets{device="other",ifName="q1"}[10s])'
        rate = d.until(lambda: steady(asked(query)), 20, "no rate")
        assert rate[0]["metric"]["ifName"] == "q1"
        assert {"device", "ifIndex", "ifName", "ifDescr"} <= set(rate[0]["metric"])
        assert float(rate[0]["value"][1]) < 1.6 * 7.77e6 / 8
        total = asked('sum by (device) (rate(ifHCOutOctets{device=~"cr|agg"}[10s]) * 8)')
        assert {one["metric"]["device"] for one in total} == {"cr", "agg"}
        # A scrape that was too late leaves nothing to see until the next one.
        up = lambda: {one["metric"]["device"] for one in asked("netopsd_device_up == 1")}  # noqa: E731
        d.until(lambda: up() == {"agg", "cr", "cpe-a", "other", "far"}, 15, lambda: f"{up()}")
        promises = lambda: asked("netopsd_sla_availability_ratio")  # noqa: E731
        d.until(lambda: len(promises()) == len(story.SERVICES), 15, lambda: f"{promises()}")
        d.until(lambda: asked('up{job="netopsd"} == 1'), 15, "not up")


def steady(answer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the answer once the whole window is full of traffic."""
    return [one for one in answer if float(one["value"][1]) > 0.5 * 7.77e6 / 8]


@contextlib.contextmanager
def prometheus(folder: Path) -> Iterator[Callable[[str], list[dict[str, Any]]]]:
    port = free_port()
    with (folder / "prometheus.log").open("wb") as log:
        process = subprocess.Popen(
            ["prometheus", f"--config.file={folder}/p.yml", f"--storage.tsdb.path={folder}/d",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=warn"],
            stdout=log, stderr=log,
        )  # fmt: skip
    with httpx.Client(base_url=f"http://127.0.0.1:{port}") as client:

        def asked(query: str) -> list[dict[str, Any]]:
            assert process.poll() is None, (folder / "prometheus.log").read_text()
            try:
                answer = client.get("/api/v1/query", params={"query": query})
            except httpx.TransportError:
                return []
            if answer.status_code != 200:  # it is starting
                return []
            found: list[dict[str, Any]] = answer.json().get("data", {}).get("result", [])
            return found

        try:
            yield asked
        finally:
            process.terminate()
            process.wait(20)


# ---- SIGHUP


def test_a_reload_adds_a_device_refuses_a_mistake_and_takes_its_repair(daemon: d.Daemon) -> None:
    devices = daemon.config / "devices.toml"
    services = daemon.config / "services.toml"
    assert daemon.value("netopsd_device_up", device="newcomer") is None
    first = reloaded(daemon)

    edited(devices, lambda text: text + NEWCOMER)
    daemon.hang_up()
    d.until(lambda: daemon.value("netopsd_device_up", device="newcomer"), 15, "not polled")
    second = reloaded(daemon)
    assert second > first

    edited(devices, lambda text: text.replace('name = "newcomer"', 'nmae = "newcomer"'))
    daemon.hang_up()
    state = "netopsd_config_last_reload_successful"
    d.until(lambda: daemon.value(state) == 0, 15, "the mistake is not told")
    assert 'Did you mean "name"' in daemon.log
    assert reloaded(daemon) == second
    looks = polls(daemon)
    d.until(lambda: polls(daemon) > looks + 6, 15, "looks have stopped")
    assert daemon.value("netopsd_device_up", device="newcomer") == 1, "what ran goes on"

    edited(devices, lambda text: text.replace('nmae = "newcomer"', 'name = "newcomer"'))
    daemon.hang_up()
    d.until(lambda: daemon.value(state) == 1, 15, "the repair is not taken")
    assert reloaded(daemon) > second

    metered = {meter.service for meter in daemon.reader.meters()}
    assert metered == set(story.SERVICES)
    edited(services, lambda text: text[text.index("[[service]]", 5) :])  # ALFA-1, the first
    edited(daemon.config / "customers.toml", lambda text: text[text.index("[[customer]]", 5) :])
    daemon.hang_up()
    d.until(lambda: not daemon.reader.meters(service="ALFA-1"), 15, "it is metered still")
    last = daemon.reader.usage(service="ALFA-1", limit=1)[0]
    assert any("metering ended" in gap for gap in last.gaps), last
    others = {meter.service for meter in daemon.reader.meters()}
    assert others == set(story.SERVICES) - {"ALFA-1"}

    edited(devices, lambda text: text.replace(NEWCOMER, ""))
    daemon.hang_up()
    d.until(lambda: daemon.value("netopsd_device_up", device="newcomer") is None, 15, "still shown")


def polls(daemon: d.Daemon) -> float:
    return sum(v for name, _, v in daemon.samples("own") if name == "netopsd_polls_total")


# ---- the end


def test_sigterm_drains_and_leaves_nothing_undone(daemon: d.Daemon) -> None:
    """Runs last on the shared daemon."""
    assert daemon.stop(signal.SIGTERM) == 0
    assert "stopping" in daemon.log
    assert not (daemon.state / "netopsd.db-wal").exists(), "the WAL is folded in"
    assert daemon.reader.outbox() == []
    measured = {record.key for record in daemon.reader.usage(limit=10_000)}
    with daemon.books() as books:
        assert {usage.key for usage in books.usage()} == measured


@pytest.mark.peer("strace")
@pytest.mark.parametrize("when", ["7", "16"])
def test_a_disk_that_fails_ends_the_daemon_with_74_and_a_restart_goes_on(
    network: Session, tmp_path: Path, when: str
) -> None:
    daemon = d.Daemon(story.config(tmp_path / "config", network.port))
    inject = f"inject=fdatasync:error=EIO:when={when}+"
    trace = [
        "strace",
        "-D",
        "-f",
        "--seccomp-bpf",
        "-qq",
        "-o",
        str(tmp_path / "strace"),
        "-e",
        "trace=fdatasync",
    ]
    try:
        daemon.spawn([*trace, "-e", inject])
        assert daemon.wait(40) == 74, daemon.tail()
        assert "critical" in daemon.log
        assert not daemon.unclean(), daemon.unclean()[0]
        daemon.start()
        d.until(lambda: daemon.reader.usage(limit=1), 20, daemon.tail)
        assert daemon.stop() == 0
    finally:
        daemon.end()


def test_the_shipped_configuration_starts_and_is_quiet(tmp_path: Path) -> None:
    """The commented files of config/, untouched but for where they listen and keep things."""
    config = tmp_path / "config"
    shutil.copytree(d.ROOT / "config", config)
    with d.running(
        config, sets=[f"state.directory={tmp_path / 'state'}"], state=tmp_path / "state"
    ) as one:
        time.sleep(1.0)
        assert one.alarms() == {}
        assert one.stop() == 0
