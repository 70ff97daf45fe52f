"""What the demo came to: everything read back at one moment, and its figures. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from rich.table import Table

from bss_bridge.money import from_minor
from netopsd.demo_tale import Told

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything read back at one moment: /metrics, the API, both databases, the truth log."""

    past_s: float
    for_s: float
    metrics: str
    alarms: Sequence[Json]
    tickets: Sequence[Json]
    sla: Sequence[Json]
    devices: Sequence[Json]
    tally: Mapping[str, int]
    office: Mapping[str, int]
    credit_totals: Mapping[str, int]
    sources: Mapping[str, int] = field(default_factory=dict)  # who told of alarms, cleared or not
    told: Sequence[Told] = ()
    coming: Sequence[tuple[float, str]] = ()
    _sums: dict[str, float] = field(default_factory=dict)

    def metric(self, name: str) -> float:
        """Return the sum of all series of the sample `name`; of "#name" their number."""
        if not self._sums:
            for family in text_string_to_metric_families(self.metrics):
                for sample in family.samples:
                    self._sums[sample.name] = self._sums.get(sample.name, 0.0) + sample.value
                    self._sums["#" + sample.name] = self._sums.get("#" + sample.name, 0.0) + 1
        return self._sums.get(name, 0.0)

    def tally_prefixed(self, prefix: str) -> int:
        """Return the sum of the store's counts whose name begins so."""
        return sum(number for name, number in self.tally.items() if name.startswith(prefix))


def figures(picture: Picture) -> dict[str, Any]:
    """Return what the story came to, each figure from a database or from /metrics."""
    changes = {k.removeprefix("changes."): v for k, v in picture.tally.items()}
    final = ("tickets.resolved", "tickets.closed")
    totals = {c: float(from_minor(minor, c)) for c, minor in picture.credit_totals.items()}
    return {
        "devices": int(picture.metric("#netopsd_device_up")),
        "polls": int(picture.metric("netopsd_polls_total")),
        "varbinds": int(picture.metric("netopsd_snmp_varbinds_total")),
        "traps": int(picture.tally.get("events", 0)),
        "netconf_alarms": picture.sources.get("netconf", 0),
        "alarms_raised": changes.get("raised", 0),
        "alarms_cleared": changes.get("cleared", 0),
        "flapping": changes.get("flapping", 0),
        "suppressed": changes.get("suppressed", 0),
        "tickets_opened": picture.tally_prefixed("tickets."),
        "tickets_resolved": sum(picture.tally.get(name, 0) for name in final),
        "orders": picture.tally_prefixed("orders."),
        "orders_completed": picture.tally.get("orders.completed", 0),
        "outages": picture.tally_prefixed("outages."),
        "sla_breaches": picture.office.get("sla_violation", 0),
        "usage_records": picture.office.get("usage_record", 0),
        "notices": picture.office.get("care_notice", 0),
        "credits": picture.office.get("credit", 0),
        # One currency gives a number; several are never added up.
        "credit_total": totals if len(totals) > 1 else sum(totals.values()),
        "credit_currencies": sorted(totals),
        "outbox_pending": int(picture.metric("netopsd_outbox_pending")),
        "seconds": round(picture.past_s, 1),
    }


def ending(picture: Picture) -> Table:
    """Return the figures as a table: what, how many, and where each was read."""
    f = figures(picture)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for title in ("what", "figures", "read back from"):
        table.add_column(title, overflow="fold")
    looked = f"{f['devices']} devices, {f['polls']:,} looks, {f['varbinds']:,} values"
    for row in (
        ("polling", looked, "/metrics"),
        ("told unasked", f"{f['traps']} traps and notifications", "netopsd.db"),
        ("alarms", f"{f['alarms_raised']} raised, {f['alarms_cleared']} cleared", "netopsd.db"),
        (
            "  by NETCONF",
            f"{f['netconf_alarms']} told by a device with its own severity",
            "netopsd.db",
        ),
        ("  damped", f"{f['flapping']} flapping port", "netopsd.db"),
        ("  explained", f"{f['suppressed']} symptoms of a root cause", "netopsd.db"),
        (
            "tickets",
            f"{f['tickets_opened']} opened, {f['tickets_resolved']} resolved",
            "netopsd.db",
        ),
        ("orders", f"{f['orders']} placed, {f['orders_completed']} completed", "netopsd.db"),
        ("outages", f"{f['outages']} services", "netopsd.db"),
        ("promises broken", f"{f['sla_breaches']}", "office.db"),
        ("credits", f"{f['credits']}: {money(picture)}", "office.db"),
        ("care notices", f"{f['notices']}", "office.db"),
        ("usage records", f"{f['usage_records']}", "office.db"),
        ("outbox", f"{f['outbox_pending']} waiting", "/metrics"),
    ):
        table.add_row(*row)
    return table


def money(picture: Picture) -> str:
    totals = picture.credit_totals
    return ", ".join(f"{from_minor(minor, c):,.2f} {c}" for c, minor in totals.items()) or "0"
