"""SNMPv3 for devices asked together: their packets sealed one by one, their answers opened.

What is inside an answer is put where the answer stood, so that from there on it is read with all
others, by the shape of its octets (`squad.py`). Each datagram costs one digest and one cipher.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from collectors.snmp_poll.mmsg import Incoming
from collectors.snmp_poll.parse import message_id, request_id
from collectors.snmp_poll.request import Verdict
from collectors.snmp_poll.squad import Rows
from collectors.snmp_poll.stats import Counts
from collectors.snmp_poll.volley import Volley


def seal(volley: Volley, packets: Rows, now: float) -> list[int]:
    """Make the datagrams of these packets, msgID and request-id being the same number.

    One that is sent again has them again, with a time and a salt of its own: whichever try an
    answer is to, it is the one waited for. Returns the devices whose datagrams have no room (their
    engine id has grown), which have to be looked at by themselves.
    """
    squad, others = volley.squad, []
    for p in packets[~volley.sealed[packets]].tolist():
        number, packet, i = int(volley.ids[p]), squad.packets[p], int(squad.device[p])
        security = squad.asked[i].peer.security
        assert security is not None, "squads are of one kind"
        message = packet.head + number.to_bytes(4, "big") + packet.tail
        volley.sealed[p] = squad.outgoing.put(p, security.seal(number, message, now))
        if not volley.sealed[p]:
            others.append(i)
    return others


def opened(
    volley: Volley, incoming: Incoming, rows: Rows, packets: Rows, counts: Counts, now: float
) -> tuple[NDArray[np.bool_], list[int]]:
    """Open the answers in `rows` to `packets` of a volley, in place.

    Return which of them are to be read, and the devices that have to be looked at by themselves, as
    they say something else. What is not believed is counted: the true answer may still come.
    """
    squad, ids = volley.squad, volley.ids
    good = np.zeros(len(rows), np.bool_)
    others: list[int] = []
    for n, (row, p) in enumerate(zip(rows.tolist(), packets.tolist(), strict=True)):
        i = int(squad.device[p])
        security = squad.asked[i].peer.security
        assert security is not None, "squads are of one kind"
        data = incoming.datagram(row)
        try:
            told = security.open(data, message_id(data), now)
            if isinstance(told, bytes):
                _, start, end = request_id(told)
                good[n] = int.from_bytes(told[start:end], "big") == int(ids[p])
                counts.late += not good[n]
        except IndexError:
            counts.decode_errors += 1
            continue
        if isinstance(told, bytes):
            incoming.put(row, told)
        elif told in (Verdict.AGAIN, Verdict.REFUSED):
            others.append(i)
        elif told is Verdict.NOT_BELIEVED:
            counts.wrong_community += 1
        else:
            counts.decode_errors += 1
    return good, others
