"""What the API says: TM Forum names where they fit (TMF642 alarm, TMF621 trouble ticket)."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator
from pydantic.alias_generators import to_camel

from netopsd.core import sla
from netopsd.core.beliefs import (
    Alarm,
    AlarmType,
    Change,
    DeviceState,
    Phase,
    Reach,
    Severity,
    SlaPeriod,
    Ticket,
    TicketNote,
    TicketStatus,
    UsageRecord,
)
from netopsd.core.inventory import Device, Service
from netopsd.ports import Pending

SOURCE = "netopsd"
State = Literal["raised", "updated", "cleared", "pending"]
Text = Annotated[str, Field(max_length=2000)]


class Said(BaseModel):
    """Base of all answers: camelCase outside, frozen, and never text that JSON cannot carry."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, frozen=True)

    @field_validator("*", mode="before")
    @classmethod
    def _carried(cls, value: Any) -> Any:
        if type(value) is str:  # an enumeration's words are our own
            return value.encode("utf-8", "replace").decode()  # halves of surrogate pairs become ?
        if type(value) is list:
            return [cls._carried(item) for item in value]
        if type(value) is dict:
            return {cls._carried(key): cls._carried(item) for key, item in value.items()}
        return value


class Asked(BaseModel):
    """Base of all request bodies: nothing unknown is let in."""

    model_config = ConfigDict(alias_generator=to_camel, extra="forbid", frozen=True)


class Problem(Said):
    """Why a request was refused (TMF630 error)."""

    code: str
    reason: str


class Ref(Said):
    id: str


class AlarmOut(Said):
    """One alarm (TMF642), with netopsd's own words for what TMF642 has none."""

    id: str = Field(description="resource!alarm-type; the same for every occurrence")
    alarm_type: AlarmType
    perceived_severity: Severity
    probable_cause: str
    specific_problem: str = Field(description="the alarm type id, as in rules.toml")
    alarm_details: str
    alarmed_object: Ref
    alarmed_object_type: str
    source_system_id: str = SOURCE
    state: State = Field(description="pending is our own: bad, but not yet for long enough")
    ack_state: Literal["acknowledged", "unacknowledged"]
    ack_user_id: str | None
    alarm_raised_time: datetime | None
    alarm_changed_time: datetime
    alarm_cleared_time: datetime | None
    is_root_cause: bool
    parent_alarm: list[Ref]
    planned_outage_indicator: Literal["inService", "outOfService"]
    occurrence: int
    count: int
    why: str = Field(description="reason of the latest change")
    device: str
    source: str
    flapping: bool
    shelved_until: datetime | None
    shelved_by: str | None
    maintenance: str | None

    @staticmethod
    def of(alarm: Alarm) -> AlarmOut:
        cleared = alarm.phase is Phase.CLEARED
        return AlarmOut(
            id=alarm.key,
            alarm_type=alarm.type,
            perceived_severity=Severity.CLEARED if cleared else alarm.severity,
            probable_cause=alarm.probable_cause,
            specific_problem=alarm.alarm,
            alarm_details=alarm.text,
            alarmed_object=Ref(id=str(alarm.resource)),
            alarmed_object_type=alarm.resource.table or "device",
            state=alarm_state(alarm),
            ack_state="acknowledged" if alarm.acked_by else "unacknowledged",
            ack_user_id=alarm.acked_by or None,
            alarm_raised_time=alarm.raised_at,
            alarm_changed_time=alarm.changed_at,
            alarm_cleared_time=alarm.cleared_at,
            is_root_cause=not alarm.root,
            parent_alarm=[Ref(id=alarm.root)] if alarm.root else [],
            planned_outage_indicator="outOfService" if alarm.maintenance else "inService",
            occurrence=alarm.occurrence,
            count=alarm.count,
            why=alarm.why,
            device=alarm.resource.device,
            source=alarm.source,
            flapping=alarm.flapping,
            shelved_until=alarm.shelved_until,
            shelved_by=alarm.shelved_by or None,
            maintenance=alarm.maintenance or None,
        )


def alarm_state(alarm: Alarm) -> State:
    """Return the TMF642 state; "updated" once anything changed after the raise."""
    if alarm.phase is Phase.PENDING:
        return "pending"
    if alarm.phase is Phase.CLEARED:
        return "cleared"
    changed = alarm.raised_at is not None and alarm.changed_at > alarm.raised_at
    return "updated" if changed else "raised"


class ChangeOut(Said):
    """One line of an alarm's history."""

    alarm: str
    occurrence: int
    at: datetime
    what: str
    by: str
    why: str
    severity: Severity

    @staticmethod
    def of(change: Change) -> ChangeOut:
        return ChangeOut(
            alarm=change.alarm, occurrence=change.occurrence, at=change.at, what=change.what,
            by=change.by, why=change.why, severity=change.severity,
        )  # fmt: skip


class NoteOut(Said):
    author: str
    date: datetime
    text: str
    status: TicketStatus

    @staticmethod
    def of(note: TicketNote) -> NoteOut:
        return NoteOut(author=note.by, date=note.at, text=note.text, status=note.status)


class RelatedEntity(Said):
    id: str
    role: Literal["cause", "affectedService"]


class TicketOut(Said):
    """One trouble ticket (TMF621). `note` is filled where one ticket was asked for."""

    id: str
    name: str
    ticket_type: str = "networkFault"
    severity: Severity
    priority: int
    status: TicketStatus
    status_change_reason: str
    creation_date: datetime
    last_update: datetime
    resolution_date: datetime | None
    related_entity: list[RelatedEntity]
    symptoms: int = Field(description="alarms explained by the cause, most ever seen")
    note: list[NoteOut]

    @staticmethod
    def of(ticket: Ticket, notes: list[NoteOut] | None = None) -> TicketOut:
        related = [RelatedEntity(id=ticket.cause, role="cause")]
        related += [RelatedEntity(id=id, role="affectedService") for id in ticket.services]
        return TicketOut(
            id=ticket.id, name=ticket.title, severity=ticket.severity, priority=ticket.priority,
            status=ticket.status, status_change_reason=ticket.why, creation_date=ticket.opened_at,
            last_update=ticket.changed_at, resolution_date=ticket.resolved_at,
            related_entity=related, symptoms=ticket.symptoms, note=notes or [],
        )  # fmt: skip


class SlaOut(Said):
    """One service's month. Availability is a share with bounds: unknown time is neither."""

    service: str
    name: str
    customer: str
    period: str
    period_starts: datetime
    period_ends: datetime
    target: Decimal
    availability_min: Decimal = Field(description="all unknown time counted as down")
    availability: Decimal = Field(description="unknown time not counted as down")
    budget_seconds: float
    budget_burn_ratio: float | None = Field(description="1 is all of it; null: there is no budget")
    up_seconds: float
    down_seconds: float
    unknown_seconds: float
    excused_seconds: float
    tiers_broken: int

    @staticmethod
    def of(service: Service, period: SlaPeriod) -> SlaOut:
        worst, best = sla.availability(service, period)
        burn = sla.burn(service, period)
        return SlaOut(
            service=service.id, name=service.name, customer=service.customer,
            period=period.period, period_starts=period.starts, period_ends=period.ends,
            target=period.target, availability_min=worst, availability=best,
            budget_seconds=sla.budget_s(service, period),
            budget_burn_ratio=burn if burn != float("inf") else None,
            up_seconds=period.up_s, down_seconds=period.down_s,
            unknown_seconds=period.unknown_s, excused_seconds=period.excused_s,
            tiers_broken=period.tiers_broken,
        )  # fmt: skip


class UsageOut(Said):
    """Octets of one port of one service in one slot. Octets are text: JSON numbers end at 2^53."""

    key: str
    service: str
    customer: str
    account: str
    resource: str
    starts: datetime
    ends: datetime
    in_octets: str
    out_octets: str
    covered_seconds: float
    completeness: Decimal
    gaps: list[str]
    reconstructed: bool
    sequence: int
    revision: int

    @staticmethod
    def of(record: UsageRecord) -> UsageOut:
        return UsageOut(
            key=record.key, service=record.service, customer=record.customer,
            account=record.account, resource=str(record.resource), starts=record.starts,
            ends=record.ends, in_octets=str(record.in_octets), out_octets=str(record.out_octets),
            covered_seconds=record.covered_s, completeness=record.completeness,
            gaps=list(record.gaps), reconstructed=record.reconstructed,
            sequence=record.sequence, revision=record.revision,
        )  # fmt: skip


class MessageOut(Said):
    """One message not delivered yet. What it says stays in the outbox."""

    id: int
    key: str
    sink: str
    topic: str
    stream: str
    at: datetime
    attempts: int
    next_at: datetime
    parked: bool
    reason: str

    @staticmethod
    def of(pending: Pending) -> MessageOut:
        message = pending.message
        return MessageOut(
            id=pending.id, key=message.key, sink=message.sink, topic=message.topic,
            stream=message.stream, at=message.at, attempts=pending.attempts,
            next_at=pending.next_at, parked=pending.parked, reason=pending.reason,
        )  # fmt: skip


class DeviceOut(Said):
    """One configured device and whether it answers."""

    name: str
    site: str
    labels: dict[str, str]
    interval_seconds: float
    reach: Reach
    since: datetime | None
    answered_at: datetime | None
    missed: int
    boots: int
    blind: str

    @staticmethod
    def of(device: Device, state: DeviceState | None) -> DeviceOut:
        state = state or DeviceState(name=device.name)
        return DeviceOut(
            name=device.name, site=device.site, labels=dict(device.labels),
            interval_seconds=device.interval_s, reach=state.reach, since=state.since,
            answered_at=state.answered_at, missed=state.missed, boots=state.boots,
            blind=state.blind,
        )  # fmt: skip


class NoteIn(Asked):
    """What a person wants to have on record."""

    note: Text = ""


class ShelveIn(Asked):
    """Until when an alarm is out of sight: a time, or a duration of at most 30 days."""

    until: datetime | None = None
    minutes: Annotated[int, Field(ge=1, le=30 * 24 * 60)] | None = None
    note: Text = ""

    def ends(self, now: datetime) -> datetime | None:
        """Return the moment meant, None where it is not one in the next 30 days."""
        if (self.until is None) == (self.minutes is None):
            return None
        until = now + timedelta(minutes=self.minutes) if self.minutes else self.until
        if until is None or until.tzinfo is None:
            return None
        return until if now < until <= now + timedelta(days=30, seconds=1) else None


class TicketNoteIn(Asked):
    text: Annotated[str, Field(min_length=1, max_length=2000)]


class TicketStatusIn(Asked):
    status: TicketStatus
    note: Text = ""


class ParkIn(Asked):
    reason: Annotated[str, Field(min_length=1, max_length=500)]
