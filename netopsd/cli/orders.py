"""Service orders: put services in force on the network, and see what became of them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import date, time
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import quote

import typer

from netopsd.cli.acts import client
from netopsd.cli.lists import cut, dumped, member, reader
from netopsd.cli.options import Config, Json, Limit, Note, Overrides, TokenFile, Url
from netopsd.logs import plain

PANEL = "Services to order"
OrderId = Annotated[str, typer.Argument(help="As `netopsd orders` shows it.", metavar="ORDER")]
REFERENCES = {"template": "serviceSpecification", "account": "billingAccount"}


def add(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    for command in (activate, orders):
        app.command(rich_help_panel=PANEL)(command)
    app.command("order", rich_help_panel=PANEL)(order)
    app.command("cancel-order", rich_help_panel=PANEL)(cancel)


def activate(
    file: Annotated[Path, typer.Argument(help="The order, in TOML.", metavar="ORDER.toml")],
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would change on each device, no more.")
    ] = False,
    as_json: Json = False,
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Place a service order with the running daemon, which carries it out on all devices or none.

    The same order again adds nothing: what a crash interrupted can be placed once more.

    Example: netopsd activate order.toml --dry-run && netopsd activate order.toml
    """
    from netopsd.cli import show

    body = in_api_words(read(file))
    api = client(config, overrides, url, token_file)
    told = api.post("orders/compare" if dry_run else "orders", body, many=dry_run)
    if as_json:
        show.as_json(told)
    elif not dry_run:
        print(f"{told['id']}: {told['state']}; follow it by: netopsd order {told['id']}")
    else:
        for one in told:
            print(f"item {one['item']}, {one['service']} on {one['device']}:")
            why = f"! {one['why']}" if one["why"] else "no difference"
            for line in one["lines"] or [why]:
                print(f"  {plain(line)}")


def orders(
    state: Annotated[
        list[str] | None, typer.Option(help="Only inProgress, failed … (TMF641). Repeatable.")
    ] = None,
    limit: Limit = 1000,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """List service orders, newest first.

    Example: netopsd orders --state inProgress --state pending
    """
    from netopsd.cli import show
    from netopsd.core.ordered import OrderState
    from netopsd.web.orders import OrderOut

    states = [member(OrderState, word, "--state") for word in state or ()]
    found = cut(reader(config, overrides).orders(states=states, limit=limit + 1), limit)
    if as_json:
        show.as_json(dumped(map(OrderOut.of, found)))
        return
    rows = (
        (o.id, o.state.value, len(o.items), o.placed_at, o.changed_at, o.placed_by, o.why)
        for o in found
    )
    columns = ("order", "state", "→items", "placed", "changed", "by", "why")
    show.as_table(columns, rows, none="no orders")


def order(
    id: OrderId,
    as_json: Json = False,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Show one order: its items, and everything that happened to it.

    Example: netopsd order SO-4711
    """
    from netopsd.cli import show
    from netopsd.web.orders import OrderOut

    source = reader(config, overrides)
    found = source.orders(id=id, limit=1)
    if not found:
        show.warn(f"there is no order {id}; `netopsd orders` lists them")
        raise typer.Exit(1)
    items, notes = source.order_items(id), source.order_notes(id)[::-1]
    if as_json:
        show.as_json(dumped([OrderOut.of(found[0], items, notes)])[0])
        return
    title = f"{id}  {found[0].state.value}  {found[0].description}"
    rows = (
        (i.number, i.action.value, i.service, i.state.value, " ".join(i.devices), i.why)
        for i in items
    )
    columns = ("item", "action", "service", "state", "devices", "why")
    show.as_table(columns, rows, title=title)
    lines = ((n.at, n.by, n.item, n.state.value, n.text) for n in notes)
    show.as_table(("at", "by", "item", "order is", "what"), lines)


def cancel(
    id: OrderId,
    note: Note = "",
    url: Url = None,
    token_file: TokenFile = None,
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Cancel an order of which nothing is in force yet; what is on devices is taken back.

    Example: netopsd cancel-order SO-4711 --note "customer withdrew"
    """
    api = client(config, overrides, url, token_file)
    told = api.post(f"orders/{quote(id, safe='')}/cancel", {"note": note})
    print(f"{id}: {told['state']}: {told['reason']}")


def read(file: Path) -> dict[str, Any]:
    """Return an order file's content. Raises typer.BadParameter, saying what is wrong."""
    from netopsd.settings.files import BadFile, read_source

    try:
        said = read_source(Path(), str(file)).data
    except BadFile as error:
        raise typer.BadParameter(f"{file}: {error}") from None
    for path, value in leaves(said):
        if isinstance(value, date | time):
            what = f'write it as text in quotes, "{value.isoformat()}"'
        elif isinstance(value, float) and not math.isfinite(value):
            what = f"{value} is no number that can be sent"
        else:
            continue
        raise typer.BadParameter(f"{file}: {path}: {what}")
    return said


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield everything in `value` that is no table and no array, with where it stands."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for i, inner in enumerate(value, 1):
            yield from leaves(inner, f"{path}[{i}]")
    else:
        yield path, value


def in_api_words(said: Mapping[str, Any]) -> dict[str, Any]:
    """Return an order file's content as the API takes it (TMF641). Unknown keys stay."""
    more = {key: value for key, value in said.items() if key not in ("id", "description", "item")}
    rows = said.get("item", [])
    items = [_item(row) for row in rows] if isinstance(rows, list) else rows
    body = {"externalId": said.get("id", ""), "serviceOrderItem": items, **more}
    return body if "description" not in said else {**body, "description": said["description"]}


def _item(row: Any) -> Any:
    if not isinstance(row, Mapping):
        return row
    service: dict[str, Any] = {"id": row.get("service", "")}
    item: dict[str, Any] = {}
    for key, value in row.items():
        if key in ("action", "number"):
            item["id" if key == "number" else key] = value
        elif key in REFERENCES:
            service[REFERENCES[key]] = {"id": value}
        elif key != "service":
            service["unreachableIsDown" if key == "unreachable_is_down" else key] = value
    return {**item, "service": service}
