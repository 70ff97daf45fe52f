"""One UDP socket (two with IPv6) for all devices: requests out, their answers back, in time.

An answer is taken where its request-id is one of ours that waits, and it comes from the address
and port asked, in the version and community asked; in SNMPv3 where its msgID is, and `security.py`
believes it. Everything else is counted and dropped.
"""

from __future__ import annotations

import asyncio
import ipaddress
import os
import socket
from collections import deque
from typing import Any

from collectors.snmp_poll.door import Door
from collectors.snmp_poll.mmsg import enlarge
from collectors.snmp_poll.parse import VERSION_3, message_id, request_id
from collectors.snmp_poll.request import SMALLEST_ID, Address, Peer, Request, Verdict
from collectors.snmp_poll.settings import SnmpPollSettings
from collectors.snmp_poll.stats import Counts

TICK_S = 0.025  # how finely time-outs are told apart
DRAIN_S = 0.005  # while answers keep coming they are fetched so often, many at a time
BURST = 256  # answers taken before the event loop gets its turn
MOST_AGAIN = 3  # SNMPv3: engine id, its clock, and once more


class Transport:
    """Sends requests, at most so many unanswered at once, and finds whose answer it is."""

    def __init__(self, settings: SnmpPollSettings, counts: Counts) -> None:
        self._settings = settings
        self.counts = counts
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sockets: dict[int, socket.socket] = {}
        self._pending: dict[int, Request] = {}
        self._queue: deque[Request] = deque()
        self._wheel: dict[int, deque[Request]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._ids: list[int] = []
        self._out = 0
        self._most = settings.max_in_flight
        self.door = Door(max(1, self._most // 2))

    @property
    def in_flight(self) -> int:
        return self._out

    @property
    def waiting(self) -> int:
        return len(self._queue) + self.door.waiting

    async def start(self) -> None:
        """Open the sockets. IPv6 is left out on a machine that has none."""
        self._loop = asyncio.get_running_loop()
        self._open(socket.AF_INET, "0.0.0.0")
        try:
            self._open(socket.AF_INET6, "::")
        except OSError:
            return

    def _open(self, family: int, local: str) -> None:
        assert self._loop is not None
        sock = socket.socket(family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            enlarge(sock, self._settings.receive_buffer)
            sock.bind((local, 0))
        except OSError:
            sock.close()
            raise
        self._sockets[family] = sock
        self._loop.add_reader(sock.fileno(), self._readable, sock)

    async def close(self) -> None:
        """Close the sockets; what was under way fails."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for sock in self._sockets.values():
            if self._loop is not None:
                self._loop.remove_reader(sock.fileno())
            sock.close()
        self._sockets.clear()
        stopped, self._pending = list(self._pending.values()), {}
        queued, self._queue = list(self._queue), deque()
        self._wheel.clear()
        self._out = 0
        for request in {id(r): r for r in stopped + queued}.values():
            request.out, request.gone = False, True
            request.owner.failed(request, "the poller was closed")

    async def peer(self, address: str, port: int, check: bytes) -> Peer:
        """Return the device at `address` (a name is looked up). Raises OSError."""
        assert self._loop is not None, "start() first"
        found: list[Any]
        try:
            ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            found = await self._loop.getaddrinfo(address, port, type=socket.SOCK_DGRAM)
        else:  # needs no name server: may be done here
            only = socket.AI_NUMERICHOST
            found = socket.getaddrinfo(address, port, 0, socket.SOCK_DGRAM, 0, only)
        for each in found:
            sock = self._sockets.get(each[0])
            if sock is not None:
                return Peer(sock, each[4], check)
        raise OSError(f"no socket for the address of {address}")

    def send(self, request: Request) -> None:
        """Send `request` (again), now or when fewer are in flight."""
        if self._out >= self._most or self._queue:
            self._queue.append(request)
        else:
            self._send(request)

    def _send(self, request: Request) -> None:
        if request.gone:
            return
        number = request.id
        if not number:
            number = request.id = self._new_id()
        peer = request.peer
        assert self._loop is not None
        data = request.head + number.to_bytes(4, "big") + request.tail
        if peer.security is not None:
            # RFC 3412 section 6.2: each try has a msgID of its own; the request-id stays.
            number = self._new_id() if number in self._pending else number
            data = peer.security.seal(number, data, self._loop.time())
        try:
            peer.sock.sendto(data, peer.address)
        except BlockingIOError:
            self._queue.appendleft(request)
            self._arm()
            return
        except OSError as error:
            # Told later: the owner may send its next at once, and that may fail as well.
            self._loop.call_soon(request.owner.failed, request, str(error))
            return
        self._pending[number] = request
        if number != request.id:
            request.others += (number,)
        self._out += 1
        self.counts.sent += 1
        request.out = True
        request.tries += 1
        due = int((self._loop.time() + request.wait_s) / TICK_S) + 1
        request.due = due
        bucket = self._wheel.get(due)
        if bucket is None:
            self._wheel[due] = deque((request,))
            if self._timer is None:
                self._arm()
        else:
            bucket.append(request)

    def _new_id(self) -> int:
        while True:
            if not self._ids:
                self._ids = memoryview(os.urandom(4096)).cast("I").tolist()
            number = self._ids.pop() & 0x7FFFFFFF
            if number >= SMALLEST_ID and number not in self._pending:
                return number

    def forget(self, request: Request) -> None:
        """Stop waiting for `request`; an answer to it is late from now on."""
        self._settle(request)
        if self._queue:
            self._pump()

    def _settle(self, request: Request) -> None:
        request.gone = True
        for number in (request.id, *request.others):
            self._pending.pop(number, None)
        if request.out:
            request.out = False
            self._out -= 1

    def _pump(self) -> None:
        queue = self._queue
        while queue and self._out < self._most:
            request = queue.popleft()
            before = len(queue)
            self._send(request)
            if len(queue) > before:  # the socket is full: the next tick tries again
                return

    # Being woken costs more than reading an answer. So the first answer wakes us, and from then
    # on the socket is looked at by time, until nothing came; a busy poller wakes 200 times a
    # second whatever the number of devices, an idle one not at all.

    def _readable(self, sock: socket.socket) -> None:
        assert self._loop is not None
        self._loop.remove_reader(sock.fileno())
        self._drain(sock)

    def _drain(self, sock: socket.socket) -> None:
        assert self._loop is not None
        if sock.fileno() < 0:
            return
        before = self.counts.received
        try:
            self._receive(sock)
        finally:  # whatever a bug of ours makes of it, fetching goes on
            self._go_on(sock, self.counts.received - before)

    def _go_on(self, sock: socket.socket, got: int) -> None:
        assert self._loop is not None
        if sock.fileno() < 0:  # whoever got an answer closed us
            return
        if got >= BURST:
            self._loop.call_soon(self._drain, sock)
        elif got:
            self._loop.call_later(DRAIN_S, self._drain, sock)
        else:
            self._loop.add_reader(sock.fileno(), self._readable, sock)

    def _receive(self, sock: socket.socket) -> None:
        receive, take = sock.recvfrom, self._take
        try:
            for _ in range(BURST):
                take(*receive(65535))
        except BlockingIOError:
            pass
        except OSError:
            return  # a socket error of an earlier send (ICMP): its time-out tells

    def _take(self, data: bytes, source: Address) -> None:
        self.counts.received += 1
        if VERSION_3 in data[2:7]:
            self._take_v3(data, source)
            return
        try:
            opening, start, end = request_id(data)
        except IndexError:
            self._garbage(source)
            return
        request = self._pending.get(int.from_bytes(data[start:end], "big"))
        if request is None:
            self.counts.late += 1
            return
        peer = request.peer
        if source != peer.address and not peer.speaks(source):
            self.counts.wrong_source += 1
            return
        if peer.security is not None or not data.startswith(peer.check, opening):
            self.counts.wrong_community += 1
            request.owner.garbled = True
            return
        self._answered(request, data, (start, end))

    def _answered(self, request: Request, data: bytes, span: tuple[int, int]) -> None:
        self._settle(request)
        request.owner.answered(request, data, span)
        if self._queue:
            self._pump()

    def _take_v3(self, data: bytes, source: Address) -> None:
        try:
            span = message_id(data)
        except IndexError:
            self._garbage(source)
            return
        number = int.from_bytes(data[span[0] : span[1]], "big")
        request = self._pending.get(number)
        if request is None:
            self.counts.late += 1
            return
        peer = request.peer
        if not peer.speaks(source):
            self.counts.wrong_source += 1
        elif peer.security is None:
            self.counts.wrong_community += 1
            request.owner.garbled = True
        else:
            assert self._loop is not None
            told = peer.security.open(data, span, self._loop.time())
            if isinstance(told, bytes):
                self._take_inside(request, told)
            else:
                self._judged(request, told, number)

    def _take_inside(self, request: Request, data: bytes) -> None:
        """Take an authentic answer, if it is the one to this request."""
        try:
            _, start, end = request_id(data)
        except IndexError:
            self.counts.decode_errors += 1
            request.owner.garbled = True
            return
        if int.from_bytes(data[start:end], "big") != request.id:
            self.counts.late += 1
            return
        self._answered(request, data, (start, end))

    def _judged(self, request: Request, verdict: Verdict, message_id: int) -> None:
        """Ask again at once, or let the time-out stand: a true answer may still come."""
        if verdict is Verdict.AGAIN:
            latest = (request.id, *request.others)[-1]
            if request.out and message_id == latest and request.again < MOST_AGAIN:
                request.again += 1
                request.tries -= 1
                request.out = False
                self._out -= 1
                self.send(request)
                self._pump()
        elif verdict is Verdict.NOT_BELIEVED:
            self.counts.wrong_community += 1
        elif verdict is Verdict.MALFORMED:
            self.counts.decode_errors += 1
            request.owner.garbled = True

    def _garbage(self, source: Address) -> None:
        """Tell who waits for `source` that it talks, but not SNMP. Its time-out stands."""
        self.counts.decode_errors += 1
        for request in self._pending.values():
            if request.peer.address == source:
                request.owner.garbled = True
                return

    def _arm(self) -> None:
        if self._timer is None and self._loop is not None and self._sockets:
            self._timer = self._loop.call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        self._timer = None
        assert self._loop is not None
        try:
            self._judge_overdue(int(self._loop.time() / TICK_S))
            self._pump()
        finally:  # who is not judged for a bug of ours is judged by the next tick
            if self._wheel or self._queue:
                self._arm()

    def _judge_overdue(self, now: int) -> None:
        for due in sorted(tick for tick in self._wheel if tick <= now):
            bucket = self._wheel[due]
            while bucket:
                request = bucket.popleft()
                if request.out and request.due == due:
                    request.out = False
                    self._out -= 1
                    self.counts.timeouts += 1
                    request.owner.timed_out(request)
            self._wheel.pop(due, None)  # closed meanwhile, it is gone
