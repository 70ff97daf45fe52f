"""`netopsd demo`: the main job on a simulated network, with the real daemon and real databases.

It starts the simulators and the daemon as processes of their own, watches them from outside (API,
databases, /metrics) and ends both. Every figure it prints is read back from those.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import httpx
from rich.console import Console
from rich.live import Live

from bss_bridge.office.books import open_books
from netopsd.demo_view import Picture, figures, line, screen
from netopsd.store.read import Reader

STORY_S = 62.0  # the scripted story, and time for what it causes to be told
START_S = 30.0
DRAIN_S = 10.0
HERE = Path(__file__).resolve().parents[1]
MARK = ".netopsd-demo"
CANNOT, INTERRUPTED = 1, 130


class DemoFailed(Exception):
    """The demo cannot go on; the message says why and where to look."""


def main(for_s: float | None = None, json_out: bool = False, folder: Path | None = None) -> int:
    """Run the story, for `for_s` seconds where given. Returns the exit code."""
    console = Console(stderr=json_out)
    where = folder or Path.cwd() / "demo-data"
    try:
        with _stage(where) as stage:
            picture = _play(stage, for_s or STORY_S, console)
    except DemoFailed as failed:
        console.print(f"[red]The demo cannot run:[/] {failed}", highlight=False)
        return CANNOT
    except KeyboardInterrupt:
        console.print("ended by hand; both processes are down", highlight=False)
        return INTERRUPTED
    told = figures(picture)
    if json_out:
        print(json.dumps(told))
        return 0
    console.print("\n" + "  ".join(f"{k} {v}" for k, v in told.items()), highlight=False)
    console.print(
        f"\nThe databases stay in {stage.state}; look at them with\n"
        f"  netopsd tickets --config {stage.config}\n  netopsd sla --config {stage.config}",
        highlight=False,
    )
    return 0


@dataclass(slots=True, kw_only=True)
class Stage:
    """Where the demo plays: its folders, and the two processes."""

    folder: Path
    config: Path
    state: Path
    http: str
    daemon: subprocess.Popen[bytes]
    simulators: subprocess.Popen[bytes]

    def alive(self) -> None:
        """Raise DemoFailed with the last words of a process that ended by itself."""
        for name, process in (("daemon", self.daemon), ("simulators", self.simulators)):
            if process.poll() is not None:
                raise DemoFailed(
                    f"the {name} ended with {process.returncode}:\n{_tail(self.folder, name)}"
                )


@contextlib.contextmanager
def _stage(where: Path) -> Iterator[Stage]:
    """Lay out the folder, start both processes, and end them whatever happens."""
    config = _lay_out(where)
    snmp, traps = _free_port(), _free_port()
    _use_ports(config, snmp, traps)
    with contextlib.ExitStack() as ending:
        ready = where / "simulators.json"
        simulators = _start(
            ending, where, "simulators",
            [sys.executable, "-m", "simulators", "run", str(where / "scenario.toml"),
             "--port", str(snmp), "--traps-to", f"127.0.0.1:{traps}",
             "--truth", str(where / "truth.jsonl"), "--ready-file", str(ready)],
        )  # fmt: skip
        _await(ready, simulators, "simulators", where)
        state = config / "state"
        daemon = _start(
            ending, where, "daemon",
            [sys.executable, "-m", "netopsd", "run", "--config", str(config),
             "--set", "http.listen=127.0.0.1:0", "--set", f"traps.listen=127.0.0.1:{traps}"],
        )  # fmt: skip
        _await(state / "running.json", daemon, "daemon", where)
        http = json.loads((state / "running.json").read_text())["http"]
        yield Stage(
            folder=where, config=config, state=state, http=f"http://{http}",
            daemon=daemon, simulators=simulators,
        )  # fmt: skip


def _lay_out(where: Path) -> Path:
    """Make a fresh folder of our own; never empty one that is somebody else's."""
    if where.exists():
        if not (where / MARK).exists():
            raise DemoFailed(f"{where} exists and is not a demo's; move it or run elsewhere")
        shutil.rmtree(where)
    shipped = HERE / "config"
    scenario = HERE / "simulators" / "scenarios" / "demo.toml"
    if not (shipped / "demo").is_dir() or not scenario.is_file():
        raise DemoFailed(f"config/demo is not beside {HERE}; run it from a checkout")
    try:
        where.mkdir(parents=True)
    except OSError as error:
        raise DemoFailed(f"cannot make {where}: {error}") from error
    (where / MARK).touch()
    shutil.copytree(shipped / "demo", where / "config")
    shutil.copy(shipped / "tables.toml", where / "tables.toml")
    shutil.copy(scenario, where / "scenario.toml")
    return where / "config"


def _use_ports(config: Path, snmp: int, traps: int) -> None:
    """Write the ports of this run where the shipped demo has its own."""
    for path in config.glob("*.toml"):
        text = path.read_text()
        path.write_text(text.replace("11161", str(snmp)).replace("11162", str(traps)))


def _free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(
    ending: contextlib.ExitStack, where: Path, name: str, command: list[str]
) -> subprocess.Popen[bytes]:
    out: IO[bytes] = ending.enter_context((where / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        command,
        stdout=out,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        cwd=where,
        env={**os.environ, "PYTHONPATH": str(HERE)},
        start_new_session=True,  # ^C is ours to pass on, in order
    )
    ending.callback(_end, process)
    return process


def _end(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _await(ready: Path, process: subprocess.Popen[bytes], name: str, where: Path) -> None:
    deadline = time.monotonic() + START_S
    while not ready.exists():
        if process.poll() is not None:
            raise DemoFailed(f"the {name} ended at once:\n{_tail(where, name)}")
        if time.monotonic() > deadline:
            raise DemoFailed(f"the {name} are not ready after {START_S:.0f} s; see {name}.log")
        time.sleep(0.05)


def _tail(where: Path, name: str) -> str:
    lines = (where / f"{name}.log").read_text(errors="replace").splitlines()
    return "\n".join(lines[-12:])


def _play(stage: Stage, for_s: float, console: Console) -> Picture:
    """Show the story until its time is up and what it caused is delivered."""
    began = time.monotonic()
    console.print(
        f"metrics    {stage.http}/metrics\nAPI        {stage.http}/docs\n"
        f"databases  {stage.state}/netopsd.db (beliefs, outbox), {stage.state}/office.db"
        " (billing and CRM)\n",
        highlight=False,
    )
    with httpx.Client(base_url=stage.http, timeout=5.0) as api, contextlib.ExitStack() as showing:
        live = (
            showing.enter_context(Live(console=console, auto_refresh=False))
            if (console.is_terminal)
            else None
        )
        said = ""
        while True:
            stage.alive()
            past = time.monotonic() - began
            picture = _look(stage, api, past, for_s)
            if live is not None:
                live.update(screen(picture), refresh=True)
            elif (now := line(picture)) != said:
                said = now
                console.print(f"{past:5.1f} s  {now}", highlight=False)
            drained = picture.tally_prefixed("outbox.waiting") == 0 or past > for_s + DRAIN_S
            if past >= for_s and drained:
                return picture
            time.sleep(0.5)


def _look(stage: Stage, api: httpx.Client, past: float, for_s: float) -> Picture:
    """Read back everything the picture shows."""
    try:
        metrics = api.get("/metrics").text
        alarms = api.get("/api/v1/alarms", params={"limit": 200}).json()
        tickets = api.get("/api/v1/tickets").json()
        sla = api.get("/api/v1/sla").json()
        devices = api.get("/api/v1/devices").json()
    except httpx.HTTPError as error:
        stage.alive()
        raise DemoFailed(f"the daemon does not answer at {stage.http}: {error}") from error
    with open_books(stage.state / "office.db") as books:
        counts, totals = books.counts(), books.credit_totals()
        notices = books.notices()
    return Picture(
        past_s=past,
        for_s=for_s,
        metrics=metrics,
        alarms=alarms,
        tickets=tickets,
        sla=sla,
        devices=devices,
        tally=dict(Reader(f"sqlite:///{stage.state / 'netopsd.db'}").tally()),
        office=counts,
        credit_totals=totals,
        headlines=tuple(f"{n.at:%H:%M:%S} {n.subject}" for n in notices[-4:]),
    )
