"""The real daemon as a process: started, killed, told to reload, asked from outside, ended."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx

from bss_bridge.office.books import Books, open_books
from netopsd.store.read import Reader
from tests.ports import free_port

ROOT = Path(__file__).parents[2]
READY_S = 40.0
PATIENCE = 4  # times as long as it may take: what is late on a starved machine is no mistake
BROKEN = re.compile(
    r"Traceback \(most recent|Task exception was never retrieved|was never awaited"
    r"|no judgement of|sink .*: unexpected|ResourceWarning|exception was never"
)
SAMPLE = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
T = TypeVar("T")
Sample = tuple[str, dict[str, str], float]


def until(
    look: Callable[[], T | None],
    within_s: float,
    what: str | Callable[[], str],
    every_s: float = 0.1,
) -> T:
    """Return the first true answer of `look`. Fails with `what` when the time is long over."""
    deadline = time.monotonic() + within_s * PATIENCE
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {within_s:g} s: {what() if callable(what) else what}")
        time.sleep(every_s)


def write_config(folder: Path, files: Mapping[str, str]) -> Path:
    """Lay out a configuration: `files` by name, and the shipped tables.toml."""
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "config" / "tables.toml", folder)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    return folder


class Daemon:
    """One daemon on one configuration folder, through all its lives."""

    def __init__(
        self,
        config: Path,
        *,
        sets: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        before: Sequence[str] = (),
        after: Sequence[str] = (),
        state: Path | None = None,
    ) -> None:
        self.config = config
        self.state = state or config / "state"
        self.log_path = config / "daemon.log"
        self.traps_port = free_port()
        self.lives: list[tuple[float, float | None, float | None]] = []  # started, ready, ended
        self._sets, self._env = tuple(sets), dict(env or {})
        self._before, self._after = tuple(before), tuple(after)
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._client: httpx.Client | None = None

    # ---- life and death

    def spawn(self, wrap: Sequence[str] = ()) -> None:
        """Start the process and return at once; `wrap` (such as strace -D) goes before it."""
        (self.state / "running.json").unlink(missing_ok=True)
        if self._log is None:
            self._log = self.log_path.open("ab")
        command = [
            *self._before, *wrap, sys.executable,
            "-m", "netopsd", "run", "--config", str(self.config),
            "--set", "http.listen=127.0.0.1:0",
            "--set", f"traps.listen=127.0.0.1:{self.traps_port}",
            *(word for one in self._sets for word in ("--set", one)), *self._after,
        ]  # fmt: skip
        path = os.pathsep.join(filter(None, (self._env.get("PYTHONPATH"), str(ROOT))))
        env = {**os.environ, "PYTHONUNBUFFERED": "1", **self._env, "PYTHONPATH": path}
        self._process = subprocess.Popen(
            command, stdout=self._log, stderr=self._log, stdin=subprocess.DEVNULL,
            cwd=self.config, env=env,
        )  # fmt: skip
        self.lives.append((time.time(), None, None))

    def start(self) -> Daemon:
        """Start and wait until it is ready."""
        self.spawn()
        return self.wait_ready()

    def wait_ready(self, within_s: float = READY_S) -> Daemon:
        until(self._ready, within_s, lambda: f"the daemon is not ready:\n{self.tail()}", 0.02)
        return self

    def _ready(self) -> bool:
        if self.process.poll() is not None:
            raise AssertionError(f"the daemon ended with {self.process.returncode}:\n{self.tail()}")
        if not self.announced():
            return False
        try:
            ready = self.http.get("/ready").status_code == 200
        except httpx.TransportError:
            return False
        if ready:
            started, _, ended = self.lives[-1]
            self.lives[-1] = (started, time.time(), ended)
        return ready

    def announced(self) -> bool:
        """Whether it has said where it is."""
        return bool(self.said())

    def said(self) -> dict[str, Any]:
        """Return what it wrote to running.json, {} where nothing yet."""
        try:
            said: dict[str, Any] = json.loads((self.state / "running.json").read_text())
        except (OSError, ValueError):
            return {}
        return said

    def kill9(self) -> None:
        self.process.kill()
        self.wait(60)

    def stop(self, number: int = signal.SIGTERM, within_s: float = 90.0) -> int:
        """Ask it to end; return its exit code."""
        self.process.send_signal(number)
        return self.wait(within_s)

    def wait(self, within_s: float) -> int:
        code = self.process.wait(within_s)
        self._disconnect()
        started, ready, ended = self.lives[-1]
        self.lives[-1] = (started, ready, ended or time.time())
        return code

    def hang_up(self) -> None:
        self.process.send_signal(signal.SIGHUP)

    def end(self) -> None:
        """End it whatever state it is in, and free everything."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self.wait(20)
            except subprocess.TimeoutExpired:
                self.kill9()
        self._disconnect()
        if self._log is not None:
            self._log.close()
            self._log = None

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    @property
    def process(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "the daemon was never started"
        return self._process

    # ---- what it says

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def tail(self, lines: int = 40) -> str:
        return "\n".join(self.log.splitlines()[-lines:])

    def unclean(self) -> list[str]:
        """Return the lines of the log that no working daemon writes, each with what follows."""
        lines = self.log.splitlines()
        at = [n for n, line in enumerate(lines) if BROKEN.search(line)]
        return ["\n".join(lines[n : n + 25]) for n in at[:3]]

    @property
    def http(self) -> httpx.Client:
        if self._client is None:
            self._client = httpx.Client(base_url=f"http://{self.said()['http']}", timeout=30.0)
        return self._client

    def api(self, path: str, **params: Any) -> Any:
        answer = self.http.get(f"/api/v1/{path}", params={"limit": 1000, **params})
        assert answer.status_code == 200, answer.text
        return answer.json()

    def alarms(self) -> dict[str, dict[str, Any]]:
        """Return the alarms that are not cleared, by key."""
        return {
            alarm["id"]: alarm
            for alarm in self.api("alarms")
            if alarm["state"] in ("raised", "updated")
        }

    def samples(self, part: str = "") -> list[Sample]:
        """Return everything of /metrics as (name, labels, value)."""
        answer = self.http.get("/metrics", params={"part": part} if part else {})
        assert answer.status_code == 200
        return samples(answer.text)

    def value(self, name: str, **labels: str) -> float | None:
        """Return the one sample with these labels, None where there is none."""
        found = [
            value
            for known, said, value in self.samples()
            if known == name and labels.items() <= said.items()
        ]
        assert len(found) < 2, f"{name} {labels}: {len(found)} samples"
        return found[0] if found else None

    @property
    def reader(self) -> Reader:
        return Reader(f"sqlite:///{self.state / 'netopsd.db'}")

    @contextlib.contextmanager
    def books(self) -> Iterator[Books]:
        with open_books(self.state / "office.db") as books:
            yield books


def samples(text: str) -> list[Sample]:
    """Return the samples of an exposition."""
    return [
        (m[1], {name: _plain(value) for name, value in LABEL.findall(m[2] or "")}, float(m[3]))
        for m in SAMPLE.finditer(text)
    ]


def _plain(value: str) -> str:
    return re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], value)


@contextlib.contextmanager
def running(config: Path, **how: Any) -> Iterator[Daemon]:
    """Give a started daemon; end it, and fail where its log holds what it should not.

    The last lines of the log are in the message of any failure.
    """
    daemon = Daemon(config, **how)
    try:
        yield daemon.start()
    except BaseException as error:
        if daemon.log_path.exists():
            error.add_note(f"the daemon's log:\n{daemon.tail()}")
        raise
    finally:
        daemon.end()
    assert not daemon.unclean(), "\n\n".join(daemon.unclean())
