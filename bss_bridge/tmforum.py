"""Our values in TM Forum words: TMF642 alarms, 621 tickets, 656 problems, 635 usage, 623 SLA
violations, 678 applied billing rates. Pure; each function returns what goes under `event`.
"""

from __future__ import annotations

from typing import Any

from bss_bridge.canonical import utc, utc_or_none
from bss_bridge.credit import Credit
from bss_bridge.money import as_text, to_minor
from bss_bridge.settings import Contract, CreditTier
from netopsd.core.beliefs import Phase, UsageRecord
from netopsd.core.ordered import Ordered
from netopsd.core.outcome import (
    AlarmNotice,
    BudgetNotice,
    OrderNotice,
    OutageNotice,
    ServiceNotice,
    TicketNotice,
    ViolationNotice,
)

SOURCE = "netopsd"
EVENT_TYPES = {
    "alarm.raised": "AlarmCreateEvent",
    "alarm.changed": "AlarmAttributeValueChangeEvent",
    "alarm.cleared": "ClearAlarmsCreateEvent",
    "ticket.opened": "TroubleTicketCreateEvent",
    "ticket.updated": "TroubleTicketAttributeValueChangeEvent",
    "ticket.resolved": "TroubleTicketStatusChangeEvent",
    "ticket.reopened": "TroubleTicketStatusChangeEvent",
    "ticket.closed": "TroubleTicketStatusChangeEvent",
    "ticket.cancelled": "TroubleTicketStatusChangeEvent",
    "ticket.rejected": "TroubleTicketStatusChangeEvent",
    "outage.started": "ServiceProblemCreateEvent",
    "outage.ended": "ServiceProblemStateChangeEvent",
    "sla.budget": "SLABudgetThresholdEvent",
    "sla.violation": "SLAViolationCreateEvent",
    "sla.credit": "AppliedCustomerBillingRateCreateEvent",
    "usage.record": "UsageCreateEvent",
    "care.notice": "CommunicationMessageCreateEvent",
    "care.digest": "CommunicationMessageCreateEvent",
    "order.created": "ServiceOrderCreateEvent",
    "order.changed": "ServiceOrderStateChangeEvent",
    "service.activated": "ServiceCreateEvent",
    "service.changed": "ServiceAttributeValueChangeEvent",
    "service.terminated": "ServiceStateChangeEvent",
}


def alarm(notice: AlarmNotice) -> dict[str, Any]:
    """Return a TMF642 Alarm."""
    said = notice.alarm
    body: dict[str, Any] = {
        "id": said.occurrence_id,
        "externalAlarmId": said.key,
        "alarmType": said.type.value,
        "perceivedSeverity": "cleared" if said.phase is Phase.CLEARED else said.severity.value,
        "probableCause": said.probable_cause,
        "specificProblem": f"{said.alarm}:{said.qualifier}" if said.qualifier else said.alarm,
        "alarmDetails": said.text,
        "alarmedObject": {"id": str(said.resource)},
        "sourceSystemId": SOURCE,
        "state": {"raised": "raised", "cleared": "cleared"}.get(notice.what, "updated"),
        "ackState": "acknowledged" if said.acked_by else "unacknowledged",
        "alarmRaisedTime": utc(said.raised_at or said.since),
        "alarmChangedTime": utc(said.changed_at),
        "alarmReportingTime": utc(notice.at),
        "alarmClearedTime": utc_or_none(said.cleared_at),
        "isRootCause": not said.root,
        "plannedOutageIndicator": bool(said.maintenance),
        "reason": said.why,
        "flapping": said.flapping,
        "count": said.count,
    }
    if said.root:
        body["parentAlarm"] = [{"id": said.root}]
    if said.acked_by:
        body |= {"ackUserId": said.acked_by, "ackTime": utc_or_none(said.acked_at)}
    return {"alarm": body}


def ticket(notice: TicketNotice) -> dict[str, Any]:
    """Return a TMF621 TroubleTicket."""
    said = notice.ticket
    return {
        "troubleTicket": {
            "id": said.id,
            "name": said.title,
            "description": said.why,
            "ticketType": "networkFault",
            "severity": said.severity.value,
            "priority": said.priority,
            "status": said.status.value,
            "statusChangeReason": notice.note or said.why,
            "creationDate": utc(said.opened_at),
            "lastUpdate": utc(said.changed_at),
            "resolutionDate": utc_or_none(said.resolved_at),
            "relatedEntity": [
                {"id": service, "role": "affectedService", "@referredType": "Service"}
                for service in said.services
            ]
            + [
                {"id": f"{said.cause}#{said.occurrence}", "role": "cause", "@referredType": "Alarm"}
            ],
            "symptoms": said.symptoms,
            "note": [{"author": notice.by, "date": utc(notice.at), "text": notice.note}]
            if notice.note
            else [],
        }
    }


def problem(notice: OutageNotice) -> dict[str, Any]:
    """Return a TMF656 ServiceProblem: one outage of one service of one customer."""
    outage = notice.outage
    return {
        "serviceProblem": {
            "id": outage.id,
            "originatingSystem": SOURCE,
            "category": "serviceProvider.declared",
            "status": "inProgress" if outage.ends is None else "resolved",
            "reason": notice.cause or outage.why,
            "timeRaised": utc(outage.starts),
            "resolutionDate": utc_or_none(outage.ends),
            "uncertaintySeconds": outage.uncertainty_s,
            "affectedService": [{"id": outage.service, "name": notice.service_name}],
            "affectedNumberOfServices": 1,
            "underlyingAlarm": [{"id": alarm_id} for alarm_id in outage.alarms],
            "trackingRecord": {"samples": outage.samples, "sha256": outage.samples_sha256},
            "relatedParty": [{"id": notice.customer, "role": "customer"}],
            "billingAccount": {"id": notice.account},
            "relatedObject": [{"id": notice.ticket, "role": "troubleTicket"}]
            if notice.ticket
            else [],
            "planned": notice.planned,
            "excusedSeconds": outage.excused_s,
        }
    }


def budget(notice: BudgetNotice) -> dict[str, Any]:
    """Return how much of a month's downtime budget is used up."""
    period = notice.period
    return {
        "slaBudget": {
            "service": {"id": period.service},
            "period": period.period,
            "periodCoverage": {
                "startDateTime": utc(period.starts),
                "endDateTime": utc(period.ends),
            },
            "target": f"{period.target:f}",
            "burnPercent": notice.burn,
            "downSeconds": period.down_s,
            "excusedSeconds": period.excused_s,
            "unknownSeconds": period.unknown_s,
            "relatedParty": [{"id": notice.customer, "role": "customer"}],
            "billingAccount": {"id": notice.account},
        }
    }


def violation(notice: ViolationNotice) -> dict[str, Any]:
    """Return a TMF623 SLAViolation with its evidence."""
    said = notice.violation
    return {
        "slaViolation": {
            "id": said.id,
            "date": utc(said.detected_at),
            "state": "confirmed",
            "sla": {"id": said.service, "period": said.period, "zone": notice.zone},
            "tier": said.tier,
            "creditShare": f"{said.credit_share:f}",
            "violation": {
                "rule": f"availability >= {said.below:f}",
                "operator": "lt",
                "unitOfMeasure": "share",
                "referenceValue": f"{said.below:f}",
                "actualValue": f"{said.availability:f}",
                "target": f"{said.target:f}",
                "downSeconds": said.down_s,
                "budgetSeconds": said.budget_s,
            },
            "evidence": {
                "outage": said.outage,
                "outageStarts": utc(said.outage_starts),
                "alarms": list(said.alarms),
                "samplesSha256": said.samples_sha256,
            },
            "troubleTicket": said.ticket,
            "relatedParty": [{"id": said.customer, "role": "customer"}],
            "billingAccount": {"id": said.account},
        }
    }


def credit_key(notice: ViolationNotice) -> str:
    """Return the permanent name of the credit: one per (violation, account)."""
    return f"{notice.violation.id}|{notice.violation.account}"


def applied_credit(
    notice: ViolationNotice, contract: Contract, credit: Credit, period: dict[str, str]
) -> dict[str, Any]:
    """Return a TMF678 AppliedCustomerBillingRate: a credit the next bill run takes up."""
    said = notice.violation
    return {
        "appliedCustomerBillingRate": {
            "id": credit_key(notice),
            "name": f"SLA credit {contract.name} {said.period}",
            "description": credit.why,
            "date": utc(said.detected_at),
            "appliedBillingRateType": "appliedBillingCredit",
            "isBilled": False,
            "billingAccount": {"id": said.account},
            "relatedParty": [{"id": said.customer, "role": "customer"}],
            "product": {"id": said.service, "name": contract.name},
            "slaViolation": {"id": said.id},
            "periodCoverage": period,
            "taxExcludedAmount": {
                "unit": credit.currency,
                "value": as_text(credit.minor, credit.currency),
            },
            "amountMinor": credit.minor,
        }
    }


def usage(record: UsageRecord) -> dict[str, Any]:
    """Return a TMF635 Usage: the octets of one port of one service in one slot."""
    return {
        "usage": {
            "id": record.key,
            "usageType": "octets",
            "status": "received",
            "usageDate": utc(record.ends),
            "service": {"id": record.service},
            "resource": {"id": str(record.resource)},
            "relatedParty": [{"id": record.customer, "role": "customer"}],
            "billingAccount": {"id": record.account},
            "periodCoverage": {
                "startDateTime": utc(record.starts),
                "endDateTime": utc(record.ends),
            },
            "inOctets": record.in_octets,
            "outOctets": record.out_octets,
            "coveredSeconds": record.covered_s,
            "completeness": f"{record.completeness:f}",
            "gaps": list(record.gaps),
            "reconstructed": record.reconstructed,
            "sequence": record.sequence,
            "revision": record.revision,
        }
    }


def order(notice: OrderNotice) -> dict[str, Any]:
    """Return a TMF641 ServiceOrder."""
    said = notice.order
    return {
        "serviceOrder": {
            "id": said.id,
            "externalId": said.id,
            "description": said.description,
            "state": said.state.value,
            "orderDate": utc(said.placed_at),
            "lastUpdate": utc(said.changed_at),
            "reason": said.why,
            "serviceOrderItem": [
                {
                    "id": item.number,
                    "action": item.action.value,
                    "state": item.state.value,
                    "service": {"id": item.service},
                    "reason": item.why,
                }
                for item in notice.items
            ],
            "note": [{"date": utc(notice.at), "text": notice.note}] if notice.note else [],
        }
    }


def contract(ordered: Ordered) -> Contract | None:
    """Return the money of an ordered service, None where its order names none."""
    terms, service = ordered.terms, ordered.service
    if terms is None:
        return None
    return Contract(
        service=service.id,
        name=service.name,
        customer=service.customer,
        account=service.account,
        monthly_fee=terms.monthly_fee,
        currency=terms.currency,
        target=service.target,
        tiers=tuple(CreditTier(below=tier.below, credit=tier.credit) for tier in service.tiers),
        incident_cap=terms.incident_cap,
        monthly_cap=terms.monthly_cap,
        minimum_credit=terms.minimum_credit,
    )


def service(notice: ServiceNotice) -> dict[str, Any]:
    """Return a TMF638 Service with what it costs."""
    ordered, said = notice.ordered, notice.ordered.service
    money = contract(ordered)
    body: dict[str, Any] = {
        "id": ordered.id,
        "name": said.name,
        "state": ordered.state.value,
        "startDate": utc_or_none(said.active_from),
        "endDate": utc_or_none(said.active_until),
        "serviceSpecification": {"id": ordered.template},
        "relatedParty": [{"id": said.customer, "role": "customer"}],
        "billingAccount": {"id": said.account},
        "serviceOrder": {"id": ordered.order},
        "supportingResource": [{"id": end.device} for end in ordered.endpoints],
        "changed": utc(notice.at),
    }
    if money is not None:
        body["price"] = {
            "unit": money.currency,
            "monthlyFee": f"{money.monthly_fee:f}",
            "monthlyFeeMinor": to_minor(money.monthly_fee, money.currency),
            "target": f"{money.target:f}",
        }
    return {"service": body}
