"""What the simulated agents cost: `python tests/simulators/measure.py [DEVICES] [SECONDS]`.

Starts two hundred switches of 50 ports and asks them as a poller would (GETs of 40 OIDs, 10
columns every 5 s), flat out, and by GETBULK walks; prints the simulator's CPU seconds as JSON.
"""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from collectors.snmp_codec.ber import Tag, encode_oid, integer, tlv

COLUMNS = (
    *(f"1.3.6.1.2.1.31.1.1.1.{n}" for n in (6, 10, 7, 11)),
    *(f"1.3.6.1.2.1.2.2.1.{n}" for n in (7, 8, 13, 14, 19, 20)),
)
PORTS = 50
MARK = b"\x52\x52\x52\x52"
TICK = os.sysconf("SC_CLK_TCK")


def packet(tag: int, oids: list[str], first: int = 0, second: int = 0) -> tuple[bytes, bytes]:
    """A request split around the four octets of its request-id."""
    binds = tlv(0x30, b"".join(tlv(0x30, encode_oid(oid) + b"\x05\x00") for oid in oids))
    body = tlv(2, MARK) + integer(first) + integer(second) + binds
    whole = tlv(0x30, integer(1) + tlv(Tag.OCTET_STRING, b"public") + tlv(tag, body))
    at = whole.index(MARK)
    return whole[:at], whole[at + 4 :]


def cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def ask(
    plans: list[tuple[bytes, bytes]], hosts: list[tuple[str, int]], seconds: float, rate: float
) -> int:
    """Send at most `rate` requests a second (0: flat out, 64 in flight); returns the answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
        sock.setblocking(False)
        began, sent, got = time.monotonic(), 0, 0
        while (passed := time.monotonic() - began) < seconds:
            may = int(passed * rate) if rate else got + 64
            while sent < may:
                host, k = divmod(sent, len(plans))
                head, tail = plans[k]
                marked = head + (0x40000000 | sent).to_bytes(4, "big") + tail
                sock.sendto(marked, hosts[host % len(hosts)])
                sent += 1
            if not select.select([sock], [], [], 0.001 if rate else 0.5)[0]:
                may = sent
                continue
            try:
                while True:
                    sock.recv(65535)
                    got += 1
            except BlockingIOError:
                pass
        return got


def main() -> None:
    devices = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10.0
    root = Path(__file__).resolve().parents[2]
    text = (root / "simulators/scenarios/two_hundred.toml").read_text()
    with tempfile.TemporaryDirectory() as folder:
        scenario, ready = Path(folder, "scenario.toml"), Path(folder, "ready")
        scenario.write_text(text.replace("count = 200", f"count = {devices}"))
        command = [sys.executable, "-m", "simulators", "run", str(scenario), "--port", "0"]
        began = time.monotonic()
        with subprocess.Popen([*command, "--ready-file", str(ready)], cwd=root) as process:
            try:
                while not ready.exists():
                    time.sleep(0.02)
                print(json.dumps({"devices": devices, "start_s": time.monotonic() - began}))
                measure(process.pid, json.loads(ready.read_text()), devices, seconds)
            finally:
                process.terminate()


def measure(pid: int, ready: dict, devices: int, seconds: float) -> None:
    hosts = [(one["address"], one["port"]) for one in ready["devices"]]
    oids = [f"{column}.{index}" for column in COLUMNS for index in range(1, PORTS + 1)]
    gets = [packet(0xA0, oids[n : n + 40]) for n in range(0, len(oids), 40)]
    bulks = [packet(0xA5, [column], 0, 25) for column in COLUMNS]
    every = devices * len(gets) / 5.0
    for what, plans, rate in (("polled", gets, every), ("get", gets, 0.0), ("bulk", bulks, 0.0)):
        ask(plans, hosts, 1.0, rate)
        before, began = cpu_s(pid), time.monotonic()
        got = ask(plans, hosts, seconds, rate)
        cpu, took = cpu_s(pid) - before, time.monotonic() - began
        rss = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 2**20
        print(
            json.dumps(
                {
                    "what": what,
                    "answers_per_s": round(got / took),
                    "of_one_core": round(cpu / took, 3),
                    "answers_per_core_s": round(got / cpu) if cpu else None,
                    "rss_mb": round(rss, 1),
                }
            )
        )


if __name__ == "__main__":
    main()
