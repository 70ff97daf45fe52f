"""The socket traps arrive at, opened here or handed over by systemd, and what it tells."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Mapping, Sequence

from collectors.snmp_trap.settings import address_and_port
from netopsd.errors import BadConfiguration

FIRST_PASSED_FD = 3  # sd_listen_fds(3)
NAME = "trap"
_MEMINFO = 55  # SO_MEMINFO, socket(7): nine u32, the last is what was dropped
_DROPS = 8
_PKTINFO = 8  # IP_PKTINFO, ip(7)
_RCVBUFFORCE = 33  # SO_RCVBUFFORCE: beyond net.core.rmem_max, with CAP_NET_ADMIN

Ancillary = Sequence[tuple[int, int, bytes]]


def passed_by_systemd(environment: Mapping[str, str], pid: int) -> socket.socket | None:
    """Return the datagram socket named "trap" that systemd handed to this process, or None."""
    if environment.get("LISTEN_PID") != str(pid):
        return None
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    for at in range(int(environment.get("LISTEN_FDS", "0") or 0)):
        name = names[at] if at < len(names) else ""
        if name in (NAME, "netopsd-trap.socket"):
            return socket.socket(fileno=os.dup(FIRST_PASSED_FD + at))
    return None


def opened(listen: str) -> socket.socket:
    """Return a socket bound to `listen`. Raises BadConfiguration where that is not possible."""
    host, port = address_and_port(listen)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind((host, port))
    except OSError as error:
        sock.close()
        raise BadConfiguration(
            [f"netopsd.toml: traps.listen: {listen}: {error.strerror}; another port, or the socket"
             " unit for ports below 1024"]
        ) from error  # fmt: skip
    return sock


def prepare(sock: socket.socket, receive_buffer: int) -> int:
    """Make `sock` ready; return the octets of receive buffer the kernel really gives."""
    sock.setblocking(False)
    try:
        sock.setsockopt(socket.SOL_SOCKET, _RCVBUFFORCE, receive_buffer)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setsockopt(socket.IPPROTO_IP, _PKTINFO, 1)
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
    return sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) // 2  # the kernel tells twice of it


def dropped(sock: socket.socket) -> int:
    """Return how many datagrams the kernel dropped at this socket since it was opened.

    The counter behind SO_RXQ_OVFL, which that tells only along with the next datagram.
    """
    said = sock.getsockopt(socket.SOL_SOCKET, _MEMINFO, 36)
    return int(struct.unpack("9I", said)[_DROPS])


def reply_from(ancillary: Ancillary) -> list[tuple[int, int, bytes]]:
    """Return what makes an answer leave from the address the question came to."""
    for level, kind, data in ancillary:
        if (level, kind) == (socket.IPPROTO_IP, _PKTINFO):
            return [(level, kind, bytes(4) + data[4:8] + bytes(4))]  # in_pktinfo: ipi_spec_dst
        if (level, kind) == (socket.IPPROTO_IPV6, socket.IPV6_PKTINFO):
            return [(level, kind, data)]
    return []
