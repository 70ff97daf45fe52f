"""A network of the test's own: interfaces that may be taken down without anybody noticing."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from collections.abc import Iterator

CLONE_NEWNET = 0x40000000


@contextlib.contextmanager
def own_network() -> Iterator[None]:
    """Be in a fresh network namespace, and all processes started meanwhile. Needs root.

    It has `lo` and a pair `v0`, `v1`: with v0 down, v1 has lost its light. It is gone with the last
    process in it.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        if libc.unshare(CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), "unshare")
        try:
            ip("link", "set", "lo", "up")
            ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
            ip("link", "set", "v0", "up")
            ip("link", "set", "v1", "up")
            yield
        finally:
            libc.setns(home, CLONE_NEWNET)
    finally:
        os.close(home)


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=60)
