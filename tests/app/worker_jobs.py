"""Jobs that behave badly in a worker process, and some that do not."""

from __future__ import annotations

import os
import resource
import select
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def begin(setup: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], Mapping[str, Any]]:
    if setup.get("refuse"):
        raise ValueError("no such setup")

    def do(job: Mapping[str, Any]) -> Mapping[str, Any]:
        return {"did": JOBS[job["do"]](job), "secret": setup.get("secret"), "pid": os.getpid()}

    return do


def eat(job: Mapping[str, Any]) -> int:
    return len(bytearray(2**31))


def nest(job: Mapping[str, Any]) -> int:
    return nest(job) + 1


def write(job: Mapping[str, Any]) -> int:
    return os.write(os.memfd_create("file"), b"x")


def burn(job: Mapping[str, Any]) -> None:
    while True:
        pass


def die(job: Mapping[str, Any]) -> None:
    os._exit(3)


def deaf(job: Mapping[str, Any]) -> None:
    """Keep what was said so far, listen no more, and tell so."""
    said = os.read(0, 2**16) if select.select([0], [], [], 0)[0] else b""
    kept, into = os.pipe()
    os.write(into, said)
    os.close(into)
    os.dup2(kept, 0)
    Path(job["told"]).touch()


def gate(job: Mapping[str, Any]) -> None:
    """Wait until somebody makes the file."""
    while not Path(job["path"]).exists():
        time.sleep(0.005)


def chatter(job: Mapping[str, Any]) -> str:
    print("not a frame", flush=True)
    os.write(1, b"nor is this")
    return "quiet"


def look(job: Mapping[str, Any]) -> dict[str, Any]:
    with open("/proc/self/cmdline") as cmdline, open("/proc/self/environ") as environ:
        seen = cmdline.read() + environ.read()
    return {"seen": seen, "core": resource.getrlimit(resource.RLIMIT_CORE)}


JOBS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "echo": lambda job: job.get("what"),
    "raise": lambda job: {}["missing"],
    "large": lambda job: "x" * 2**21,
    "sleep": lambda job: time.sleep(60),
    "write": write,
    "eat": eat,
    "nest": nest,
    "burn": burn,
    "die": die,
    "deaf": deaf,
    "gate": gate,
    "rest": lambda job: time.sleep(job["s"]),
    "touch": lambda job: Path(job["path"]).touch(),
    "chatter": chatter,
    "look": look,
}
