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
from collectors.snmp_poll.squad import Rows, Squad
from collectors.snmp_poll.stats import Counts
from collectors.snmp_poll.volley import Volley


def seal(squad: Squad, packets: Rows, ids: NDArray[np.uint32], now: float) -> None:
    """Make the datagrams of these packets, msgID and request-id being the same number.

    One that is sent again has them again, with a time and a salt of its own: whichever try an
    answer is to, it is the one waited for.
    """
    for p in packets.tolist():
        number, packet = int(ids[p]), squad.packets[p]
        security = squad.asked[int(squad.device[p])].peer.security
        if security is not None:
            message = packet.head + number.to_bytes(4, "big") + packet.tail
            squad.outgoing.put(p, security.seal(number, message, now))


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
        data = incoming.datagram(row, int(incoming.sizes[row]))
        try:
            span = message_id(data)
            if security is None:
                raise IndexError
            told = security.open(data, span, now)
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
