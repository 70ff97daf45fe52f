"""linkDown and linkUp (SNMPv2c) at a steady rate, from many sources.

    python -m tests.bench.traps --port 11162 --rate 10000 --seconds 60 [--sources 100]

Each source is one address of 127.0.0.0/8; every trap is another (source, ifIndex) in turn. Prints
how many left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from collectors.snmp_codec.ber import Tag, encode_oid, integer, tlv
from tests.bench import farm

IF = "1.3.6.1.2.1.2.2.1"


def trap(down: bool, index: int, request: int = 4711) -> bytes:
    """Return RFC 3416's SNMPv2-Trap-PDU with IF-MIB linkDown or linkUp of port `index`."""

    binds = [
        encode_oid("1.3.6.1.2.1.1.3.0") + integer(4711, Tag.TIME_TICKS),
        encode_oid("1.3.6.1.6.3.1.1.4.1.0")
        + encode_oid("1.3.6.1.6.3.1.1.5." + ("3" if down else "4")),
        encode_oid(f"{IF}.1.{index}") + integer(index),
        encode_oid(f"{IF}.7.{index}") + integer(1),
        encode_oid(f"{IF}.8.{index}") + integer(2 if down else 1),
    ]
    listed = tlv(0x30, b"".join(tlv(0x30, bind) for bind in binds))
    pdu = tlv(0xA7, integer(request) + integer(0) + integer(0) + listed)
    return tlv(0x30, integer(1) + tlv(4, b"public") + pdu)


def sender(number: int, port: int) -> socket.socket:
    """Return a socket that sends from device `number`."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((farm.address(number), 0))
    sock.connect(("127.0.0.1", port))
    return sock


def send(port: int, rate: float, seconds: float, sources: Sequence[int], ports: int) -> int:
    """Send at `rate`; return how many were sent."""
    packets = [trap(down, i, 1000 + i) for down in (True, False) for i in range(1, ports + 1)]
    wanted, sent = int(rate * seconds), 0
    with contextlib.ExitStack() as closing:
        socks = [closing.enter_context(sender(number, port)) for number in sources]
        began = time.perf_counter()
        for n in range(wanted):
            packet = packets[(n // len(socks)) % len(packets)]
            with contextlib.suppress(OSError):
                socks[n % len(socks)].send(packet)
                sent += 1
            if n % 20 == 0:
                ahead = n / rate - (time.perf_counter() - began)
                if ahead > 0.001:
                    time.sleep(ahead)
    return sent


def storm(port: int, rate: float, seconds: float, sources: int = 100, core: int = -1) -> int:
    """Send from a process of its own; return how many were sent."""
    words = [sys.executable, "-m", "tests.bench.traps", "--port", str(port), "--rate", str(rate)]
    words += ["--seconds", str(seconds), "--sources", str(sources)]
    pinned = [] if core < 0 else ["taskset", "-c", str(core)]
    said = subprocess.run([*pinned, *words], capture_output=True, text=True, check=True).stdout
    return int(json.loads(said)["sent"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rate", type=float, default=10_000)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--sources", type=int, default=100)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--ports", type=int, default=48)
    a = parser.parse_args()
    numbers = range(a.first, a.first + a.sources)
    print(json.dumps({"sent": send(a.port, a.rate, a.seconds, numbers, a.ports)}))
