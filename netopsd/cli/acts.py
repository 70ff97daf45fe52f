"""Acting: what a person asks of the running daemon. It decides, and says why not."""

from __future__ import annotations

import math
from typing import Annotated, Any
from urllib.parse import quote

import typer

from netopsd.cli.client import Client, connect, running
from netopsd.cli.daemon import seconds
from netopsd.cli.lists import cut, dumped, reader
from netopsd.cli.options import (
    Config,
    Json,
    Limit,
    Note,
    Overrides,
    TokenFile,
    Url,
    places,
)

PANEL = "What you do about it"
Alarm = Annotated[str, typer.Argument(help="As `netopsd alarms` shows it.", metavar="ALARM")]
TicketId = Annotated[str, typer.Argument(help="As in TT-000123.", metavar="TICKET")]
MessageId = Annotated[int, typer.Argument(help="As `netopsd outbox` shows it.", metavar="ID")]


def add(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (ack, shelve, unshelve):
        app.command(rich_help_panel=PANEL)(command)
    ticket = typer.Typer(no_args_is_help=True, help="Show a trouble ticket, note on it, move it.")
    for on_ticket in (show, note, move):
        ticket.command()(on_ticket)
    app.add_typer(ticket, name="ticket", rich_help_panel=PANEL)
    messages = typer.Typer(invoke_without_command=True)
    messages.callback()(outbox)
    for on_message in (retry, park):
        messages.command()(on_message)
    app.add_typer(messages, name="outbox", rich_help_panel=PANEL)


def client(config: Any, overrides: list[str] | None, url: str | None, token: Any) -> Client:
    """Return the daemon's API. With --url no configuration is read."""
    if url is not None:
        return connect(url, ("", 0), token)
    where = places(config, overrides)
    return connect(running(where.state), (where.http.host, where.http.port), token)


def ack(
    alarm: Alarm,
    note: Note = "",
    undo: Annotated[bool, typer.Option("--undo", help="Take it back.")] = False,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Acknowledge an alarm: a person has seen it. It stays until what is wrong is right.

    Example: netopsd ack 'osl-gw1/if/ge-0/0/1!link-down' --note "fibre crew is on the way"
    """
    api = client(config, overrides, url, token_file)
    api.post(f"alarms/{quote(alarm, safe='')}/{'unack' if undo else 'ack'}", {"note": note})
    print(f"{alarm}: {'no longer acknowledged' if undo else 'acknowledged'}")


def shelve(
    alarm: Alarm,
    for_: Annotated[str, typer.Option("--for", help="How long, at most 30 days.")] = "1h",
    note: Note = "",
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Put an alarm out of sight for some time. It comes back by itself.

    Example: netopsd shelve 'osl-gw1/if/ge-0/0/1!link-down' --for 2h --note CHG-4711
    """
    minutes = math.ceil(seconds(for_, "--for") / 60)
    api = client(config, overrides, url, token_file)
    body = {"minutes": minutes, "note": note}
    told = api.post(f"alarms/{quote(alarm, safe='')}/shelve", body)
    print(f"{alarm}: shelved until {told['shelvedUntil']}")


def unshelve(
    alarm: Alarm,
    note: Note = "",
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Bring a shelved alarm back into sight.

    Example: netopsd unshelve 'osl-gw1/if/ge-0/0/1!link-down'
    """
    api = client(config, overrides, url, token_file)
    api.post(f"alarms/{quote(alarm, safe='')}/unshelve", {"note": note})
    print(f"{alarm}: back in sight")


def show(
    ticket: TicketId,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Show one ticket and everything that was written on it. Reads the store, needs no daemon.

    Example: netopsd ticket show TT-000123
    """
    from netopsd.cli import show as screen
    from netopsd.web.words import NoteOut, TicketOut

    source = reader(config, overrides)
    found = source.ticket(ticket)
    if found is None:
        screen.warn(f"there is no ticket {ticket}; `netopsd tickets --all` lists them")
        raise typer.Exit(1)
    notes = source.notes(ticket)[::-1]
    if as_json:
        screen.as_json(dumped([TicketOut.of(found, [NoteOut.of(one) for one in notes])])[0])
        return
    facts = (
        ("status", f"{found.status.value} since {screen.shown(found.changed_at)}"),
        ("severity", found.severity.value),
        ("priority", found.priority),
        ("cause", found.cause),
        ("services", " ".join(found.services) or "none hurt"),
        ("symptoms", found.symptoms),
        ("opened", found.opened_at),
        ("resolved", found.resolved_at or "not yet"),
        ("why", found.why),
    )
    screen.as_table(("", ""), facts, title=f"{found.id}  {found.title}")
    lines = ((one.at, one.by, one.status.value, one.text) for one in notes)
    screen.as_table(("at", "by", "status", "note"), lines, none="no notes")


def note(
    ticket: TicketId,
    text: Annotated[str, typer.Argument(help="What to write.", metavar="TEXT")],
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Write a note on a ticket.

    Example: netopsd ticket note TT-000123 "splicing, 40 minutes left"
    """
    api = client(config, overrides, url, token_file)
    api.post(f"tickets/{quote(ticket, safe='')}/notes", {"text": text})
    print(f"{ticket}: noted")


def move(
    ticket: TicketId,
    status: Annotated[
        str, typer.Argument(help="inProgress, held, resolved, closed … (TMF621)", metavar="STATUS")
    ],
    note: Note = "",
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Move a ticket to another status, where TMF621 knows a way there.

    Example: netopsd ticket move TT-000123 inProgress --note "on it"
    """
    from netopsd.cli.lists import member
    from netopsd.core.beliefs import TicketStatus

    member(TicketStatus, status, "STATUS")
    api = client(config, overrides, url, token_file)
    body = {"status": status, "note": note}
    told = api.post(f"tickets/{quote(ticket, safe='')}/status", body)
    print(f"{ticket}: {told['status']}")


def outbox(
    context: typer.Context,
    sink: Annotated[str, typer.Option(help="Only for this sink.")] = "",
    parked: Annotated[bool, typer.Option("--parked", help="Only those put aside.")] = False,
    all_: Annotated[bool, typer.Option("--all", "-a", help="Delivered ones, too.")] = False,
    limit: Limit = 1000,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """List messages not delivered yet, oldest first; retry or park one.

    Example: netopsd outbox --parked · netopsd outbox retry 4711
    """
    if context.invoked_subcommand is not None:
        return
    from netopsd.cli import show as screen
    from netopsd.web.words import MessageOut

    states = ("parked",) if parked else ("waiting", "parked", *(("sent",) if all_ else ()))
    found = cut(reader(config, overrides).outbox(sink=sink, states=states, limit=limit + 1), limit)
    if as_json:
        said = dumped(MessageOut.of(one.pending) for one in found)
        screen.as_json([row | {"state": one.state} for row, one in zip(said, found, strict=True)])
        return
    rows = (
        (
            one.pending.id,
            one.state,
            one.pending.message.sink,
            one.pending.message.topic,
            one.pending.message.stream,
            one.pending.message.at,
            one.pending.attempts,
            one.pending.next_at if one.state == "waiting" else None,
            one.pending.reason,
        )
        for one in found
    )
    columns = (
        "→id", "state", "sink", "topic", "stream", "since", "→attempts", "next", "reason",
    )  # fmt: skip
    screen.as_table(columns, rows, none="nothing is waiting")


def retry(
    message: MessageId,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Deliver a parked or postponed message now.

    Example: netopsd outbox retry 4711
    """
    client(config, overrides, url, token_file).post(f"outbox/{message}/retry", {})
    print(f"message {message}: will be delivered now")


def park(
    message: MessageId,
    why: Annotated[str, typer.Option("--why", help="Kept with the message.")],
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Put a message aside, so that others of its account can pass. It is kept.

    Example: netopsd outbox park 4711 --why "account was merged, see CRM-99"
    """
    body = {"reason": why}
    client(config, overrides, url, token_file).post(f"outbox/{message}/park", body)
    print(f"message {message}: parked")
