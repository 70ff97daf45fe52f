"""Bugs for the controls: on PYTHONPATH of a daemon, NETOPSD_PLANT names the one that is planted."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path


def no_meters() -> None:
    """Commits forget the meters, once there are some."""
    from netopsd.store import write

    honest = write._beliefs

    def forgetful(connection, outcome, careful):  # type: ignore[no-untyped-def]
        (kept,) = connection.execute("SELECT count(*) FROM meters").fetchone()
        if kept >= 4:
            outcome.meters = {}
        honest(connection, outcome, careful)

    write._beliefs = forgetful


def early_mark() -> None:
    """A usage record counts as delivered before it is; then the process dies, once."""
    from bss_bridge.deliver import Deliverer

    honest = Deliverer._tell_stream

    async def hasty(self, line, pendings):  # type: ignore[no-untyped-def]
        usage = [p for p in pendings if p.message.topic == "usage.record"]
        if line.name == "office" and usage and first_time():
            await self._outbox.delivered([pending.id for pending in usage])
            os.kill(os.getpid(), signal.SIGKILL)
        await honest(self, line, pendings)

    def first_time() -> bool:
        died = Path(os.environ["PLANT_DIED"])
        known = died.exists()
        died.touch()
        return not known

    Deliverer._tell_stream = hasty


PLANTS = {"no-meters": no_meters, "early-mark": early_mark}
if "netopsd" in sys.orig_argv:
    planted = PLANTS.get(os.environ.get("NETOPSD_PLANT", ""))
    if planted is not None:
        planted()
