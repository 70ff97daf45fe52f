"""Many datagrams with one call of the kernel: sendmmsg(2) and recvmmsg(2).

Python knows neither. Both take an array of headers (struct mmsghdr, struct iovec), which is laid
out once here and then only pointed at. Linux on a 64-bit machine; `AVAILABLE` says whether that is
so, and where it is not nobody should make these.
"""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import struct
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_poll.request import Address

LONGEST = 65_536  # no UDP datagram is longer
NARROWEST = 1024  # octets; whatever a header says of lengths of one octet ends before
LINE = 64  # octets of the processor's cache that are fetched together
SOURCE = 28  # octets of a struct sockaddr_in6; a sockaddr_in has 16
_HEADER = np.dtype(
    [
        ("name", "u8"), ("name_size", "u4"), ("_1", "u4"), ("parts", "u8"), ("part_count", "u8"),
        ("control", "u8"), ("control_size", "u8"), ("flags", "u4"), ("_2", "u4"), ("size", "u4"),
        ("_3", "u4"),
    ]
)  # fmt: skip
_PART = np.dtype([("base", "u8"), ("size", "u8")])
_libc = ctypes.CDLL(None, use_errno=True)
AVAILABLE = (
    sys.platform == "linux"
    and ctypes.sizeof(ctypes.c_void_p) == 8
    and hasattr(_libc, "sendmmsg")
    and hasattr(_libc, "recvmmsg")
)
if AVAILABLE:
    _send = _libc.sendmmsg
    _send.argtypes = (ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int)
    _receive = _libc.recvmmsg
    _receive.argtypes = (
        *(ctypes.c_int, ctypes.c_void_p, ctypes.c_uint, ctypes.c_int), ctypes.c_void_p,
    )  # fmt: skip


def sockaddr(family: int, address: Address) -> bytes:
    """Return an address as the kernel writes it, padded to `SOURCE` octets.

    IPv6 flow labels are left out: an answer need not carry the question's.
    """
    host, port = address[0], address[1]
    head = struct.pack("=H", family) + struct.pack("!H", port)
    if family == socket.AF_INET:
        return (head + socket.inet_aton(host)).ljust(SOURCE, b"\0")
    scope = struct.pack("=I", address[3] if len(address) > 3 else 0)
    return head + bytes(4) + socket.inet_pton(family, host.partition("%")[0]) + scope


def enlarge(sock: socket.socket, octets: int) -> None:
    """Let `sock` keep so much that has not been read, or as much as we may."""
    # SO_RCVBUFFORCE goes beyond net.core.rmem_max and needs CAP_NET_ADMIN.
    force = getattr(socket, "SO_RCVBUFFORCE", 33)
    try:
        sock.setsockopt(socket.SOL_SOCKET, force, octets)
    except OSError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, octets)


class Outgoing:
    """Datagrams that are sent again and again, each with four octets that change."""

    def __init__(
        self, datagrams: Sequence[tuple[bytes, bytes]], addresses: Sequence[bytes], spare: int = 0
    ) -> None:
        """`datagrams` are what stands before and behind the four octets; `addresses` whereto.

        There is room for `spare` octets more than the longest of them (`put`).
        """
        count = len(datagrams)
        widest = max((len(head) + 4 + len(tail) for head, tail in datagrams), default=0) + spare
        self._octets = np.zeros((count, widest), np.uint8)
        self._stamp_at = np.zeros(count, np.intp)
        self._names = np.frombuffer(b"".join(addresses), np.uint8).reshape(count, SOURCE).copy()
        self._parts = np.zeros(count, _PART)
        self._headers = np.zeros(count, _HEADER)
        for row, (head, tail) in enumerate(datagrams):
            whole = head + bytes(4) + tail
            self._octets[row, : len(whole)] = np.frombuffer(whole, np.uint8)
            self._stamp_at[row] = row * widest + len(head)
            self._parts[row] = (self._octets.ctypes.data + row * widest, len(whole))
            short = addresses[row][:2] == struct.pack("=H", socket.AF_INET)
            self._headers["name_size"][row] = 16 if short else SOURCE
        self._flat = self._octets.reshape(-1)
        rows = np.arange(count, dtype=np.uint64)
        self._headers["name"] = self._names.ctypes.data + rows * SOURCE
        self._headers["parts"] = self._parts.ctypes.data + rows * _PART.itemsize
        self._headers["part_count"] = 1

    def stamp(self, numbers: NDArray[np.uint32]) -> None:
        """Write one number (big-endian) into the four octets of each datagram."""
        four = numbers.astype(">u4").view(np.uint8).reshape(-1, 4)
        self._flat[self._stamp_at[:, None] + np.arange(4)] = four

    def put(self, row: int, datagram: bytes) -> bool:
        """Have another datagram instead of one; False, and nothing done, without room for it."""
        if len(datagram) > self._octets.shape[1]:
            return False
        self._octets[row, : len(datagram)] = np.frombuffer(datagram, np.uint8)
        self._parts["size"][row] = len(datagram)
        return True

    def send(self, sock: socket.socket, which: NDArray[np.intp]) -> int:
        """Send these datagrams; return how many went, fewer where the socket is full.

        Raises OSError where the very first cannot be sent.
        """
        headers = self._headers[which]
        sent: int = _send(sock.fileno(), headers.ctypes.data, len(headers), 0)
        if sent >= 0:
            return sent
        code = ctypes.get_errno()
        if code in (errno.EAGAIN, errno.ENOBUFS, errno.EINTR):
            return 0
        raise OSError(code, os.strerror(code))


class Incoming:
    """Room for many datagrams, the first `width` octets of each close together in `octets`.

    They are kept, `count` of them, until `clear`; `arrived_s` is when each was fetched. The rest of
    a longer one stands elsewhere, in room that is no memory until it is written to.
    """

    def __init__(self, rows: int, width: int) -> None:
        # Rows an even number of lines apart would share too few lines of the cache.
        self.width = (-(-max(width, NARROWEST) // LINE) | 1) * LINE
        self.rows = rows
        self.octets = np.zeros((rows, self.width), np.uint8)
        self.sources = np.zeros((rows, SOURCE), np.uint8)
        self._rest = np.empty((rows, LONGEST), np.uint8)
        self._parts = np.zeros((rows, 2), _PART)
        self._headers = np.zeros(rows, _HEADER)
        at = np.arange(rows, dtype=np.uint64)
        self._parts["base"][:, 0] = self.octets.ctypes.data + at * self.width
        self._parts["size"][:, 0] = self.width
        self._parts["base"][:, 1] = self._rest.ctypes.data + at * LONGEST
        self._parts["size"][:, 1] = LONGEST
        self._headers["name"] = self.sources.ctypes.data + at * SOURCE
        self._headers["parts"] = self._parts.ctypes.data + at * 2 * _PART.itemsize
        self._headers["part_count"] = 2
        self._headers["name_size"] = SOURCE
        self._first = self._headers.ctypes.data
        self._scratch = np.empty(0, np.uint8)
        self.arrived_s = np.zeros(rows)
        self.count = 0

    @property
    def room(self) -> int:
        return self.rows - self.count

    @property
    def sizes(self) -> NDArray[np.uint32]:
        """Return the size of each datagram that is kept."""
        return self._headers["size"][: self.count]

    def receive(self, sock: socket.socket, now: float) -> int:
        """Take what has arrived, as far as there is room; return how many datagrams that is."""
        first = self._first + self.count * _HEADER.itemsize
        got: int = max(_receive(sock.fileno(), first, self.room, 0, None), 0)
        self.arrived_s[self.count : self.count + got] = now
        self.count += got
        return got

    def scratch(self, rows: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
        """Return two arrays to work in, the same memory each time."""
        size = rows * width
        if 2 * size > len(self._scratch):
            self._scratch = np.empty(2 * size, np.uint8)
        one, other = self._scratch[:size], self._scratch[size : 2 * size]
        return one.reshape(rows, width), other.reshape(rows, width)

    def put(self, row: int, datagram: bytes) -> None:
        """Have another datagram instead of one that is kept."""
        near = datagram[: self.width]
        self.octets[row, : len(near)] = np.frombuffer(near, np.uint8)
        rest = datagram[self.width :]
        self._rest[row, : len(rest)] = np.frombuffer(rest, np.uint8)
        self._headers["size"][row] = len(datagram)

    def clear(self) -> None:
        """Make room. What was kept can be read until `receive` is called again."""
        self.count = 0

    def sizes_of(self, rows: NDArray[np.intp]) -> NDArray[np.uint32]:
        """Return the sizes of some datagrams, be they cleared or not."""
        return self._headers["size"][rows]

    def datagram(self, row: int) -> bytes:
        """Return one datagram."""
        size = int(self._headers["size"][row])
        if size <= self.width:
            return bytes(self.octets[row, :size])
        return bytes(self.octets[row]) + bytes(self._rest[row, : size - self.width])
