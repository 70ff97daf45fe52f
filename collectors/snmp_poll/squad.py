"""Devices asked together: their questions and the shape of their answers, as arrays.

Row p of each array is one packet. Answers are read as `parse.Packet.read` reads them by shape:
all octets but the values are those of the last answer. Here that is done for all answers that came
at once; an answer of another shape goes to `Packet.read`, which accepts or refuses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_poll.mmsg import Incoming, Outgoing, sockaddr
from collectors.snmp_poll.parse import KEEP, Packet, Shape
from collectors.snmp_poll.request import Peer
from collectors.snmp_poll.uptime import began_anew
from netopsd.core.fleet import NEGATIVE, Fleet, Member

Rows = NDArray[np.intp]
VERSION_3 = 3
AT_ONCE = 128  # answers: what is copied for them should stay in the processor's cache


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """One device of a squad: what it is asked, and what its numbers mean.

    `watched` are the places and values of the scalars that tell of changed rows; `plan` is what all
    this was made of, the same object while nothing of it has changed.
    """

    peer: Peer
    packets: tuple[Packet, ...]
    member: Member
    watched: tuple[tuple[int, int], ...]
    plan: object
    around: int = 0  # octets that SNMPv3 puts around a packet, at most

    def same(self, other: Asked) -> bool:
        """Whether the two ask the same of the same device."""
        mine, theirs = self.member, other.member
        return (
            self.peer is other.peer
            and self.plan is other.plan
            and self.watched == other.watched
            and mine.facts is theirs.facts
            and mine.errors == theirs.errors
            and self.around == other.around
        )


class Squad:
    """Some devices of one address family, and how they are read."""

    def __init__(self, asked: Sequence[Asked]) -> None:
        self.asked = tuple(asked)
        self.fleet = Fleet.of(tuple(one.member for one in asked))
        self.packets = [packet for one in asked for packet in one.packets]
        counts = np.array([len(one.packets) for one in asked], np.intp)
        self.ends = np.cumsum(counts)
        self.begins = self.ends - counts
        self.device: Rows = np.repeat(np.arange(len(asked), dtype=np.intp), counts)
        self.kinds = np.array([len(packet.kinds) for packet in self.packets], np.intp)
        self.timeout_s = np.array([one.peer.timeout_s for one in asked])[self.device]
        addresses = [sockaddr(one.peer.sock.family, one.peer.address) for one in asked]
        self.secured = asked[0].peer.security is not None  # SNMPv3, all of them
        self.outgoing = Outgoing(
            [(packet.head, packet.tail) for packet in self.packets],
            [addresses[i] for i in self.device.tolist()],
            max(one.around for one in asked),
        )
        told = np.frombuffer(b"".join(addresses), np.uint8).reshape(len(asked), -1)
        self.sources = told[self.device]
        self.any_source = np.array([one.peer.any_source for one in asked], np.bool_)[self.device]
        self._scratch = np.zeros(len(self.packets), np.intp)
        self._watch_slots()
        self._shapes()

    def _watch_slots(self) -> None:
        starts = self.fleet.starts
        places = [
            (i, starts[i] + slot) for i, one in enumerate(self.asked) for slot, _ in one.watched
        ]
        values = [value for one in self.asked for _, value in one.watched]
        self._watched = np.array(places, np.intp).reshape(-1, 2).T
        self._watched_values = np.array(values, np.uint64)
        self.uptime = self.fleet.clocks[0]

    def _shapes(self) -> None:
        rows = len(self.packets)
        widest = int(self.kinds.max(initial=1))
        self._size = np.zeros(rows, np.int64)
        self._mask = np.zeros((rows, 8), np.uint8)
        self._expect = np.zeros((rows, 8), np.uint8)
        self._at = np.zeros((rows, widest), np.uint16)
        self._keep = np.zeros((rows, widest), np.uint8)
        starts = np.array(self.fleet.starts, np.intp)[self.device]
        self._first: Rows = starts + np.array([p.first for p in self.packets], np.intp)
        self._values: Rows = np.arange(widest)
        for p, packet in enumerate(self.packets):
            if packet.shape is not None:
                self._learn(p, packet.shape)
            packet.shape = None  # it is here now

    def _learn(self, p: int, shape: Shape) -> None:
        if shape.size > self._mask.shape[1]:
            more = -(-shape.size // 8) * 8 - self._mask.shape[1]
            self._mask = np.pad(self._mask, ((0, 0), (0, more)))
            self._expect = np.pad(self._expect, ((0, 0), (0, more)))
        self._size[p] = shape.size
        self._mask[p], self._expect[p] = 0, 0
        self._mask[p, : shape.size] = shape.mask
        self._expect[p, : shape.size] = np.frombuffer(shape.expect, np.uint8)
        count = len(shape.at)
        self._at[p, :count] = shape.at
        self._keep[p, :count] = shape.widths

    def numbers(self) -> NDArray[np.uint64]:
        """Return room for one sweep's numbers, and one that nobody reads."""
        numbers = np.empty(self.fleet.size + 1, np.uint64)
        numbers[-2:] = 0
        return numbers

    def single(self, packets: Rows) -> NDArray[np.bool_]:
        """Return which answers are the only ones, or the latest, to their packets."""
        order = np.arange(len(packets))
        self._scratch[packets] = order
        single: NDArray[np.bool_] = self._scratch[packets] == order
        return single

    def read(
        self,
        incoming: Incoming,
        rows: Rows,
        sizes: NDArray[np.uint32],
        packets: Rows,
        numbers: NDArray[np.uint64],
    ) -> NDArray[np.bool_]:
        """Put the values of answers of known shape into `numbers`; return which answers are.

        `rows` are where the answers stand, of `sizes` octets each; `packets` what they answer.
        """
        fits = np.zeros(len(rows), np.bool_)
        for first in range(0, len(rows), AT_ONCE):
            part = slice(first, first + AT_ONCE)
            which, of = rows[part], packets[part]
            good = (sizes[part] == self._size[of]) & (sizes[part] <= incoming.width)
            if good.any():
                good &= self._as_ever(incoming, which, of)
                self._take(incoming, which[good], of[good], numbers)
            fits[part] = good
        return fits

    def _as_ever(self, incoming: Incoming, rows: Rows, packets: Rows) -> NDArray[np.bool_]:
        """Return which answers are as they always were, but for the values."""
        width = min(self._mask.shape[1], incoming.width)
        octets, expected = incoming.scratch(len(rows), width)
        _gather(self._mask, packets, octets)
        first = int(rows[0])
        together = int(rows[-1]) - first + 1 == len(rows)
        came = incoming.octets[first : first + len(rows)] if together else incoming.octets[rows]
        octets &= came[:, :width]
        _gather(self._expect, packets, expected)
        same: NDArray[np.bool_] = (octets.view(np.uint64) == expected.view(np.uint64)).all(axis=1)
        return same

    def _take(
        self, incoming: Incoming, rows: Rows, packets: Rows, numbers: NDArray[np.uint64]
    ) -> None:
        """Put the values of answers that are as ever into `numbers`."""
        words = np.ndarray((incoming.octets.size - 7,), ">u8", incoming.octets.data, 0, (1,))
        values = words[self._at[packets] + rows[:, None] * incoming.width].astype(np.uint64)
        values &= KEEP.take(self._keep[packets], mode="clip")
        slots = self._first[packets][:, None] + self._values
        kinds = self.kinds[packets]
        if (kinds != len(self._values)).any():
            spare = self.fleet.size  # one number more than the sweep's: what nobody reads
            slots = np.where(self._values < kinds[:, None], slots, spare)
        numbers[slots] = values

    def read_one(
        self, p: int, datagram: bytes, span: tuple[int, int], numbers: NDArray[np.uint64]
    ) -> bool:
        """Read an answer of another shape, and learn it; False where a value is not there.

        Raises DecodeError where it is no answer.
        """
        packet, i = self.packets[p], int(self.device[p])
        wrong: dict[int, str] = {}
        refused = packet.read(datagram, span, numbers[self.fleet.place(i)], wrong)
        if packet.shape is not None:
            self._learn(p, packet.shape)
            packet.shape = None
        return refused is None and not wrong

    def unchanged(
        self,
        numbers: NDArray[np.uint64],
        uptime: NDArray[np.float64],
        elapsed_s: NDArray[np.float64],
    ) -> NDArray[np.bool_]:
        """Return which devices' rows are those that were learnt: nothing watched has changed, and
        sysUpTime (`uptime` so long ago) did not begin anew."""
        good: NDArray[np.bool_] = ~began_anew(uptime, numbers[self.uptime], elapsed_s)
        good &= (numbers[self.fleet.clocks] < np.uint64(NEGATIVE)).all(axis=0)
        which, slots = self._watched
        other = numbers[slots] != self._watched_values
        if other.any():
            good[which[other]] = False
        return good


def _gather(source: NDArray[np.uint8], rows: Rows, out: NDArray[np.uint8]) -> None:
    """Copy some rows, as far as `out` is wide."""
    if source.shape[1] == out.shape[1]:
        np.take(source, rows, axis=0, out=out, mode="clip")  # several times as fast as the other
    else:
        out[:] = source[rows, : out.shape[1]]


_ID_FIELD = np.arange(6)  # tag, length, four octets


def answers(incoming: Incoming, sizes: NDArray[np.uint32]) -> tuple[Rows, NDArray[np.uint32]]:
    """Return the rows that may hold an answer to us, and its request-id; of SNMPv3 its msgID.

    Only where it stands is looked at (ours are of four octets); the rest is for who reads it.
    """
    octets, rows = incoming.octets, np.arange(len(sizes))
    first = octets[: len(sizes), 1].astype(np.intp)
    inner = 5 + np.where(first < 0x80, 0, first & 0x7F)  # behind the version
    at = inner + 2 + octets[rows, inner + 1]  # behind the community
    size = octets[rows, at + 1].astype(np.intp)
    at += 2 + np.where(size < 0x80, 0, size & 0x7F)
    whole = octets[rows, inner + 1].astype(np.intp)  # of SNMPv3's msgGlobalData
    global_data = inner + 2 + np.where(whole < 0x80, 0, whole & 0x7F)
    at = np.where(octets[rows, inner - 1] == VERSION_3, global_data, at)
    field = octets[rows[:, None], at[:, None] + _ID_FIELD]
    ours = (field[:, 0] == 2) & (field[:, 1] == 4) & (at + 6 <= sizes)
    ids = np.ascontiguousarray(field[:, 2:]).view(">u4")[:, 0].astype(np.uint32)
    return (rows, ids) if ours.all() else (rows[ours], ids[ours])
