"""Whole squads out over one socket, their answers back: many datagrams with one call.

What `udp.Transport` is to one request, a `Line` is to the packets of many devices. An answer counts
where it comes from the address asked and is what was expected; who answers anything else, or not in
time, is lost to the volley and told of.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_codec.ber import DecodeError
from collectors.snmp_poll import sealed
from collectors.snmp_poll.mmsg import Incoming
from collectors.snmp_poll.parse import request_id
from collectors.snmp_poll.request import new_ids
from collectors.snmp_poll.settings import SnmpPollSettings
from collectors.snmp_poll.squad import Rows, Squad, answers
from collectors.snmp_poll.stats import Counts
from collectors.snmp_poll.udp import enlarge
from collectors.snmp_poll.volley import Volley
from collectors.snmp_poll.window import Window

TICK_S = 0.1  # how finely time-outs are told apart
STALL_S = 0.25  # without an answer: then devices that are done wait no longer for the others
BEFORE_S = 0.25  # what began so long ago is of another turn
TELL_S = 2.0  # nor do they wait longer than so
# Fetching answers and sending what they make room for is little work; reading them is more, and
# costs least for many at a time. So they are kept until so many are here, or the oldest is so old.
ROWS = 512
READ_AFTER_S = 0.1

Told = NDArray[np.bool_] | int  # devices that are done, or one that is lost


class _Turn:
    """A volley, and what is told of it."""

    def __init__(self, volley: Volley, until_s: float) -> None:
        self.volley = volley
        self.until_s = until_s
        self.told: asyncio.Queue[Told | None] = asyncio.Queue()
        self.first_done_s = 0.0  # of those not told of; 0.0: there is none


class Line:
    """One socket for all squads of an address family."""

    def __init__(self, family: int, settings: SnmpPollSettings, counts: Counts) -> None:
        self._family = family
        self._settings = settings
        self._counts = counts
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sock: socket.socket | None = None
        self._incoming: Incoming | None = None
        self._turns: list[_Turn] = []
        self._ticking: asyncio.TimerHandle | None = None
        self._tick_due_s = 0.0
        self._draining: asyncio.TimerHandle | None = None
        self._reading = False
        self._window = Window(settings.max_in_flight)

    @property
    def in_flight(self) -> int:
        return sum(turn.volley.out for turn in self._turns)

    @property
    def _out(self) -> int:
        """How many answers are still to come, as far as those that are here are ours."""
        assert self._incoming is not None
        return self.in_flight - self._incoming.count

    @property
    def queued(self) -> int:
        return sum(len(turn.volley.queue) for turn in self._turns)

    def start(self) -> None:
        """Open the socket. Raises OSError."""
        self._loop = asyncio.get_running_loop()
        sock = socket.socket(self._family, socket.SOCK_DGRAM)
        try:
            sock.setblocking(False)
            if self._family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            enlarge(sock, self._settings.receive_buffer)
            sock.bind(("", 0))
        except OSError:
            sock.close()
            raise
        # Answers are estimated at `packet_octets`; a longer one is read, but not as quickly.
        self._sock = sock
        self._incoming = Incoming(ROWS, 3 * self._settings.packet_octets // 2)

    def close(self) -> None:
        """Close the socket; devices under way are lost."""
        for timer in (self._ticking, self._draining):
            if timer is not None:
                timer.cancel()
        self._ticking = self._draining = None
        if self._sock is not None and self._loop is not None:
            self._loop.remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
        for turn in list(self._turns):
            for i in np.flatnonzero(turn.volley.open).tolist():
                self._lose(turn, i)
            self._tell(turn)

    async def fire(
        self, squad: Squad, wanted: NDArray[np.bool_], most_s: float
    ) -> AsyncIterator[tuple[Volley, Told]]:
        """Ask the `wanted` devices of `squad`. Yields which are done, as they come, and each one
        that is lost, be it because it takes more than `most_s`; ends when every device is either.
        """
        assert self._loop is not None, "start() first"
        self._window.turn(self._behind(), self._loop.time())
        ids = new_ids(len(squad.packets), [turn.volley.ids for turn in self._turns])
        volley = Volley(squad, wanted, ids, self._loop.time(), self._settings.device_in_flight)
        if not squad.secured:
            squad.outgoing.stamp(volley.ids)
        turn = _Turn(volley, volley.began_s + most_s)
        self._turns.append(turn)
        try:
            self._pump()
            self._tell(turn)
            while (told := await turn.told.get()) is not None:
                yield volley, told
        finally:
            self._end(turn)

    def _behind(self) -> bool:
        """Whether a turn before this one is not all sent yet."""
        assert self._loop is not None
        before_s = self._loop.time() - BEFORE_S
        return any(t.volley.queue and t.volley.began_s < before_s for t in self._turns)

    def _end(self, turn: _Turn) -> None:
        """Forget a turn, answered or not."""
        if turn in self._turns:
            self._turns.remove(turn)
        for i in np.flatnonzero(turn.volley.open).tolist():
            turn.volley.lose(i)

    def _pump(self) -> None:
        """Send what waits, as far as so many may be out."""
        if self._sock is None or self._loop is None:
            return
        for turn in list(self._turns):
            room = self._window.size - self._out
            if room <= 0:
                break
            self._send(turn, turn.volley.take(room))
        if self._draining is None and self.in_flight:
            self._stop_reading()
            self._draining = self._loop.call_later(self._window.drain_s, self._drain)
        if self._turns and self._ticking is None:
            # Answers are mostly fetched before, and then this is done with them: one waking less.
            self._tick_due_s = self._loop.time() + TICK_S
            self._ticking = self._loop.call_later(TICK_S + self._window.drain_s, self._tick)

    def _send(self, turn: _Turn, packets: Rows) -> None:
        assert self._sock is not None
        assert self._loop is not None
        volley = turn.volley
        if not len(packets):
            return
        if volley.squad.secured:
            sealed.seal(volley.squad, packets, volley.ids, self._loop.time())
        try:
            count = volley.squad.outgoing.send(self._sock, packets)
        except OSError:
            # This one cannot be sent; why, a look at the device by itself will say.
            self._lose(turn, int(volley.squad.device[packets[0]]))
            volley.back(packets[1:])
            self._loop.call_soon(self._pump)
            return
        if count < len(packets):  # the socket is full: the next answer or tick tries again
            volley.back(packets[count:])
        sent = packets[:count]
        volley.sent(sent, self._loop.time())
        self._counts.sent += count

    def _lose(self, turn: _Turn, i: int) -> None:
        if turn.volley.open[i]:
            turn.volley.lose(i)
            turn.told.put_nowait(i)

    # Being woken costs more than reading an answer: the first one wakes us, the next are fetched by
    # time until none came (as in udp.py).

    def _readable(self) -> None:
        self._stop_reading()
        self._drain()

    def _stop_reading(self) -> None:
        if self._reading and self._loop is not None and self._sock is not None:
            self._loop.remove_reader(self._sock.fileno())
        self._reading = False

    def _drain(self) -> None:
        self._draining = None
        if self._sock is None or self._loop is None or self._incoming is None:
            return
        incoming, now = self._incoming, self._loop.time()
        got = incoming.receive(self._sock, now)
        self._counts.received += got
        full = not incoming.room
        if incoming.count and (full or not got or self._nothing_more(now)):
            self._take()
        if self._ticking is not None and now >= self._tick_due_s:
            self._ticking.cancel()
            self._tick()
        self._wait(got, full)

    def _nothing_more(self, now: float) -> bool:
        """Whether to wait for further answers before those here are read would be in vain, or too
        long."""
        assert self._incoming is not None
        if self._out <= 0 and not self.queued:
            return True
        return now - float(self._incoming.arrived_s[0]) >= READ_AFTER_S

    def _wait(self, got: int, full: bool) -> None:
        """Send what may now be sent, and see to it that the next answers are fetched."""
        if self._sock is None or self._loop is None:
            return
        if full:
            self._draining = self._loop.call_later(0, self._drain)
        if got:
            self._pump()
        if self._draining is None and not self._reading:
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def _take(self) -> None:
        """Find out what the datagrams that are here answer, and read them."""
        assert self._loop is not None
        assert self._incoming is not None
        now, sizes = self._loop.time(), self._incoming.sizes
        rows, ids = answers(self._incoming, sizes)
        self._counts.decode_errors += len(sizes) - len(rows)
        for turn in list(self._turns):
            if not len(rows):
                break
            packets = turn.volley.packets_of(ids)
            ours = packets >= 0
            if not ours.any():
                continue
            self._read(turn, rows[ours], packets[ours], sizes)
            if turn.first_done_s == 0.0 and (turn.volley.done & ~turn.volley.told).any():
                turn.first_done_s = now
            self._tell(turn)
            rows, ids = rows[~ours], ids[~ours]
        self._counts.late += len(rows)
        self._incoming.clear()

    def _read(self, turn: _Turn, rows: Rows, packets: Rows, sizes: NDArray[np.uint32]) -> None:
        """Read the answers to one volley's packets."""
        assert self._loop is not None
        assert self._incoming is not None
        squad, numbers = turn.volley.squad, turn.volley.numbers
        true = (self._incoming.sources[rows] == squad.sources[packets]).all(axis=1)
        true |= squad.any_source[packets]
        if not true.all():
            self._counts.wrong_source += int(np.count_nonzero(~true))
            rows, packets = rows[true], packets[true]
        if squad.secured:
            believed, others = sealed.opened(
                turn.volley, self._incoming, rows, packets, self._counts, self._loop.time()
            )
            rows, packets = rows[believed], packets[believed]
            for i in others:
                self._lose(turn, i)
        single = squad.single(packets)
        if not single.all():
            self._counts.late += int(np.count_nonzero(~single))
            rows, packets = rows[single], packets[single]
        fits = squad.read(self._incoming, rows, sizes[rows], packets, numbers)
        for n in np.flatnonzero(~fits).tolist():
            fits[n] = self._read_one(turn, int(rows[n]), int(packets[n]), int(sizes[rows[n]]))
        fits &= turn.volley.waiting[packets]  # a device may be lost by another of its answers
        good = packets[fits]
        if not len(good):
            return
        self._counts.varbinds += int(squad.kinds[good].sum())
        turn.volley.answered(good, self._incoming.arrived_s[rows[fits]])

    def _read_one(self, turn: _Turn, row: int, p: int, size: int) -> bool:
        """Read an answer of another shape; True where all is there. Its device is lost where not,
        unless it speaks another version or community: then we go on waiting."""
        assert self._incoming is not None
        volley, datagram = turn.volley, self._incoming.datagram(row, size)
        i = int(volley.squad.device[p])
        try:
            opening, start, end = request_id(datagram)
            if not datagram.startswith(volley.squad.asked[i].peer.check, opening):
                self._counts.wrong_community += 1
                return False
            if volley.squad.read_one(p, datagram, (start, end), volley.numbers):
                return True
        except (IndexError, DecodeError):
            self._counts.decode_errors += 1
        self._lose(turn, i)
        return False

    def _tick(self) -> None:
        self._ticking = None
        assert self._loop is not None
        assert self._incoming is not None
        if self._incoming.count:
            self._take()
        now = self._loop.time()
        for turn in list(self._turns):
            volley = turn.volley
            late, lost = volley.overdue(now, self._retries(volley))
            self._counts.timeouts += len(late)
            lost_ones = set(lost)
            others = sum(int(volley.squad.device[p]) not in lost_ones for p in late)
            self._window.lost(others, volley.out, now)
            if now > turn.until_s:  # who is so slow is asked by itself, where nobody waits for it
                lost = np.flatnonzero(volley.open).tolist()
            for i in lost:
                self._lose(turn, i)
            self._tell(turn)
        self._pump()

    def _retries(self, volley: Volley) -> Callable[[int], int]:
        return lambda i: volley.squad.asked[i].peer.retries

    def _tell(self, turn: _Turn) -> None:
        """Hand over who is done, when all are done or lost, or some have been for a while."""
        assert self._loop is not None
        volley = turn.volley
        over = not volley.open.any()
        now, first = self._loop.time(), turn.first_done_s
        waited = first > 0.0 and (now - first >= TELL_S or now - volley.answer_s >= STALL_S)
        if over or waited:
            turn.first_done_s = 0.0
            fresh = volley.untold()
            if fresh.any():
                turn.told.put_nowait(fresh)
        if over and turn in self._turns:
            self._turns.remove(turn)
            turn.told.put_nowait(None)
