"""GETs for engines that take and give OIDs as text: chunks, refusals narrowed down, numbers out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from collectors.snmp_codec.ber import Tag
from collectors.snmp_poll.engine import Cell, Values
from collectors.snmp_poll.parse import (
    COUNTER32,
    COUNTER64,
    KIND_NAMES,
    TICKS,
    TOO_BIG,
    dotted,
    number_of,
    status_name,
)
from collectors.snmp_poll.plan import Wanted
from netopsd.ports import Clock

# What an engine that hides types is taken to have said.
_ASSUMED = {COUNTER32: Tag.COUNTER32, COUNTER64: Tag.COUNTER64, TICKS: Tag.TIME_TICKS}
EMPTY = -1  # no error-status, and no variables either


@dataclass(slots=True)
class Reply:
    """An answer: values by OID, or an error-status (EMPTY for an answer without anything)."""

    values: Mapping[str, Cell] = field(default_factory=dict)
    status: int = 0
    index: int = 0


@dataclass(frozen=True, slots=True)
class TextPlan:
    """OIDs in slot order, and how many go into one request."""

    oids: tuple[str, ...]
    kinds: bytes
    most: int


Ask = Callable[[Sequence[str]], Awaitable[Reply | None]]  # None: no answer in time


def text_plan(wanted: Wanted, most: int) -> TextPlan:
    return TextPlan(tuple(dotted(name) for name in wanted.names), bytes(wanted.kinds), most)


async def fetch(plan: TextPlan, ask: Ask, clock: Clock) -> Values | None:
    """Return what `ask` could bring of `plan`, None where the device never answered.

    A refused request is asked again without the variable it names, or in halves where it names
    none; extra requests are bounded. A device that stops answering is asked nothing more.
    """
    count = len(plan.oids)
    values = Values(np.zeros(count, np.uint64), {}, clock.now(), clock.mono_s())
    todo = [(at, min(at + plan.most, count)) for at in range(0, count, plan.most)][::-1]
    extra, heard = 2 * len(todo) + 64, False
    while todo:
        begin, end = todo.pop()
        reply = await ask(plan.oids[begin:end])
        if reply is None:
            if not heard:
                return None
            values.shrink = True
            _lose(values, [(begin, end), *todo], "timeout")
            break
        if not heard:
            heard, values.at, values.mono_s = True, clock.now(), clock.mono_s()
        if not reply.status:
            _take(plan, values, begin, end, reply.values)
            continue
        values.shrink |= reply.status == TOO_BIG
        reason = "noSuchInstance" if reply.status == EMPTY else status_name(reply.status)
        named = reply.status not in (TOO_BIG, EMPTY) and 1 <= reply.index <= end - begin
        if end - begin == 1 or extra <= 0:
            _lose(values, [(begin, end)], reason)
            continue
        extra -= 1
        if named:
            at = begin + reply.index - 1
            values.wrong[at] = reason
            todo += [part for part in ((at + 1, end), (begin, at)) if part[0] < part[1]]
        else:
            half = (begin + end) // 2
            todo += [(half, end), (begin, half)]
    return values


def _take(plan: TextPlan, values: Values, begin: int, end: int, told: Mapping[str, Cell]) -> None:
    for slot in range(begin, end):
        cell = told.get(plan.oids[slot])
        number = "noSuchInstance" if cell is None else number_in(plan.kinds[slot], cell)
        if isinstance(number, str):
            values.wrong[slot] = number
        else:
            values.raw[slot] = number


def _lose(values: Values, parts: Sequence[tuple[int, int]], reason: str) -> None:
    for begin, end in parts:
        for slot in range(begin, end):
            values.wrong.setdefault(slot, reason)


def number_in(kind: int, cell: Cell) -> int | str:
    """Return a cell's number as unsigned 64 bits, or the reason it is none."""
    tag, value = cell
    if not tag:
        if not isinstance(value, int):
            return f"{type(value).__name__} instead of {KIND_NAMES[kind]}"
        tag = _ASSUMED.get(kind, Tag.INTEGER)
    return number_of(kind, tag, value)
