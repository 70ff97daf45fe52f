"""What an operator reads in the log of what was decided: one line a notice, few in a storm."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netopsd.core.outcome import (
    AlarmNotice,
    BudgetNotice,
    Notice,
    OutageNotice,
    TicketNotice,
    ViolationNotice,
)

MOST_LINES = 20  # of one commit; a storm is told in the alarms, not in the log


def lines(notices: Sequence[Notice]) -> Iterator[str]:
    """Give the lines for the notices of one commit."""
    told = [line for notice in notices if (line := _line(notice))]
    yield from told[:MOST_LINES]
    if len(told) > MOST_LINES:
        yield f"and {len(told) - MOST_LINES} more notices in the same commit"


def _line(notice: Notice) -> str:
    match notice:
        case AlarmNotice(alarm=alarm, what=what):
            return f"alarm {what}: {alarm.severity} {alarm.key}: {alarm.text or '-'} ({alarm.why})"
        case TicketNotice(ticket=ticket, what=what):
            return f"ticket {ticket.id} {what}: {ticket.title} (P{ticket.priority}, {ticket.why})"
        case OutageNotice(outage=outage, what=what):
            return f"outage {what}: {notice.service_name} of {notice.customer} ({outage.why})"
        case BudgetNotice(period=period, burn=burn):
            return f"SLA: {period.service} has used {burn} % of its downtime of {period.period}"
        case ViolationNotice(violation=violation):
            return f"SLA broken: {violation.id}, availability {violation.availability}"
        case _:
            return ""
