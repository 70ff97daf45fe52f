"""One process that is ten thousand SNMPv2c agents: faster than any poller, and no measure of one.

It answers on every address of 127.0.0.0/8 with the same interface table, whose counters move with
time. An answer is encoded once a second for each request seen and then repeated with the request-id
changed, so it costs some 15 µs. Every `--dead-every`-th address never answers.

    python -m tests.bench.agent --port 11161 --rows 48 [--dead-every 20]
"""

from __future__ import annotations

import argparse
import bisect
import socket
import time

from collectors.snmp_codec.ber import DecodeError, Tag
from collectors.snmp_codec.message import (
    GET,
    GETBULK,
    RESPONSE,
    Message,
    Pdu,
    VarBind,
    decode,
    encode,
)

IF, IFX = "1.3.6.1.2.1.2.2.1", "1.3.6.1.2.1.31.1.1.1"
FRESH_S = 1.0
PKTINFO = 8  # IP_PKTINFO


def dead(address: bytes, every: int) -> bool:
    """Return whether the device at `address` (four octets) never answers."""
    number = (address[2] - 1) * 250 + address[3] - 1
    return bool(every) and number % every == every - 1


def mib(rows: int, seconds: float) -> dict[tuple[int, ...], tuple[int, int | bytes]]:
    """Return the whole tree as it is after `seconds`."""
    found: dict[str, tuple[int, int | bytes]] = {
        "1.3.6.1.2.1.1.3.0": (Tag.TIME_TICKS, int(seconds * 100)),
        "1.3.6.1.2.1.2.1.0": (Tag.INTEGER, rows),
    }
    for i in range(1, rows + 1):
        found[f"{IF}.1.{i}"] = (Tag.INTEGER, i)
        found[f"{IF}.2.{i}"] = (Tag.OCTET_STRING, f"port {i}".encode())
        found[f"{IF}.7.{i}"] = found[f"{IF}.8.{i}"] = (Tag.INTEGER, 1)
        for column in (13, 14, 19, 20):
            found[f"{IF}.{column}.{i}"] = (Tag.COUNTER32, 1000 * i + int(seconds / 60))
        found[f"{IFX}.1.{i}"] = (Tag.OCTET_STRING, f"ge-0/0/{i}".encode())
        for column in (6, 7, 10, 11):
            moved = int(seconds * 1_250_000 * column)
            found[f"{IFX}.{column}.{i}"] = (Tag.COUNTER64, 2**40 * i + moved)
    return {tuple(map(int, oid.split("."))): value for oid, value in found.items()}


class Agent:
    """Answers by the octets of the question."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._began = time.monotonic()
        self._until = 0.0
        self._known: dict[bytes, tuple[bytes, bytes]] = {}

    def answer(self, data: bytes, now: float) -> bytes | None:
        """Return the answer to `data`; None where it cannot be read."""
        if now > self._until:
            self._known.clear()
            self._until = now + FRESH_S
            self._mib = mib(self._rows, now - self._began)
            self._order = sorted(self._mib)
        start = _id_at(data)
        key = data[:start] + data[start + 4 :]
        known = self._known.get(key)
        if known is None:
            try:
                whole = self._encode(data)
            except DecodeError:
                return None
            at = _id_at(whole)
            known = self._known[key] = (whole[:at], whole[at + 4 :])
        return known[0] + data[start : start + 4] + known[1]

    def _encode(self, data: bytes) -> bytes:
        message = decode(data)
        pdu = message.pdu
        if not isinstance(pdu, Pdu):
            raise DecodeError("a v1 trap")
        if pdu.tag == GET:
            binds = [self._get(bind.oid) for bind in pdu.varbinds]
        else:
            many = max(1, pdu.error_index) if pdu.tag == GETBULK else 1
            binds = self._bulk([bind.oid for bind in pdu.varbinds], many)
        reply = Pdu(RESPONSE, pdu.request_id, 0, 0, tuple(binds))
        return encode(Message(message.version, message.community, reply))

    def _get(self, oid: str) -> VarBind:
        found = self._mib.get(tuple(map(int, oid.split("."))))
        return VarBind(oid, *found) if found else VarBind(oid, Tag.NO_SUCH_INSTANCE, None)

    def _bulk(self, oids: list[str], many: int) -> list[VarBind]:
        binds: list[VarBind] = []
        for _ in range(many):
            for i, oid in enumerate(oids):
                at = bisect.bisect_right(self._order, tuple(map(int, oid.split("."))))
                if at == len(self._order):
                    binds.append(VarBind(oid, Tag.END_OF_MIB_VIEW, None))
                    continue
                oids[i] = ".".join(map(str, self._order[at]))
                binds.append(VarBind(oids[i], *self._mib[self._order[at]]))
        return binds


def _id_at(data: bytes) -> int:
    """Return where the four octets of the request-id stand (pollers here send no shorter one)."""
    at = (2 if data[1] < 0x80 else 2 + (data[1] & 0x7F)) + 3
    at += 2 + data[at + 1]
    at += 2 if data[at + 1] < 0x80 else 2 + (data[at + 1] & 0x7F)
    return at + 2


def serve(port: int, rows: int, dead_every: int) -> None:
    """Answer until ended."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 24)
    sock.setsockopt(socket.IPPROTO_IP, PKTINFO, 1)
    sock.bind(("0.0.0.0", port))
    agent = Agent(rows)
    while True:
        data, ancillary, _, peer = sock.recvmsg(65535, 64)
        info = ancillary[0][2]  # struct in_pktinfo: index, local address, destination address
        if dead(info[8:12], dead_every):
            continue
        said = agent.answer(data, time.monotonic())
        if said is not None:
            source = (socket.IPPROTO_IP, PKTINFO, bytes(4) + info[8:12] + bytes(4))
            sock.sendmsg([said], [source], 0, peer)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=11161)
    parser.add_argument("--rows", type=int, default=48)
    parser.add_argument("--dead-every", type=int, default=0)
    arguments = parser.parse_args()
    serve(arguments.port, arguments.rows, arguments.dead_every)
