"""Ports for what must be told its port before it starts."""

from __future__ import annotations

import itertools
import os
import random
import socket
from contextlib import suppress

# Below those the kernel gives to who connects: a client that looks for a server that is gone could
# otherwise be given its port. Each process of pytest-xdist has some for itself.
FIRST, EACH, PROCESSES = 20_000, 3000, 4
_mine = FIRST + EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % PROCESSES)
_next = itertools.count(random.Random(os.getpid()).randrange(EACH))


def free_port() -> int:
    """Return a port of this machine that nobody has, neither for TCP nor for UDP."""
    for _ in range(EACH):
        port = _mine + next(_next) % EACH
        with (
            suppress(OSError),
            socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams,
        ):
            stream.bind(("", port))
            datagrams.bind(("", port))
            return port
    raise OSError("no port is free")
