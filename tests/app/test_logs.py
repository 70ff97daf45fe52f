"""Log lines never hold up the daemon, not even its end."""

from __future__ import annotations

import subprocess
import sys

TALK = """
import logging
from netopsd import logs
with logs.writing("info", "text"):
    for n in range(20_000):
        logging.getLogger("x").info("line %d %s", n, "." * 200)
"""


def test_the_end_waits_for_nobody_who_does_not_read() -> None:
    with subprocess.Popen([sys.executable, "-c", TALK], stderr=subprocess.PIPE) as talker:
        try:
            talker.wait(20)
        finally:
            talker.kill()


def test_whoever_reads_gets_every_line_to_the_last() -> None:
    short = TALK.replace("20_000", "500")
    said = subprocess.run(
        [sys.executable, "-c", short], capture_output=True, check=True, timeout=20
    )
    lines = said.stderr.decode().splitlines()
    assert len(lines) == 500
    assert "line 499 " in lines[-1]
