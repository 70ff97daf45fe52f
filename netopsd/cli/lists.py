"""Lists of what the store holds. They work while the daemon runs, and while it does not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from netopsd.cli.options import Config, Json, Limit, Overrides, folder_of, places

if TYPE_CHECKING:
    from pydantic import BaseModel

    from netopsd.store.read import Reader

T = TypeVar("T")
PANEL = "What it knows"
MOST = 1_000_000  # of what is read to understand the rest


def add(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (alarms, tickets, sla, usage):
        app.command(rich_help_panel=PANEL)(command)


def reader(config: Any, overrides: list[str] | None) -> Reader:
    """Return a reader of the daemon's database. Raises BadConfiguration."""
    from netopsd.store.connect import database_path
    from netopsd.store.read import Reader

    url = places(config, overrides).store_url
    path = database_path(url)
    if not path.exists():
        from netopsd.cli.show import warn

        warn(f"there is no database {path} yet; start `netopsd run`, or name its --config")
        raise typer.Exit(1)
    return Reader(url)


def dumped(items: Iterable[BaseModel]) -> list[Any]:
    """Return what the API says of `items`, ready for JSON."""
    return [item.model_dump(mode="json", by_alias=True) for item in items]


def cut(found: Sequence[T], limit: int) -> Sequence[T]:
    """Return at most `limit` of what was found, saying so where that is not all of it."""
    if len(found) > limit:
        from netopsd.cli.show import warn

        warn(f"there are more than the {limit} shown; --limit shows more")
    return found[:limit]


def alarms(
    all_: Annotated[bool, typer.Option("--all", "-a", help="Cleared ones, too.")] = False,
    severity: Annotated[
        list[str] | None, typer.Option(help="Only critical, major, minor … Repeatable.")
    ] = None,
    device: Annotated[str, typer.Option(help="Only of this device.")] = "",
    history: Annotated[
        str, typer.Option(metavar="ALARM", help="What happened to one alarm, newest first.")
    ] = "",
    limit: Limit = 1000,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """List alarms, the worst first. Shelved ones and explained symptoms are marked.

    Example: netopsd alarms --severity critical --severity major
    """
    from netopsd.cli import show
    from netopsd.core.beliefs import Phase, Severity
    from netopsd.web.words import AlarmOut

    source = reader(config, overrides)
    if history:
        _tell_history(source, history, limit, as_json)
        return
    phases = () if all_ else (Phase.ACTIVE,)
    severities = [member(Severity, word, "--severity") for word in severity or ()]
    found = cut(
        source.alarms(phases=phases, severities=severities, device=device, limit=limit + 1), limit
    )
    if as_json:
        show.as_json(dumped(AlarmOut.of(alarm) for alarm in found))
        return
    rows = (
        (
            "cleared" if alarm.phase is Phase.CLEARED else alarm.severity.value,
            alarm.raised_at or alarm.since,
            alarm.key,
            alarm.text,
            _marks(alarm),
        )
        for alarm in found
    )
    show.as_table(("severity", "raised", "alarm", "text", "state"), rows, none="no alarms")


def _tell_history(source: Reader, alarm: str, limit: int, as_json: bool) -> None:
    from netopsd.cli import show
    from netopsd.web.words import ChangeOut

    changes = cut(source.changes(alarm=alarm, limit=limit + 1), limit)
    if as_json:
        show.as_json(dumped(ChangeOut.of(change) for change in changes))
        return
    lines = ((c.at, c.what, c.severity.value, c.by, c.why) for c in changes)
    show.as_table(("at", "what", "severity", "by", "why"), lines, none="no such alarm")


def member(words: Any, said: str, option: str) -> Any:
    """Return a member of an enumeration by its value. Raises typer.BadParameter."""
    if said not in set(words):
        near = ", ".join(words)
        raise typer.BadParameter(f"{said!r} is none of: {near}", param_hint=option)
    return words(said)


def _marks(alarm: Any) -> str:
    marks = [
        (alarm.flapping, "flapping"),
        (alarm.acked_by, f"acknowledged by {alarm.acked_by}"),
        (alarm.shelved_until, f"shelved by {alarm.shelved_by}"),
        (alarm.root, f"explained by {alarm.root}"),
        (alarm.maintenance, f"in {alarm.maintenance}"),
    ]
    return ", ".join(text for holds, text in marks if holds)


def tickets(
    all_: Annotated[bool, typer.Option("--all", "-a", help="Closed ones, too.")] = False,
    status: Annotated[
        list[str] | None, typer.Option(help="Only inProgress, resolved … Repeatable.")
    ] = None,
    limit: Limit = 1000,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """List trouble tickets, newest first. `netopsd ticket show ID` shows one with its notes.

    Example: netopsd tickets --status inProgress
    """
    from netopsd.cli import show
    from netopsd.core.beliefs import FINAL, TicketStatus
    from netopsd.web.words import TicketOut

    wanted = [member(TicketStatus, word, "--status") for word in status or ()]
    if not wanted and not all_:
        wanted = [word for word in TicketStatus if word not in FINAL]
    found = cut(reader(config, overrides).tickets(statuses=wanted, limit=limit + 1), limit)
    if as_json:
        show.as_json(dumped(TicketOut.of(ticket) for ticket in found))
        return
    rows = (
        (
            ticket.id,
            ticket.status.value,
            ticket.severity.value,
            ticket.priority,
            ticket.opened_at,
            ticket.title,
            " ".join(ticket.services),
            ticket.symptoms,
        )
        for ticket in found
    )
    columns = (
        "ticket", "status", "severity", "→priority", "opened", "title", "services", "→symptoms",
    )  # fmt: skip
    show.as_table(columns, rows, none="no open tickets" if not all_ else "no tickets")


def sla(
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    period: Annotated[str, typer.Option(help="Only this month, 2026-11.")] = "",
    limit: Limit = 1000,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """List what was promised and what was kept, the most endangered promise first.

    Unknown time is neither up nor down: availability is given without it, and at worst.

    Example: netopsd sla --period 2026-11
    """
    from netopsd.cli import show
    from netopsd.core.ordered import ServiceLife
    from netopsd.settings import load
    from netopsd.web.words import SlaOut

    source = reader(config, overrides)
    services = dict(load(folder_of(config), overrides or ()).inventory.services)
    active = (one for one in source.ordered(limit=MOST) if one.state is ServiceLife.ACTIVE)
    services |= {one.id: one.service for one in active}
    periods = cut(source.periods(service=service, period=period, limit=limit + 1), limit)
    gone = sorted({one.service for one in periods} - set(services))
    if gone:
        show.warn(f"neither configured nor ordered any longer, left out: {', '.join(gone)}")
    found = [SlaOut.of(services[p.service], p) for p in periods if p.service in services]
    found.sort(key=lambda one: -_burn(one))
    if as_json:
        show.as_json(dumped(found))
        return
    columns = (
        "service", "customer", "month", "→target", "→availability", "→at worst", "→down",
        "→allowed", "→used", "promise",
    )  # fmt: skip
    show.as_table(columns, map(_sla_row, found), none="nothing has been measured yet")


def _sla_row(one: Any) -> tuple[object, ...]:
    from netopsd.cli.show import duration

    return (
        one.service,
        one.customer,
        one.period,
        percent(one.target),
        percent(one.availability),
        percent(one.availability_min),
        duration(one.down_seconds),
        duration(one.budget_seconds),
        f"{_burn(one):.0%}" if one.target else "",
        "broken" if one.tiers_broken else "kept" if one.target else "no promise",
    )


def _burn(one: Any) -> float:
    return float("inf") if one.budget_burn_ratio is None else float(one.budget_burn_ratio)


def percent(share: Any) -> str:
    """Return 99.9995 % for Decimal("0.999995")."""
    return f"{(share * 100).normalize():f} %"


def usage(
    service: Annotated[str, typer.Option(help="Only this service.")] = "",
    limit: Limit = 100,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """List usage records, newest first: octets of a service's ports, and what was not seen.

    Example: netopsd usage --service ACME-OSL-1 --limit 12
    """
    from netopsd.cli import show
    from netopsd.web.words import UsageOut

    found = cut(reader(config, overrides).usage(service=service, limit=limit + 1), limit)
    if as_json:
        show.as_json(dumped(UsageOut.of(record) for record in found))
        return
    rows = (
        (
            record.service,
            record.resource,
            record.starts,
            record.ends,
            f"{record.in_octets:,}",
            f"{record.out_octets:,}",
            percent(record.completeness),
            "; ".join(record.gaps),
        )
        for record in found
    )
    columns = (
        "service", "port", "from", "to", "→octets in", "→octets out", "→complete", "gaps",
    )  # fmt: skip
    show.as_table(columns, rows, none="no usage records")
