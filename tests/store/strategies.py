"""Any belief at all, made from the types of its fields: a new field is covered at once."""

from __future__ import annotations

import types
import typing
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any, TypeVar

from hypothesis import strategies as st

from netopsd.core.model import Event, Resource
from netopsd.core.outcome import Outcome

B = TypeVar("B")

ANY_CHARACTER = st.characters(exclude_categories=())  # NUL and lone surrogates included
TEXTS = st.one_of(
    st.text(max_size=12),
    st.text(ANY_CHARACTER, max_size=12),
    st.sampled_from(
        ["", "\0", "a\0b", "\ud800", "ünïcode ☃ \U0001f525", "\n\r\x1b[31m", "'; --", "null", "1"]
    ),
)
TIMES = st.datetimes(
    min_value=datetime(1, 1, 2),  # noqa: DTZ001
    max_value=datetime(9999, 12, 30),  # noqa: DTZ001
    timezones=st.just(UTC),
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
OCTETS = st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 2**200))
NUMBERS = st.floats(allow_nan=False)
DECIMALS = st.decimals(allow_nan=False)
RESOURCES = st.builds(Resource, TEXTS, TEXTS, TEXTS)
IN_OCTETS = {"in_octets", "out_octets", "slot_in", "slot_out"}


def of(hint: Any, name: str = "") -> st.SearchStrategy[Any]:
    """Return a strategy for the type of one field."""
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        return st.one_of(*(of(arg, name) for arg in typing.get_args(hint)))
    if typing.get_origin(hint) is tuple:
        inner = typing.get_args(hint)
        if inner[-1] is not Ellipsis:
            return st.tuples(*(of(arg) for arg in inner))
        return st.lists(of(inner[0]), max_size=3).map(tuple)
    if is_dataclass(hint) and hint is not Resource:
        return any_of(hint)
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return st.sampled_from(hint)
    known: dict[Any, st.SearchStrategy[Any]] = {
        types.NoneType: st.none(),
        bool: st.booleans(),
        int: OCTETS if name in IN_OCTETS else INTEGERS,
        float: NUMBERS,
        str: TEXTS,
        datetime: TIMES,
        Decimal: DECIMALS,
        Resource: RESOURCES,
    }
    return known[hint] if hint in known else st.dictionaries(TEXTS, TEXTS, max_size=3)


def any_of(belief: type[B]) -> st.SearchStrategy[B]:
    """Return a strategy for a dataclass, every field drawn."""
    hints = typing.get_type_hints(belief)
    return st.builds(
        belief,
        **{field.name: of(hints[field.name], field.name) for field in fields(belief)},  # type: ignore[arg-type]
    )


EVENTS = any_of(Event)


@st.composite
def outcomes(draw: st.DrawFn) -> Outcome:
    """An outcome with up to two of everything, keyed as the world keys it."""
    from netopsd.core import beliefs as b
    from netopsd.core import ordered as o

    def some(belief: type[B]) -> list[B]:
        return draw(st.lists(any_of(belief), max_size=2))

    return Outcome(
        alarms={alarm.key: alarm for alarm in some(b.Alarm)},
        changes=some(b.Change),
        tickets={ticket.id: ticket for ticket in some(b.Ticket)},
        ticket_notes=some(b.TicketNote),
        devices={device.name: device for device in some(b.DeviceState)},
        services={service.service: service for service in some(b.ServiceState)},
        outages={outage.id: outage for outage in some(b.Outage)},
        periods={(period.service, period.period): period for period in some(b.SlaPeriod)},
        violations={violation.id: violation for violation in some(b.Violation)},
        meters={(meter.service, str(meter.resource)): meter for meter in some(b.Meter)},
        usage=some(b.UsageRecord),
        sequences=draw(st.dictionaries(st.text(max_size=5), INTEGERS, max_size=2)),
        events=draw(st.lists(EVENTS, max_size=3)),
        orders={order.id: order for order in some(o.Order)},
        order_items={(item.order, item.number): item for item in some(o.OrderItem)},
        order_notes=some(o.OrderNote),
        ordered={ordered.id: ordered for ordered in some(o.Ordered)},
    )
