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

from collectors.snmp_poll import sealed
from collectors.snmp_poll.intake import Told, Turn, take
from collectors.snmp_poll.mmsg import Incoming, enlarge
from collectors.snmp_poll.request import new_ids
from collectors.snmp_poll.settings import SnmpPollSettings
from collectors.snmp_poll.squad import Rows, Squad
from collectors.snmp_poll.stats import Counts
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


class Line:
    """One socket for all squads of an address family."""

    def __init__(self, family: int, settings: SnmpPollSettings, counts: Counts) -> None:
        self._family = family
        self._settings = settings
        self._counts = counts
        self._loop: asyncio.AbstractEventLoop | None = None
        self._sock: socket.socket | None = None
        self._incoming: Incoming | None = None
        self._turns: list[Turn] = []
        self._ticking: asyncio.TimerHandle | None = None
        self._tick_due_s = 0.0
        self._draining: asyncio.TimerHandle | None = None
        self._reading = False
        self._strangers = False  # what was read last was not all asked for by us
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
                turn.lose(i)
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
        turn = Turn(volley, volley.began_s + most_s)
        self._turns.append(turn)
        if self._sock is None:  # closed meanwhile
            for i in np.flatnonzero(volley.open).tolist():
                turn.lose(i)
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

    def _end(self, turn: Turn) -> None:
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
        self._watch()

    def _watch(self) -> None:
        """See to it that time-outs are noticed while anybody is waited for."""
        if self._turns and self._ticking is None and self._loop is not None:
            # Answers are mostly fetched before, and then this is done with them: one waking less.
            self._tick_due_s = self._loop.time() + TICK_S
            self._ticking = self._loop.call_later(TICK_S + self._window.drain_s, self._tick)

    def _send(self, turn: Turn, packets: Rows) -> None:
        assert self._sock is not None
        assert self._loop is not None
        volley = turn.volley
        if not len(packets):
            return
        if volley.squad.secured:
            for i in sealed.seal(volley, packets, self._loop.time()):
                turn.lose(i)
            packets = packets[volley.sealed[packets]]
            if not len(packets):
                return
        try:
            count = volley.squad.outgoing.send(self._sock, packets)
        except OSError:
            # This one cannot be sent; why, a look at the device by itself will say.
            turn.lose(int(volley.squad.device[packets[0]]))
            volley.back(packets[1:])
            self._loop.call_soon(self._pump)
            return
        if count < len(packets):  # the socket is full: the next answer or tick tries again
            volley.back(packets[count:])
        sent = packets[:count]
        volley.sent(sent, self._loop.time())
        self._counts.sent += count

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
        try:
            if incoming.count and (full or not got or self._nothing_more(now)):
                got += incoming.count
                self._take()
            if self._ticking is not None and now >= self._tick_due_s and not full:
                self._ticking.cancel()
                self._tick()
        finally:  # whatever a bug of ours makes of it, fetching goes on
            self._wait(got, full)

    def _nothing_more(self, now: float) -> bool:
        """Whether to wait for further answers before those here are read would be in vain, or too
        long."""
        assert self._incoming is not None
        if self._strangers or self._out < 0 or (self._out == 0 and not self.queued):
            return True  # more came than is out: others send to us
        return now - float(self._incoming.arrived_s[0]) >= READ_AFTER_S

    def _wait(self, got: int, full: bool) -> None:
        """Send what may now be sent, and see to it that the next answers are fetched."""
        if self._sock is None or self._loop is None:
            return
        if got:
            self._pump()
        if full:
            if self._draining is not None:
                self._draining.cancel()
            self._draining = self._loop.call_later(0, self._drain)
        if self._draining is None and not self._reading:
            self._reading = True
            self._loop.add_reader(self._sock.fileno(), self._readable)

    def _take(self) -> None:
        """Read what is here."""
        assert self._loop is not None
        assert self._incoming is not None
        self._strangers = take(self._incoming, self._turns, self._counts, self._loop.time())
        for turn in list(self._turns):
            self._tell(turn)

    def _tick(self) -> None:
        self._ticking = None
        try:
            self._judge_overdue()
            self._pump()
        finally:
            self._watch()

    def _judge_overdue(self) -> None:
        """Read what is here, and find out what has been waited for too long."""
        assert self._loop is not None
        assert self._incoming is not None
        now = self._loop.time()
        if self._sock is not None:
            self._counts.received += self._incoming.receive(self._sock, now)
        if self._incoming.count:
            self._take()
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
                turn.lose(i)
            self._tell(turn)

    def _retries(self, volley: Volley) -> Callable[[int], int]:
        return lambda i: volley.squad.asked[i].peer.retries

    def _tell(self, turn: Turn) -> None:
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
