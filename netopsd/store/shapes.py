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

ALARMS = Shape(Alarm, "alarms")
CHANGES = Shape(Change, "alarm_changes")
TICKETS = Shape(Ticket, "tickets")
NOTES = Shape(TicketNote, "ticket_notes")
DEVICES = Shape(DeviceState, "devices")
SERVICES = Shape(ServiceState, "services")
OUTAGES = Shape(Outage, "outages")
PERIODS = Shape(SlaPeriod, "sla_periods")
VIOLATIONS = Shape(Violation, "violations")
METERS = Shape(Meter, "meters")
USAGE = Shape(UsageRecord, "usage_records")
ORDERS = Shape(Order, "service_orders")
ORDER_ITEMS = Shape(OrderItem, "service_order_items")
ORDER_NOTES = Shape(OrderNote, "service_order_notes")
ORDERED = Shape(Ordered, "ordered_services")
