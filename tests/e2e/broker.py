"""A real mosquitto for tests: killed and started again on the same port.

`python -m tests.e2e.broker [--full]` runs the long story: see `test_sites.py`.
"""

from __future__ import annotations

import contextlib
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from tests.ports import free_port


class Broker:
    """One mosquitto, through all its lives. It keeps nothing from one to the next."""

    def __init__(self, folder: Path, lines: Sequence[str] = (), port: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port = port or free_port()
        self.log_path = folder / "mosquitto.log"
        self._conf = folder / "mosquitto.conf"
        said = [f"listener {self.port} 127.0.0.1", *(lines or ["allow_anonymous true"])]
        self._conf.write_text("\n".join(["user root", *said]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def start(self) -> Broker:
        """Start it and wait until it takes connections."""
        if self._log is None:
            self._log = self.log_path.open("ab")
        command = ["mosquitto", "-v", "-c", str(self._conf)]
        self._process = subprocess.Popen(command, stdout=self._log, stderr=self._log)
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port)):
                return self
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise AssertionError(f"mosquitto: {self.log_path.read_text()[-2000:]}")
            time.sleep(0.02)

    def kill9(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
            self._process = None

    def end(self) -> None:
        self.kill9()
        if self._log is not None:
            self._log.close()
            self._log = None

    def rss(self) -> int:
        """Return its memory in octets."""
        assert self._process is not None
        return memory(self._process.pid)


def memory(pid: int) -> int:
    """Return a process's resident memory in octets."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise AssertionError(f"no process {pid}")


@contextlib.contextmanager
def running(folder: Path, lines: Sequence[str] = ()) -> Iterator[Broker]:
    """Give a started broker; end it."""
    broker = Broker(folder, lines)
    try:
        yield broker.start()
    finally:
        broker.end()


if __name__ == "__main__":
    from tests.e2e.site_story import main

    main()
