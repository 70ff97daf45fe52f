"""What the demo shows: pure functions from what was read back to figures, a line, a screen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from prometheus_client.parser import text_string_to_metric_families
from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bss_bridge.money import from_minor

COLOURS = {
    "critical": "bold red",
    "major": "red",
    "minor": "yellow",
    "warning": "cyan",
    "cleared": "green",
    "resolved": "green",
    "closed": "green",
    "answering": "green",
    "unreachable": "bold red",
    "silent": "yellow",
}
MOST_ROWS = 12
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """Everything read back at one moment: /metrics, the API, both databases."""

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
    headlines: tuple[str, ...] = ()
    _sums: dict[str, float] = field(default_factory=dict)

    def metric(self, name: str) -> float:
        """Return the sum of all series of the sample `name`."""
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
    money = {c: float(from_minor(minor, c)) for c, minor in picture.credit_totals.items()}
    return {
        "devices": int(picture.metric("#netopsd_device_up")),
        "polls": int(picture.metric("netopsd_polls_total")),
        "varbinds": int(picture.metric("netopsd_snmp_varbinds_total")),
        "traps": int(picture.tally.get("events", 0)),
        "alarms_raised": changes.get("raised", 0),
        "alarms_cleared": changes.get("cleared", 0),
        "flapping": changes.get("flapping", 0),
        "suppressed": changes.get("suppressed", 0),
        "tickets_opened": picture.tally_prefixed("tickets."),
        "tickets_resolved": sum(picture.tally.get(name, 0) for name in final),
        "outages": picture.tally_prefixed("outages."),
        "sla_breaches": picture.office.get("sla_violation", 0),
        "usage_records": picture.office.get("usage_record", 0),
        "notices": picture.office.get("care_notice", 0),
        "credits": picture.office.get("credit", 0),
        # One currency gives a number; several are never added up.
        "credit_total": money if len(money) > 1 else sum(money.values()),
        "credit_currencies": sorted(money),
        "outbox_pending": int(picture.metric("netopsd_outbox_pending")),
        "seconds": round(picture.past_s, 1),
    }


def line(picture: Picture) -> str:
    """Return the picture in one line, for where there is no terminal."""
    f = figures(picture)
    active = [a for a in picture.alarms if a["perceivedSeverity"] != "cleared"]
    roots = [a for a in active if a["isRootCause"]]
    return (
        f"alarms {len(roots)} (+{len(active) - len(roots)} explained)"
        f"  tickets {f['tickets_opened']} ({f['tickets_resolved']} resolved)"
        f"  outages {f['outages']}  breaches {f['sla_breaches']}  credits {f['credits']}"
        f"  notices {f['notices']}  usage records {f['usage_records']}"
    )


def screen(picture: Picture) -> RenderableType:
    """Return the picture for a terminal."""
    f = figures(picture)
    head = Text.assemble(
        ("netopsd demo  ", "bold"),
        f"{picture.past_s:4.0f} s of {picture.for_s:.0f}   polls {f['polls']:,}"
        f"   values {f['varbinds']:,}   traps {f['traps']}   outbox {f['outbox_pending']}",
    )
    top = Table.grid(expand=True)
    top.add_column(ratio=2)
    top.add_column(ratio=3)
    top.add_row(_devices(picture), _alarms(picture))
    bottom = Table.grid(expand=True)
    bottom.add_column(ratio=3)
    bottom.add_column(ratio=2)
    bottom.add_row(_tickets(picture), _sla(picture))
    return Group(head, top, bottom, _office(picture, f))


def _coloured(word: str) -> Text:
    return Text(word, style=COLOURS.get(word, ""))


def _devices(picture: Picture) -> Panel:
    table = Table.grid(padding=(0, 2))
    for device in picture.devices[:MOST_ROWS]:
        table.add_row(Text(device["name"]), Text(device["site"], "dim"), _coloured(device["reach"]))
    return Panel(table, title="devices", title_align="left")


def _alarms(picture: Picture) -> Panel:
    table = Table.grid(padding=(0, 2))
    active = [a for a in picture.alarms if a["perceivedSeverity"] != "cleared"]
    for alarm in sorted(active, key=lambda a: not a["isRootCause"])[:MOST_ROWS]:
        mark = " (flapping)" if alarm["flapping"] else ""
        explained = "" if alarm["isRootCause"] else f"← {alarm['parentAlarm'][0]['id']}"
        table.add_row(
            _coloured(alarm["perceivedSeverity"]),
            Text(alarm["alarmDetails"] + mark, "" if alarm["isRootCause"] else "dim"),
            Text(explained, "dim"),
        )
    if not active:
        table.add_row(Text("none", "green"))
    return Panel(table, title="alarms", title_align="left")


def _tickets(picture: Picture) -> Panel:
    table = Table.grid(padding=(0, 2))
    for ticket in picture.tickets[:6]:
        hurt = sum(1 for r in ticket["relatedEntity"] if r["role"] == "affectedService")
        table.add_row(
            ticket["id"],
            _coloured(ticket["status"]),
            f"P{ticket['priority']}",
            Text(ticket["name"]),
            Text(f"{hurt} services, {ticket['symptoms']} symptoms", "dim"),
        )
    if not picture.tickets:
        table.add_row(Text("none", "green"))
    return Panel(table, title="trouble tickets", title_align="left")


def _sla(picture: Picture) -> Panel:
    table = Table.grid(padding=(0, 2))
    for period in picture.sla[:MOST_ROWS]:
        burn = period["budgetBurnRatio"] or 0.0
        style = "red" if burn >= 1 else "yellow" if burn >= 0.5 else "green"
        bar = ProgressBar(total=1.0, completed=min(1.0, burn), width=16, complete_style=style)
        table.add_row(Text(period["service"]), bar, Text(f"{burn:6.0%}", style))
    return Panel(table, title="SLA: downtime budget used", title_align="left")


def _office(picture: Picture, f: Mapping[str, Any]) -> Panel:
    totals = picture.credit_totals
    money = ", ".join(f"{from_minor(minor, c):,.2f} {c}" for c, minor in totals.items())
    said = (
        f"usage records {f['usage_records']}   breaches {f['sla_breaches']}"
        f"   credits {f['credits']} ({money})"
        f"   care notices {f['notices']}"
    )
    lines = [Text(said), *(Text(headline, "dim") for headline in picture.headlines)]
    return Panel(Group(*lines), title="office: billing and CRM", title_align="left")
