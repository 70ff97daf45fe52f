"""One asking of a squad: what is to be sent, what is out, who has answered. No sockets here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_poll.squad import Rows, Squad

BACKOFF = 1.5  # each retry waits so much longer


class Volley:
    """The packets of a squad on their way, in rounds: a device is asked a few at a time.

    A device is done when all its packets are answered as expected, and lost when one of them is
    not; the lost are for somebody else to look at. `when_s` is when each device first answered.
    """

    def __init__(
        self, squad: Squad, wanted: NDArray[np.bool_], ids: NDArray[np.uint32], began_s: float,
        round_size: int,
    ) -> None:  # fmt: skip
        """`wanted` says which devices are asked, `ids` are the request-ids, one per packet."""
        count = len(squad.asked)
        self.squad = squad
        self.ids = ids
        self._order = np.argsort(ids)
        self._sorted = ids[self._order]
        self.numbers = squad.numbers()
        self.began_s = began_s
        self.when_s = np.zeros(count)
        self.done_s = np.zeros(count)
        self.left = squad.ends - squad.begins
        self.out = 0  # packets
        self.answer_s = began_s  # when the latest answer came
        self.open = wanted & (self.left > 0)  # neither done nor lost
        self.done = np.zeros(count, np.bool_)
        self.told = np.zeros(count, np.bool_)
        self.silent = np.zeros(count, np.bool_)  # lost, as no question was answered
        self.waiting = np.zeros(len(squad.packets), np.bool_)
        self.sealed = np.zeros(len(squad.packets), np.bool_)  # SNMPv3: made, and not sent yet
        self.sent_s = np.zeros(len(squad.packets))
        self.tries = np.zeros(len(squad.packets), np.intp)
        self.queue: deque[int] = deque()
        self._round = round_size
        self._next = squad.begins.copy()
        self._out = np.zeros(count, np.intp)  # of the round
        for i in np.flatnonzero(self.open).tolist():
            self._go_on(i)

    def _go_on(self, i: int) -> None:
        """Queue the next round of device `i`."""
        begin = int(self._next[i])
        end = min(begin + self._round, int(self.squad.ends[i]))
        self.queue.extend(range(begin, end))
        self._next[i] = end
        self._out[i] = end - begin

    def packets_of(self, ids: NDArray[np.uint32]) -> Rows:
        """Return which packet each request-id is of, -1 where none of them waits for an answer."""
        at = np.minimum(np.searchsorted(self._sorted, ids), len(self._sorted) - 1)
        found = self._order[at]
        return np.where((self._sorted[at] == ids) & self.waiting[found], found, -1)

    def sent(self, packets: Rows, now: float) -> None:
        """Take note that these packets are out."""
        self.out += len(packets)
        self.waiting[packets] = True
        self.sealed[packets] = False
        self.sent_s[packets] = now
        self.tries[packets] += 1

    def answered(self, packets: Rows, arrived_s: NDArray[np.float64]) -> None:
        """Take note of good answers to these packets, in the order they came."""
        self.out -= len(packets)
        self.answer_s = max(self.answer_s, float(arrived_s[-1]))
        self.waiting[packets] = False
        squad = self.squad
        devices = squad.device[packets]
        got = np.bincount(devices, minlength=len(squad.asked))
        self.left -= got
        self._out -= got
        first = self.when_s[devices] == 0
        self.when_s[devices[first][::-1]] = arrived_s[first][::-1]  # the earliest, written last
        self.done_s[devices] = arrived_s
        touched = got > 0
        done = touched & (self.left == 0) & self.open
        self.done |= done
        self.open &= ~done
        for i in np.flatnonzero(touched & (self._out == 0) & self.open).tolist():
            self._go_on(i)

    def overdue(self, now: float, retries: Callable[[int], int]) -> tuple[list[int], list[int]]:
        """Return the packets that have waited too long, and the devices lost by that.

        The others of them are queued again. Who has answered nothing at all is lost at once.
        """
        squad, out = self.squad, np.flatnonzero(self.waiting)
        patience = squad.timeout_s[out] * BACKOFF ** (self.tries[out] - 1)
        late = out[now - self.sent_s[out] > patience].tolist()
        lost: dict[int, None] = {}
        self.waiting[late] = False
        self.out -= len(late)
        for p in late:
            i = int(squad.device[p])
            if self.when_s[i] == 0 or self.tries[p] > retries(i):
                lost[i] = None
                self.silent[i] = self.when_s[i] == 0
            elif i not in lost:
                self.queue.append(p)
        return late, list(lost)

    def lose(self, i: int) -> None:
        """Give a device up: no answer of it counts any more."""
        self.open[i] = False
        span = slice(int(self.squad.begins[i]), int(self.squad.ends[i]))
        self.out -= int(np.count_nonzero(self.waiting[span]))
        self.waiting[span] = False

    def take(self, most: int) -> Rows:
        """Return up to `most` packets to be sent now, of devices that are not given up."""
        chosen: list[int] = []
        queue, device, opened = self.queue, self.squad.device, self.open
        while queue and len(chosen) < most:
            p = queue.popleft()
            if opened[device[p]]:
                chosen.append(p)
        return np.array(chosen, np.intp)

    def back(self, packets: Rows) -> None:
        """Queue packets again that could not be sent."""
        self.queue.extendleft(packets[::-1].tolist())

    def untold(self) -> NDArray[np.bool_]:
        """Return the devices that are done and not told of; they are told now."""
        fresh = self.done & ~self.told
        self.told |= fresh
        return fresh
