"""Answers that have arrived, read for the volleys they are to. No sockets here.

An answer counts where it comes from the address asked and is what was expected; a device that
answers anything else is lost to its volley.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_codec.ber import DecodeError
from collectors.snmp_poll import sealed
from collectors.snmp_poll.mmsg import Incoming
from collectors.snmp_poll.parse import request_id
from collectors.snmp_poll.squad import Rows, answers
from collectors.snmp_poll.stats import Counts
from collectors.snmp_poll.volley import Volley

Told = NDArray[np.bool_] | int  # devices that are done, or one that is lost


class Turn:
    """A volley, and what is told of it."""

    def __init__(self, volley: Volley, until_s: float) -> None:
        self.volley = volley
        self.until_s = until_s
        self.told: asyncio.Queue[Told | None] = asyncio.Queue()
        self.first_done_s = 0.0  # of those not told of; 0.0: there is none

    def lose(self, i: int) -> None:
        """Give a device up, and tell of it."""
        if self.volley.open[i]:
            self.volley.lose(i)
            self.told.put_nowait(i)


def take(incoming: Incoming, turns: Sequence[Turn], counts: Counts, now: float) -> bool:
    """Find out what the datagrams that are here answer, and read them; there is room afterwards.

    Return whether some were not asked for by any of `turns`.
    """
    sizes = incoming.sizes
    incoming.clear()  # whatever becomes of them, they are read once
    rows, ids = answers(incoming, sizes)
    strange = len(rows) < len(sizes)
    counts.decode_errors += len(sizes) - len(rows)
    for turn in turns:
        if not len(rows):
            break
        packets = turn.volley.packets_of(ids)
        ours = packets >= 0
        if not ours.any():
            continue
        _read(turn, incoming, (rows[ours], packets[ours]), counts, now)
        if turn.first_done_s == 0.0 and (turn.volley.done & ~turn.volley.told).any():
            turn.first_done_s = now
        rows, ids = rows[~ours], ids[~ours]
    counts.late += len(rows)
    return strange or len(rows) > 0


def _read(
    turn: Turn, incoming: Incoming, of: tuple[Rows, Rows], counts: Counts, now: float
) -> None:
    """Read the answers to one volley's packets: `of` are their rows, and what they answer."""
    rows, packets = of
    squad, numbers = turn.volley.squad, turn.volley.numbers
    true = (incoming.sources[rows] == squad.sources[packets]).all(axis=1)
    true |= squad.any_source[packets]
    if not true.all():
        counts.wrong_source += int(np.count_nonzero(~true))
        rows, packets = rows[true], packets[true]
    if squad.secured:
        believed, others = sealed.opened(turn.volley, incoming, rows, packets, counts, now)
        rows, packets = rows[believed], packets[believed]
        for i in others:
            turn.lose(i)
    single = squad.single(packets)
    if not single.all():
        counts.late += int(np.count_nonzero(~single))
        rows, packets = rows[single], packets[single]
    fits = squad.read(incoming, rows, incoming.sizes_of(rows), packets, numbers)
    for n in np.flatnonzero(~fits).tolist():
        fits[n] = _read_one(turn, incoming, int(rows[n]), int(packets[n]), counts)
    fits &= turn.volley.waiting[packets]  # a device may be lost by another of its answers
    good = packets[fits]
    if not len(good):
        return
    counts.varbinds += int(squad.kinds[good].sum())
    turn.volley.answered(good, incoming.arrived_s[rows[fits]])


def _read_one(turn: Turn, incoming: Incoming, row: int, p: int, counts: Counts) -> bool:
    """Read an answer of another shape; True where all is there. Its device is lost where not,
    unless it speaks another version or community: then we go on waiting."""
    volley, datagram = turn.volley, incoming.datagram(row)
    i = int(volley.squad.device[p])
    try:
        opening, start, end = request_id(datagram)
        if not datagram.startswith(volley.squad.asked[i].peer.check, opening):
            counts.wrong_community += 1
            return False
        if volley.squad.read_one(p, datagram, (start, end), volley.numbers):
            return True
    except (IndexError, DecodeError):
        counts.decode_errors += 1
    turn.lose(i)
    return False
