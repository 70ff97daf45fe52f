"""What the office understands of a message. Pure: bytes in, rows out, or Refused.

Unknown fields are let be (a newer sender may say more); a missing or impossible one is refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from bss_bridge.canonical import canonical
from bss_bridge.office import tables
from bss_bridge.office.stamp import stamp
from netopsd.errors import Refused
from netopsd.ports import Message

MOST_BYTES = 1 << 20
Octets = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Minor = Annotated[int, Field(ge=0, lt=2**63, strict=True)]
Share = Annotated[Decimal, Field(ge=0, le=1)]


class _Said(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, allow_inf_nan=False)


class _Ref(_Said):
    id: str
    name: str = ""
    role: str = ""


class _Span(_Said):
    startDateTime: AwareDatetime
    endDateTime: AwareDatetime


class _Usage(_Said):
    id: str
    service: _Ref
    resource: _Ref
    relatedParty: tuple[_Ref, ...]
    billingAccount: _Ref
    periodCoverage: _Span
    inOctets: Octets
    outOctets: Octets
    completeness: Share
    gaps: tuple[str, ...] = ()
    reconstructed: bool = False
    sequence: Octets
    revision: Octets = 0


class _Broken(_Said):
    referenceValue: Share
    actualValue: Share
    target: Share
    downSeconds: float
    budgetSeconds: float


class _Sla(_Said):
    id: str
    period: str


class _Evidence(_Said):
    outage: str
    alarms: tuple[str, ...] = ()
    samplesSha256: str = ""


class _Violation(_Said):
    id: str
    date: AwareDatetime
    sla: _Sla
    tier: Octets
    creditShare: Share
    violation: _Broken
    evidence: _Evidence
    troubleTicket: str = ""
    relatedParty: tuple[_Ref, ...]
    billingAccount: _Ref


class _Amount(_Said):
    unit: str = Field(pattern="^[A-Z]{3}$")


class _Rate(_Said):
    id: str
    name: str
    description: str = ""
    date: AwareDatetime
    appliedBillingRateType: str = Field(pattern="^appliedBillingCredit$")
    billingAccount: _Ref
    relatedParty: tuple[_Ref, ...]
    product: _Ref
    slaViolation: _Ref
    periodCoverage: _Span
    taxExcludedAmount: _Amount
    amountMinor: Minor


class _Care(_Said):
    state: str
    thread: str
    subject: str
    impact: str
    customer: _Ref
    account: _Ref
    service: _Ref
    ticket: str = ""


class _Problem(_Said):
    id: str
    reason: str = ""
    timeRaised: AwareDatetime
    resolutionDate: AwareDatetime | None = None
    affectedService: Annotated[tuple[_Ref, ...], Field(min_length=1)]
    relatedParty: tuple[_Ref, ...]
    billingAccount: _Ref
    relatedObject: tuple[_Ref, ...] = ()
    planned: bool = False


class _Ticket(_Said):
    id: str
    name: str
    status: str
    severity: str
    priority: Octets
    relatedEntity: tuple[_Ref, ...] = ()
    creationDate: AwareDatetime
    lastUpdate: AwareDatetime


class _Price(_Said):
    unit: str = Field(pattern="^[A-Z]{3}$")
    monthlyFeeMinor: Minor
    target: Share


class _Service(_Said):
    id: str
    name: str
    state: str = Field(pattern="^(active|terminated)$")
    relatedParty: tuple[_Ref, ...]
    billingAccount: _Ref
    price: _Price | None = None


class _BudgetService(_Said):
    service: _Ref
    period: str
    burnPercent: Octets
    downSeconds: float
    relatedParty: tuple[_Ref, ...]
    billingAccount: _Ref


def rows_of(message: Message) -> list[tables.Row]:
    """Return the rows `message` becomes; none for a topic the office keeps nothing of.

    Raises Refused for a body that is not what its topic promises.
    """
    found = _READERS.get(message.topic.split(".", 1)[0] + ".") or _READERS.get(message.topic)
    if found is None:
        return []
    under, read = found
    try:
        body = _parsed(message.body)
        row = read(message, body["event"][under])
        return [] if row is None else [row]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise Refused(f"{message.topic} {message.key}: {_short(error)}") from error


def _parsed(text: str) -> Any:
    if len(text) > MOST_BYTES:
        raise Refused(f"body of {len(text)} characters is too large")
    try:
        body = json.loads(text)
        if "\\ud" in text or "\\uD" in text:  # a lone surrogate has no place in a database
            json.dumps(body, ensure_ascii=False).encode()
        return body
    except (ValueError, RecursionError) as error:
        raise Refused(f"body is no JSON: {_short(error)}") from error


def _short(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_input=False, include_url=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return f"{type(error).__name__}: {error}"[:300]


def _usage(message: Message, said: Any) -> tables.Row:
    usage = _Usage.model_validate(said)
    span = usage.periodCoverage
    if span.endDateTime <= span.startDateTime:
        raise Refused(f"usage {usage.id}: ends before it starts")
    return tables.UsageRow(
        key=usage.id,
        source=f"{usage.service.id}|{usage.resource.id}",
        sequence=usage.sequence,
        revision=usage.revision,
        service=usage.service.id,
        resource=usage.resource.id,
        customer=_party(usage.relatedParty),
        account=usage.billingAccount.id,
        starts=stamp(span.startDateTime),
        ends=stamp(span.endDateTime),
        in_octets=usage.inOctets,
        out_octets=usage.outOctets,
        completeness=f"{usage.completeness:f}",
        gaps=_list(usage.gaps),
        reconstructed=usage.reconstructed,
    )


def _violation(message: Message, said: Any) -> tables.Row:
    violation = _Violation.model_validate(said)
    broken, evidence = violation.violation, violation.evidence
    return tables.ViolationRow(
        id=violation.id,
        service=violation.sla.id,
        customer=_party(violation.relatedParty),
        account=violation.billingAccount.id,
        period=violation.sla.period,
        tier=violation.tier,
        below=f"{broken.referenceValue:f}",
        target=f"{broken.target:f}",
        availability=f"{broken.actualValue:f}",
        credit_share=f"{violation.creditShare:f}",
        down_s=broken.downSeconds,
        budget_s=broken.budgetSeconds,
        detected_at=stamp(violation.date),
        outage=evidence.outage,
        alarms=_list(evidence.alarms),
        samples_sha256=evidence.samplesSha256,
        ticket=violation.troubleTicket,
    )


def _credit(message: Message, said: Any) -> tables.Row:
    rate = _Rate.model_validate(said)
    return tables.CreditRow(
        id=rate.id,
        violation=rate.slaViolation.id,
        account=rate.billingAccount.id,
        customer=_party(rate.relatedParty),
        service=rate.product.id,
        amount_minor=rate.amountMinor,
        currency=rate.taxExcludedAmount.unit,
        name=rate.name,
        why=rate.description,
        at=stamp(rate.date),
        covers_from=stamp(rate.periodCoverage.startDateTime),
        covers_until=stamp(rate.periodCoverage.endDateTime),
    )


def _care(message: Message, said: Any) -> tables.Row:
    care = _Care.model_validate(said)
    return tables.CareNoticeRow(
        key=message.key,
        thread=care.thread,
        state=care.state,
        customer=care.customer.id,
        account=care.account.id,
        service=care.service.id,
        subject=care.subject,
        impact=care.impact,
        ticket=care.ticket,
        at=stamp(message.at),
        body=canonical(said),
    )


def _outage(message: Message, said: Any) -> tables.Row:
    problem = _Problem.model_validate(said)
    return tables.OutageRow(
        id=problem.id,
        service=problem.affectedService[0].id,
        customer=_party(problem.relatedParty),
        account=problem.billingAccount.id,
        starts=stamp(problem.timeRaised),
        ends=_stamp_or_none(problem.resolutionDate),
        ticket=problem.relatedObject[0].id if problem.relatedObject else "",
        cause=problem.reason,
        planned=problem.planned,
    )


def _ticket(message: Message, said: Any) -> tables.Row:
    ticket = _Ticket.model_validate(said)
    return tables.TicketRow(
        id=ticket.id,
        title=ticket.name,
        status=ticket.status,
        severity=ticket.severity,
        priority=ticket.priority,
        services=_list(tuple(r.id for r in ticket.relatedEntity if r.role == "affectedService")),
        opened_at=stamp(ticket.creationDate),
        changed_at=stamp(ticket.lastUpdate),
    )


def _budget(message: Message, said: Any) -> tables.Row:
    budget = _BudgetService.model_validate(said)
    return tables.BudgetWarningRow(
        service=budget.service.id,
        period=budget.period,
        burn=budget.burnPercent,
        customer=_party(budget.relatedParty),
        account=budget.billingAccount.id,
        down_s=budget.downSeconds,
        at=stamp(message.at),
    )


def _service(message: Message, said: Any) -> tables.Row | None:
    service = _Service.model_validate(said)
    price = service.price
    if price is None:
        return None  # monitored, but nobody pays for it
    return tables.ServiceRow(
        id=service.id,
        name=service.name,
        customer=_party(service.relatedParty),
        account=service.billingAccount.id,
        currency=price.unit,
        monthly_fee_minor=price.monthlyFeeMinor,
        target=f"{price.target:f}",
        active=service.state == "active",
    )


def _party(parties: tuple[_Ref, ...]) -> str:
    return next((party.id for party in parties if party.role == "customer"), "")


def _list(items: tuple[str, ...]) -> str:
    return json.dumps(list(items), ensure_ascii=True, separators=(",", ":"))


def _stamp_or_none(at: datetime | None) -> str | None:
    return None if at is None else stamp(at)


_Reader = Callable[[Message, Any], tables.Row | None]
_READERS: dict[str, tuple[str, _Reader]] = {
    "usage.record": ("usage", _usage),
    "sla.violation": ("slaViolation", _violation),
    "sla.credit": ("appliedCustomerBillingRate", _credit),
    "sla.budget": ("slaBudget", _budget),
    "care.notice": ("careNotice", _care),
    "outage.": ("serviceProblem", _outage),
    "ticket.": ("troubleTicket", _ticket),
    "service.": ("service", _service),
}
