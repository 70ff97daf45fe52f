"""replay: a recorded story, judged again by the same `decide`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from netopsd.cli.options import Json

if TYPE_CHECKING:
    from netopsd.core.outcome import Notice, Outcome

PANEL = "Understanding it"


def add(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(rich_help_panel=PANEL)(replay)


def replay(
    file: Annotated[
        Path, typer.Argument(help="Written by `netopsd run --record FILE`.", metavar="FILE")
    ],
    changes: Annotated[
        bool, typer.Option("--changes", help="Every change of every alarm, with its reason.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Judge a recorded story again: what was told, when, and why. Nothing is stored or sent.

    Example: netopsd replay incident.jsonl --changes
    """
    from netopsd.cli import show
    from netopsd.core.outcome import Outcome
    from netopsd.logs import plain
    from netopsd.story import judge, read

    counts: Counter[str] = Counter()
    told: list[dict[str, Any]] = []
    with file.open(encoding="utf-8", errors="surrogateescape") as lines:
        for _, said, outcome in judge(read(lines)):
            counts["inputs"] += 1
            counts[f"inputs_{type(said).__name__.lower()}"] += 1
            if not isinstance(outcome, Outcome):
                told.append({"at": said.at, "what": "refused", "text": str(outcome)})
                counts["refused"] += 1
            else:
                told += _told(outcome, changes, counts)
            if not as_json:
                for line in told:
                    print(plain(f"{show.shown(line['at'])}  {line['what']:16} {line['text']}"))
                told.clear()
    if as_json:
        show.as_json({"counts": counts, "told": told})
    else:
        print(", ".join(f"{name.replace('_', ' ')} {n}" for name, n in sorted(counts.items())))


def _told(outcome: Outcome, changes: bool, counts: Counter[str]) -> list[dict[str, Any]]:
    lines = []
    for change in outcome.changes:
        counts[f"changes_{change.what}"] += 1
        if changes:
            text = f"{change.alarm} {change.severity}: {change.why}"
            lines.append({"at": change.at, "what": f"alarm {change.what}", "text": text})
    for notice in outcome.notices:
        what, text = _notice(notice)
        counts[what.replace(" ", "_")] += 1
        if not (changes and what.startswith("alarm ")):
            lines.append({"at": notice.at, "what": what, "text": text})
    return lines


def _notice(notice: Notice) -> tuple[str, str]:
    """Return what a notice is about, in one word or two, and its text."""
    from netopsd.core import outcome as o

    match notice:
        case o.AlarmNotice():
            alarm = notice.alarm
            said = f"alarm {notice.what}", f"{alarm.key} {alarm.severity}: {alarm.why}"
        case o.TicketNotice():
            ticket = notice.ticket
            said = f"ticket {notice.what}", f"{ticket.id} {ticket.title}: {ticket.why}"
        case o.OutageNotice():
            planned = " (planned)" if notice.planned else ""
            said = f"outage {notice.what}", f"{notice.outage.id} {notice.cause}{planned}"
        case o.BudgetNotice():
            said = "budget", f"{notice.period.service}: {notice.burn} % of the downtime budget used"
        case o.ViolationNotice():
            broken = notice.violation
            said = "violation", f"{broken.id}: {broken.availability} is below {broken.below}"
        case o.UsageNotice():
            record = notice.record
            said = "usage", f"{record.key}: {record.in_octets} in, {record.out_octets} out"
        case o.OrderNotice():
            order = notice.order
            said = f"order {notice.what}", f"{order.id} {order.state}: {notice.note}"
        case o.ServiceNotice():
            said = f"service {notice.what}", f"{notice.ordered.id} by {notice.ordered.order}"
    return said
