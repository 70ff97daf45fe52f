"""What the service manager is told: ready, reloading, alive, stopping (sd_notify(3)).

One datagram each on the socket named by NOTIFY_SOCKET; without one every call does nothing.
Telling never raises and never waits: a manager that does not read must not stop the daemon.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping
from datetime import datetime

from netopsd.ports import Clock

_LONGEST_STATUS = 200
STALLED_S = 15.0
STARTING_S = 120.0  # what was due while we were away may be much


class Notify:
    """The way to the service manager.

    `watchdog_s` is how often it wants to hear that we live (WATCHDOG_USEC, None: not at all).
    `lost` counts what could not be told.
    """

    def __init__(self, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        path = environ.get("NOTIFY_SOCKET", "")
        self._address = "\0" + path[1:] if path.startswith("@") else path
        if not path.startswith(("@", "/")):  # sd_notify(3): anything else is not for us
            self._address = ""
        self.watchdog_s = _watchdog_s(environ)
        self.lost = 0

    def ready(self, status: str = "") -> None:
        """Say that start-up, or a reload, is complete."""
        self._tell("READY=1", status)

    def reloading(self, mono_s: float, status: str = "") -> None:
        """Say that the configuration is being read anew; `ready` ends that."""
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={int(mono_s * 1e6)}", status)

    def stopping(self, status: str = "") -> None:
        self._tell("STOPPING=1", status)

    def alive(self) -> None:
        self._tell("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`."""
        self._tell("", text)

    async def feed(self, progressing: Callable[[], bool], clock: Clock) -> None:
        """Feed the watchdog thrice per period while `progressing` says so. Until cancelled.

        A loop that turns is not enough: `progressing` looks whether work went on.
        """
        if self.watchdog_s is None:
            return
        while True:
            if progressing():
                self.alive()
            await clock.sleep(self.watchdog_s / 3)

    def _tell(self, state: str, status: str = "") -> None:
        if not self._address:
            return
        if status:
            line = " ".join(status.split())[:_LONGEST_STATUS]
            state = f"{state}\nSTATUS={line}".lstrip("\n")
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as way:
                way.setblocking(False)
                way.sendto(state.encode("utf-8", "replace"), self._address)
        except OSError:
            self.lost += 1


class Progress:
    """Whether work goes on: time reaches the core, or the store waits as it should and tries again.

    A store that waits for room, or for another's lock, holds everything up, and a restart would not
    make it any better. That it tries is looked for, not that it says it waits: one that hangs in
    the middle of it says so for ever.
    """

    def __init__(
        self, clock: Clock, last_tick: Callable[[], datetime | None], tries: Callable[[], int]
    ) -> None:
        self._clock = clock
        self._last_tick = last_tick
        self._tries = tries
        self._known = tries()
        self._tried_s = float("-inf")  # when we saw the latest try
        self._began_s = clock.mono_s()

    def __call__(self) -> bool:
        now_s, tries = self._clock.mono_s(), self._tries()
        if tries != self._known:
            self._known, self._tried_s = tries, now_s
        if now_s - self._tried_s < STALLED_S:
            return True
        last = self._last_tick()
        if last is None:
            return now_s - self._began_s < STARTING_S
        return (self._clock.now() - last).total_seconds() < STALLED_S


def _watchdog_s(environ: Mapping[str, str]) -> float | None:
    """Return the watchdog's period in seconds where it is meant for this process."""
    period, pid = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not period.isascii() or not period.isdigit() or int(period) == 0:
        return None
    if pid and pid != str(os.getpid()):
        return None
    return int(period) / 1e6
