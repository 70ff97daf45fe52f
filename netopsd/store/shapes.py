"""Which belief lives in which table."""

from __future__ import annotations

from netopsd.core.beliefs import (
    Alarm,
    Change,
    DeviceState,
    Meter,
    Outage,
    ServiceState,
    SlaPeriod,
    Ticket,
    TicketNote,
    UsageRecord,
    Violation,
)
from netopsd.core.ordered import Order, Ordered, OrderItem, OrderNote
from netopsd.store.shape import Shape
from netopsd.store.tables import (
    AlarmRow,
    ChangeRow,
    DeviceRow,
    MeterRow,
    OrderedRow,
    OrderItemRow,
    OrderNoteRow,
    OrderRow,
    OutageRow,
    ServiceRow,
    SlaPeriodRow,
    TicketNoteRow,
    TicketRow,
    UsageRow,
    ViolationRow,
)

ALARMS = Shape(Alarm, AlarmRow)
CHANGES = Shape(Change, ChangeRow)
TICKETS = Shape(Ticket, TicketRow)
NOTES = Shape(TicketNote, TicketNoteRow)
DEVICES = Shape(DeviceState, DeviceRow)
SERVICES = Shape(ServiceState, ServiceRow)
OUTAGES = Shape(Outage, OutageRow)
PERIODS = Shape(SlaPeriod, SlaPeriodRow)
VIOLATIONS = Shape(Violation, ViolationRow)
METERS = Shape(Meter, MeterRow)
USAGE = Shape(UsageRecord, UsageRow)
ORDERS = Shape(Order, OrderRow)
ORDER_ITEMS = Shape(OrderItem, OrderItemRow)
ORDER_NOTES = Shape(OrderNote, OrderNoteRow)
ORDERED = Shape(Ordered, OrderedRow)
