"""The floor of polling: GETs planned once, answers compared rather than decoded, nothing else.

No retries, no limits, no rates, rules or alarms, integers only: what a poller in Python cannot be
cheaper than. `python -m tests.bench.planned_get DEVICES` prints CPU seconds per million values.
"""

from __future__ import annotations

import json
import resource
import select
import socket
import sys
from array import array

from collectors.snmp_codec.ber import encode_oid, integer, tlv
from tests.bench import farm

MARK = b"\x52\x52\x52\x52"
PER_PACKET = 40
CYCLES = 3


def plan(oids: list[str]) -> tuple[bytes, bytes, list[bytes]]:
    """Return a GetRequest split around its request-id, and the names its answer must repeat."""
    names = [encode_oid(oid) for oid in oids]
    binds = tlv(0x30, b"".join(tlv(0x30, name + b"\x05\x00") for name in names))
    pdu = tlv(0xA0, tlv(2, MARK) + integer(0) + integer(0) + binds)
    packet = tlv(0x30, integer(1) + tlv(4, b"public") + pdu)
    at = packet.index(MARK)
    return packet[:at], packet[at + 4 :], names


def inside(data: bytes, at: int) -> int:
    """Return where the contents of the element at `at` begin."""
    return at + 2 if data[at + 1] < 128 else at + 2 + (data[at + 1] & 127)


def request_id(data: bytes) -> tuple[int, int]:
    """Return the request-id and the offset behind it."""
    at = inside(data, 0) + 3
    at = inside(data, at + 2 + data[at + 1])
    end = at + 2 + data[at + 1]
    return int.from_bytes(data[at + 2 : end], "big"), end


def read(data: bytes, at: int, names: list[bytes], out: array[float], where: int) -> bool:
    """Put the answer's integers into `out`; False where it is not the expected answer."""
    if data[at + 2]:
        return False
    at = inside(data, at + 6)
    starts, number = data.startswith, int.from_bytes
    for name in names:
        at += 2
        if not starts(name, at):
            return False
        at += len(name)
        if data[at] & 0x80:  # noSuchObject and its like: not a value
            return False
        end = at + 2 + data[at + 1]
        out[where] = number(data[at + 2 : end], "big", signed=data[at] == 2)
        where += 1
        at = end
    return True


def main(devices: int) -> None:
    indices = farm.ask("snmpwalk", "1.3.6.1.2.1.2.2.1.1").split()
    oids = [f"{column}.{index}" for column, _ in farm.COLUMNS.values() for index in indices]
    plans = [plan(oids[i : i + PER_PACKET]) for i in range(0, len(oids), PER_PACKET)]
    hosts = [(farm.address(i), farm.PORT) for i in range(devices)]
    out = array("d", bytes(8 * len(oids) * devices))
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 23)
    sock.setblocking(False)

    def cycle() -> int:
        total, sent, got, good = devices * len(plans), 0, 0, 0
        while got < total:
            while sent < total and sent - got < 64:
                host, k = divmod(sent, len(plans))
                head, tail, _ = plans[k]
                packet = head + (0x40000000 | sent).to_bytes(4, "big") + tail
                sock.sendto(packet, hosts[host])
                sent += 1
            if not select.select([sock], [], [], 2)[0]:
                break
            try:
                while True:
                    data, source = sock.recvfrom(65535)
                    got += 1
                    number, at = request_id(data)
                    host, k = divmod(number & 0x3FFFFFFF, len(plans))
                    where = host * len(oids) + k * PER_PACKET
                    good += source == hosts[host] and read(data, at, plans[k][2], out, where)
            except BlockingIOError:
                pass
        return good

    cycle()
    before = resource.getrusage(resource.RUSAGE_SELF)
    good = sum(cycle() for _ in range(CYCLES))
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    values = good / len(plans) * len(oids)
    print(json.dumps({"cpu_s_per_million_values": round(cpu / values * 1e6, 3)}))


if __name__ == "__main__":
    main(int(sys.argv[1]))
