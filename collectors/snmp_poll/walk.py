"""A walk of several columns at once, as a state machine: what to ask next, what an answer meant.

Sans-I/O. Agents lie: every row must stand under its column and be greater than the one before,
so neither a repeated nor a decreasing OID nor a cycle goes on; rows, octets and answers are
bounded; what was good up to a lie is kept, with one reason for its column.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from collectors.snmp_codec.ber import encode_oid, tlv
from collectors.snmp_codec.message import GETBULK, GETNEXT, Pdu, VarBind
from collectors.snmp_poll.engine import Cell, Walked
from collectors.snmp_poll.parse import ABSENT, NO_SUCH_NAME, TOO_BIG, status_name
from collectors.snmp_poll.plan import REQUEST_ID

Arcs = tuple[int, ...]
NOT_INCREASING = "OID not increasing"
EMPTY = "empty answer"
TOO_MANY = "too many rows"
WIDEST = 16  # columns asked for at once
VARBINDS = 50  # asked for at once


def arcs(oid: str) -> Arcs:
    return tuple(map(int, oid.split(".")))


@dataclass(slots=True)
class Column:
    """How far a column has been walked."""

    oid: str
    prefix: str
    last: str
    last_arcs: Arcs
    rows: dict[str, Cell] = field(default_factory=dict)
    done: bool = False


class Walk:
    """Which OIDs to ask for next (`asking`), what became of it (`take`, `refused`, `timed_out`)."""

    def __init__(self, columns: Sequence[str], repetitions: int, most: int, bulk: bool) -> None:
        self._columns = [Column(oid, oid + ".", oid, arcs(oid)) for oid in columns]
        self._bulk = bulk
        self._room = most  # varbinds still allowed
        self._one_by_one = False
        self._asked: list[Column] = []
        self._errors: dict[str, str] = {}
        self.repetitions = repetitions if bulk else 1

    @property
    def done(self) -> bool:
        return all(column.done for column in self._columns)

    def asking(self) -> tuple[str, ...]:
        """Return the OIDs whose successors to ask for; empty when the walk is over."""
        left = [column for column in self._columns if not column.done]
        self._asked = left[:1] if self._one_by_one else left[:WIDEST]
        return tuple(column.last for column in self._asked)

    @property
    def asking_repetitions(self) -> int:
        """Return max-repetitions for the request: an answer is to fit one unfragmented datagram."""
        return max(1, min(self.repetitions, VARBINDS // max(len(self._asked), 1)))

    def take(self, binds: Sequence[VarBind]) -> None:
        """Take an answer without error-status."""
        if not binds:
            self._end_all(EMPTY)
            return
        count = len(self._asked)
        for at, bind in enumerate(binds):
            column = self._asked[at % count]
            if column.done:
                continue
            if self._room <= 0:
                self._end_all(TOO_MANY)
                return
            self._room -= 1
            self._row(column, bind)
        for column in self._asked[len(binds) :]:  # answered fewer columns than asked: one by one
            if not column.done and not self._one_by_one:
                self._one_by_one = True
                break

    def _row(self, column: Column, bind: VarBind) -> None:
        oid, tag, value = bind
        if tag in ABSENT or not oid.startswith(column.prefix):
            column.done = True
            if tag not in ABSENT and arcs(oid) <= column.last_arcs:
                self._errors[column.oid] = NOT_INCREASING
            return
        now = arcs(oid)
        if now <= column.last_arcs:
            column.done = True
            self._errors[column.oid] = NOT_INCREASING
            return
        column.last, column.last_arcs = oid, now
        column.rows[oid[len(column.prefix) :]] = (tag, value)

    def refused(self, pdu: Pdu) -> None:
        """Take an answer with an error-status: ask for less, then end the column it names."""
        status = pdu.error_status
        if status == NO_SUCH_NAME:  # SNMPv1: nothing comes after this one
            self._blame(pdu.error_index, "")
        elif self.repetitions > 1:
            self.repetitions //= 2
        elif len(self._asked) > 1 and (status == TOO_BIG or not pdu.error_index):
            self._one_by_one = True
        else:
            self._blame(pdu.error_index, status_name(status))

    def _blame(self, index: int, reason: str) -> None:
        if len(self._asked) == 1:
            index = 1
        if not 1 <= index <= len(self._asked):
            self._one_by_one = True
            return
        column = self._asked[index - 1]
        column.done = True
        if reason:
            self._errors[column.oid] = reason

    def timed_out(self) -> None:
        """Take it that no answer came: ask for less."""
        if self.repetitions > 1:
            self.repetitions //= 2
        elif len(self._asked) > 1:
            self._one_by_one = True

    def stop(self, reason: str) -> None:
        """End the walk here; what is not done ends with `reason`."""
        self._end_all(reason)

    def _end_all(self, reason: str) -> None:
        for column in self._columns:
            if not column.done:
                column.done = True
                self._errors.setdefault(column.oid, reason)

    def result(self) -> Walked:
        """Return what has come so far."""
        return Walked({c.oid: c.rows for c in self._columns}, dict(self._errors), self.repetitions)


def request(opening: bytes, oids: Sequence[str], repetitions: int) -> tuple[bytes, bytes]:
    """Return a GETBULK (GETNEXT where `repetitions` is 0), split around its request-id."""
    binds = b"".join(tlv(0x30, encode_oid(oid) + b"\x05\x00") for oid in oids)
    rest = b"\x02\x01\x00\x02\x01" + bytes((repetitions,)) + tlv(0x30, binds)
    kind = GETBULK if repetitions else GETNEXT
    whole = tlv(0x30, opening + tlv(kind, b"\x02\x04" + REQUEST_ID + rest))
    behind = len(whole) - len(rest)
    return whole[: behind - 4], whole[behind:]


def next_repetitions(took: int, asked: int, most: int) -> int:
    """Return max-repetitions for the next walk: what the device `took` (0: not known), or more."""
    if not took:
        return asked
    return took if took < asked else min(most, took + max(1, took // 4))
