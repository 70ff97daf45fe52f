"""The commands against a running daemon and a simulated network: real processes, free ports."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PATIENCE_S = 60.0

pytestmark = pytest.mark.e2e


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.1)


def cli(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from netopsd.cli import main; main()"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        timeout=60,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """The demo's configuration, and its network simulated on a port of its own."""
    port, ssh = free_port(), free_port()
    copy = tmp_path / "demo"
    shutil.copytree(ROOT / "config" / "demo", copy, ignore=shutil.ignore_patterns("state"))
    for shared in ("tables.toml", "yang.toml"):
        shutil.copy(ROOT / "config" / shared, tmp_path / shared)
    devices = (copy / "devices.toml").read_text()
    (copy / "devices.toml").write_text(
        devices.replace("11161", str(port)).replace("8830", str(ssh))
    )
    main = (copy / "netopsd.toml").read_text()
    main = main.replace("127.0.0.1:9280", "127.0.0.1:0").replace(":11162", ":0")
    (copy / "netopsd.toml").write_text(main)
    scenario = (ROOT / "simulators" / "scenarios" / "demo.toml").read_text()
    scenario = scenario.replace("port = 11161", f"port = {port}").replace("8830", str(ssh))
    scenario = scenario.replace("port = 11162", f"port = {free_port()}")
    (tmp_path / "scenario.toml").write_text(scenario)
    network = subprocess.Popen(
        [sys.executable, "-m", "simulators", "run", str(tmp_path / "scenario.toml")],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        yield copy
    finally:
        network.terminate()
        network.wait(20)


def running(folder: Path) -> dict[str, str]:
    try:
        said = json.loads((folder / "state" / "running.json").read_text())
    except (OSError, ValueError):
        return {}
    assert isinstance(said, dict)
    return said


def test_a_device_is_looked_at_discovered_and_written_down(folder: Path) -> None:
    text = (folder / "devices.toml").read_text()
    start = text.index('[[device]]\nname = "bgo-srv1"')
    (folder / "devices.toml").write_text(text[:start])
    port = next(line for line in text.splitlines() if line.startswith("port")).split()[-1]

    def answers() -> bool:
        return cli("poll", "osl-agg1", "--config", folder).returncode == 0

    until(answers, "an answer of the simulated network")
    polled = cli("poll", "osl-agg1", "--config", folder, "--twice", "--every", "1s", "--json")
    (ports,) = (t for t in json.loads(polled.stdout)["tables"] if t["table"] == "if")
    rate = ports["rows"][0]["ifHCInOctets_per_s"]
    assert 1e7 < rate < 1e9  # 900 Mbit/s, swinging
    shown = cli("poll", "osl-agg1", "--config", folder)
    assert "lowerLayerDown" in shown.stdout or "up" in shown.stdout
    found = cli("discover", "127.20.0.3", "--port", port, "--config", folder, "--write")
    assert found.returncode == 0, found.stderr
    assert 'name = "bgo-srv1"' in found.stdout
    assert cli("check", "--config", folder).stdout.startswith(f"{folder} is in order: 10 devices")


def test_an_alarm_is_acknowledged_and_the_daemon_ends_on_ctrl_c(folder: Path) -> None:
    story = folder / "story.jsonl"
    daemon = subprocess.Popen(
        [
            sys.executable, "-c", "from netopsd.cli import main; main()",
            "run", "--config", str(folder), "--record", str(story),
        ],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    try:
        until(lambda: bool(running(folder)) or daemon.poll() is not None, "the daemon's start")
        alarms: list[str] = []

        def raised() -> bool:
            listed = cli("alarms", "--config", folder, "--json")
            if listed.returncode == 0:
                alarms[:] = [one["id"] for one in json.loads(listed.stdout)]
            return "osl-agg1/if/ge-0/0/1!link-down" in alarms

        until(raised, "the fibre cut's alarm")
        (folder / "token").write_text("demo-token\n")
        refused = cli("ack", "osl-agg1/if/ge-0/0/1!link-down", "--config", folder)
        assert refused.returncode == 1
        assert "--token-file" in refused.stderr
        with_token = ("--config", folder, "--token-file", folder / "token")
        acked = cli("ack", "osl-agg1/if/ge-0/0/1!link-down", "--note", "on it", *with_token)
        assert acked.returncode == 0, acked.stderr
        listed = cli("alarms", "--config", folder, "--all", "--json")
        by = {one["id"]: one["ackUserId"] for one in json.loads(listed.stdout)}
        assert by["osl-agg1/if/ge-0/0/1!link-down"] == "demo"
    finally:
        daemon.send_signal(signal.SIGINT)
        _, err = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, err
    assert "Traceback" not in err
    told = json.loads(cli("replay", story, "--json").stdout)
    assert told["counts"]["inputs_acknowledge"] == 1
    assert told["counts"]["alarm_raised"] >= 1
