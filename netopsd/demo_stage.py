"""Where the demo plays: a folder, the simulators and the real daemon as processes of their own.

Whatever happens to the demo, both processes end with it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

START_S = 30.0
HERE = Path(__file__).resolve().parents[1]
MARK = ".netopsd-demo"
PR_SET_PDEATHSIG = 1  # linux/prctl.h


class DemoFailed(Exception):
    """The demo cannot go on; the message says why and where to look."""


@dataclass(slots=True, kw_only=True)
class Stage:
    """Where the demo plays: its folders, and the two processes."""

    folder: Path
    config: Path
    state: Path
    http: str
    began: float  # of the story, on the monotonic clock
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
def stage_in(where: Path) -> Iterator[Stage]:
    """Lay out the folder, start both processes, and end them whatever happens."""
    config = _lay_out(where)
    snmp, traps = _free_port(socket.SOCK_DGRAM), _free_port(socket.SOCK_DGRAM)
    netconf = _free_port(socket.SOCK_STREAM)
    _use_ports(config, {"11161": snmp, "11162": traps, "8830": netconf})
    with contextlib.ExitStack() as ending:
        ending.enter_context(_locked(where))
        ready = where / "simulators.json"
        simulators = _start(
            ending, where, "simulators",
            [sys.executable, "-m", "simulators", "run", str(where / "scenario.toml"),
             "--port", str(snmp), "--netconf-port", str(netconf),
             "--traps-to", f"127.0.0.1:{traps}",
             "--truth", str(where / "truth.jsonl"), "--ready-file", str(ready)],
        )  # fmt: skip
        _await(ready, simulators, "simulators", where)
        began = time.monotonic()
        state = config / "state"
        daemon = _start(
            ending, where, "daemon",
            [sys.executable, "-m", "netopsd", "run", "--config", str(config),
             "--set", "http.listen=127.0.0.1:0", "--set", f"traps.listen=127.0.0.1:{traps}"],
        )  # fmt: skip
        _await(state / "running.json", daemon, "daemon", where)
        http = json.loads((state / "running.json").read_text())["http"]
        yield Stage(
            folder=where, config=config, state=state, http=f"http://{http}", began=began,
            daemon=daemon, simulators=simulators,
        )  # fmt: skip


def _lay_out(where: Path) -> Path:
    """Make a fresh folder of our own; never remove one that is somebody else's."""
    if where.exists():
        if not (where / MARK).exists():
            raise DemoFailed(f"{where} exists and is not a demo's; move it or run elsewhere")
        with _locked(where):  # not while another demo plays in it
            pass
        _remove(where)
    shipped = HERE / "config"
    scenario = HERE / "simulators" / "scenarios" / "demo.toml"
    if not (shipped / "demo").is_dir() or not scenario.is_file():
        raise DemoFailed(f"config/demo is not beside {HERE}; run it from a checkout")
    try:
        where.mkdir(parents=True)
    except OSError as error:
        raise DemoFailed(f"cannot make {where}: {error}") from error
    shutil.copytree(shipped / "demo", where / "config")
    for shared in ("tables.toml", "yang.toml"):
        shutil.copy(shipped / shared, where / shared)
    shutil.copytree(shipped / "services", where / "services")
    shutil.copy(scenario, where / "scenario.toml")
    return where / "config"


@contextlib.contextmanager
def _locked(where: Path) -> Iterator[None]:
    """Hold the folder for this demo alone. Raises DemoFailed where another one has it."""
    with (where / MARK).open("ab") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            taken = f"another demo is running in {where}; run this one in another folder"
            raise DemoFailed(taken) from error
        yield


def _remove(where: Path) -> None:
    try:
        shutil.rmtree(where)
    except OSError as error:
        raise DemoFailed(f"cannot remove what the last demo left: {error}") from error


def _use_ports(config: Path, ports: Mapping[str, int]) -> None:
    """Write the ports of this run where the shipped demo has its own."""
    for path in config.glob("*.toml"):
        text = path.read_text()
        for shipped, free in ports.items():
            text = re.sub(rf"\b{shipped}\b", str(free), text)
        path.write_text(text)


def _free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
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
        preexec_fn=_die_with_parent,  # noqa: PLW1509 (no thread of ours runs yet)
    )
    ending.callback(_end, process)
    return process


def _die_with_parent() -> None:
    """Ask the kernel to end this child when the demo is killed; where it cannot, do without."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process: gently, then for good; also where a second ^C comes meanwhile."""
    process.terminate()
    try:
        process.wait(15)
    except BaseException as error:
        process.kill()
        process.wait()
        if not isinstance(error, subprocess.TimeoutExpired):
            raise


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
