"""A simulated network as a child process: for tests and benchmarks."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent


class Session:
    """A running network: where it is, what to do to it, what is true."""

    def __init__(self, ready: dict[str, Any], control: Path, log: Path) -> None:
        self.port: int = ready["port"]
        self.devices: dict[str, dict[str, Any]] = {one["name"]: one for one in ready["devices"]}
        self._control = control
        self._log = log

    def at(self, device: str) -> str:
        """Return ADDRESS:PORT of a device."""
        return f"{self.devices[device]['address']}:{self.port}"

    def ask(self, **said: object) -> dict[str, Any]:
        """Send one command; returns its answer. Raises ValueError where it was refused."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(10)
            line.connect(str(self._control))
            line.sendall(json.dumps(said).encode() + b"\n")
            with line.makefile() as back:
                answer: dict[str, Any] = json.loads(back.readline())
        if not answer["ok"]:
            raise ValueError(answer["why"])
        return answer

    def do(self, do: str, **said: object) -> None:
        """Make something happen now: do("cut", link="fibre")."""
        self.ask(do=do, **said)

    def truth(self) -> dict[str, Any]:
        """Return what is true now: states and octets of every device."""
        return self.ask(do="truth")

    def lines(self, what: str = "") -> list[dict[str, Any]]:
        """Return the truth log so far, or its lines of one kind."""
        found = [json.loads(line) for line in self._log.read_text().splitlines()]
        return [line for line in found if what in ("", line["what"])]


@contextlib.contextmanager
def running(
    scenario: Path | str, folder: Path, more: Sequence[str] = (), wait_s: float = 30.0
) -> Iterator[Session]:
    """Serve a scenario (a file, or its text) on a free port while the block lasts.

    Its files go to `folder`; keep that path short, a Unix socket's may have 107 characters. Raises
    RuntimeError, with what was printed, where it does not start.
    """
    if isinstance(scenario, str):
        text, scenario = scenario, folder / "scenario.toml"
        scenario.write_text(text, encoding="utf-8")
    ready, control, log = folder / "sim.ready", folder / "sim.sock", folder / "sim.truth"
    ready.unlink(missing_ok=True)
    files = ["--ready-file", ready, "--control", control, "--truth", log, "--port", "0"]
    command = [sys.executable, "-m", "simulators", "run", scenario, *files, *more]
    with (folder / "sim.out").open("w+") as out:
        process = subprocess.Popen(
            [str(word) for word in command], cwd=ROOT, stdout=out, stderr=out
        )
        try:
            deadline = time.monotonic() + wait_s
            while not ready.exists():
                if process.poll() is not None or time.monotonic() > deadline:
                    out.seek(0)
                    raise RuntimeError(f"the simulator did not start: {out.read()}")
                time.sleep(0.02)
            yield Session(json.loads(ready.read_text()), control, log)
        finally:
            process.terminate()
            process.wait(10)
