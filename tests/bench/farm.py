"""A thousand real agents on one machine, out of everybody's way.

`enter` moves this process into a network namespace of its own with 49 interfaces; `snmpd` there
answers on every address of 127.0.0.0/8, so 127.0.1.1 and its neighbours are as many devices to a
poller. The namespace ends with the last process inside.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.bench.processes import started

PORT = 11161
PAIRS = 24  # of interfaces; with lo 49
CLONE_NEWNET = 0x40000000
COLUMNS = {
    "ifHCInOctets": ("1.3.6.1.2.1.31.1.1.1.6", "counter"),
    "ifHCOutOctets": ("1.3.6.1.2.1.31.1.1.1.10", "counter"),
    "ifOperStatus": ("1.3.6.1.2.1.2.2.1.8", "gauge"),
    "ifInErrors": ("1.3.6.1.2.1.2.2.1.14", "counter"),
}
V3_USER, V3_KEY = "bench", "bench-pass-1"  # SNMPv3: SHA-1, AES-128, one passphrase for both
ANSWERS = "1.3.6.1.2.1.11.28.0"  # SNMPv2-MIB snmpOutGetResponses


def address(number: int) -> str:
    """Return the address of device `number`, 0 … 63,749."""
    return f"127.0.{number // 250 + 1}.{number % 250 + 1}"


def enter() -> None:
    """Move this process, and all it starts from now on, into a namespace. Needs root."""
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    _ip("link", "set", "lo", "up")
    for i in range(1, PAIRS + 1):
        _ip("link", "add", f"va{i}", "type", "veth", "peer", "name", f"vb{i}")
        _ip("link", "set", f"va{i}", "up")
        _ip("link", "set", f"vb{i}", "up")


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


def ask(*words: str) -> str:
    """Return what the agent says to one of net-snmp's commands."""
    command = [words[0], "-v2c", "-c", "public", "-Oqv", "-t", "2", f"127.0.0.1:{PORT}", *words[1:]]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def answers() -> int:
    """Return how many responses the agent has sent so far."""
    return int(ask("snmpget", ANSWERS))


@contextlib.contextmanager
def agents(core: int | None = None) -> Iterator[int]:
    """Run snmpd; give the number of its ports."""
    with tempfile.TemporaryDirectory(prefix="netopsd-farm-") as tmp:
        conf = Path(tmp) / "snmpd.conf"
        conf.write_text(
            f"rocommunity public 127.0.0.0/8\nagentaddress udp:{PORT}\nsysName farm\n"
            f'createUser {V3_USER} SHA "{V3_KEY}" AES "{V3_KEY}"\nrouser {V3_USER} auth\n'
        )
        os.environ["SNMP_PERSISTENT_DIR"] = tmp
        with started(["snmpd", "-f", "-C", "-c", str(conf), "-Ln"], core):
            for _ in range(100):
                with contextlib.suppress(subprocess.CalledProcessError, ValueError):
                    yield int(ask("snmpget", "1.3.6.1.2.1.2.1.0"))
                    return
                time.sleep(0.1)
            raise RuntimeError("snmpd does not answer")
