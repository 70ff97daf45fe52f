"""run, demo, check, dump: the daemon and its configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from netopsd.cli.options import Config, Json, Overrides, folder_of
from netopsd.errors import BadConfiguration


def add(app: typer.Typer) -> None:
    """Add these commands to the command line."""
    app.command(rich_help_panel="The daemon")(run)
    app.command(rich_help_panel="The daemon")(demo)
    app.command(rich_help_panel="The daemon")(check)
    app.command(rich_help_panel="The daemon")(dump)


def run(
    config: Config = None,
    overrides: Overrides = None,
    record: Annotated[
        Path | None,
        typer.Option(help="Also write everything that enters the inbox here, for `replay`."),
    ] = None,
) -> None:
    """Watch the network until told to stop.

    SIGHUP reads the configuration anew, whole or not at all. Ctrl-C or SIGTERM ends cleanly.

    Example: netopsd run --config /etc/netopsd --set log.level=debug
    """
    from netopsd import garbage

    garbage.hold()
    from netopsd import start

    raise typer.Exit(start.run(folder_of(config), tuple(overrides or ()), record) or 0)


def demo(
    for_: Annotated[
        str,
        typer.Option("--for", help="End by itself after that long: 60s.", show_default=False),
    ] = "",
    as_json: Json = False,
) -> None:
    """Run the main job on a simulated network: a fibre is cut, customers get credits.

    Needs no root, no broker and no database server. Ctrl-C ends it at any time.

    Example: netopsd demo --for 60s --json
    """
    from netopsd import demo as story

    for_s = seconds(for_, "--for") if for_ else None
    raise typer.Exit(story.main(for_s, as_json) or 0)


def check(config: Config = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Check the whole configuration without starting anything.

    All mistakes at once, each with file, key, line and the nearest right word; exit code 2.

    Example: netopsd check --config /etc/netopsd
    """
    from netopsd import garbage

    garbage.hold()  # ten thousand devices are soon checked, and then we end
    from netopsd.cli.show import as_json as print_json
    from netopsd.settings import load

    folder = folder_of(config)
    try:
        settings = load(folder, overrides or ())
    except BadConfiguration as bad:
        if as_json:
            print_json({"ok": False, "problems": list(bad.problems)})
            raise typer.Exit(2) from None
        raise
    inventory = settings.inventory
    counts = {
        "devices": len(inventory.devices),
        "tables": len(settings.tables),
        "thresholds": len(inventory.thresholds),
        "events": len(inventory.events),
        "services": len(inventory.services),
        "contracts": len(settings.contracts),
        "customers": len(settings.customers),
        "windows": len(inventory.windows),
        "sinks": len(settings.sinks),
    }
    if as_json:
        print_json({"ok": True, "problems": [], **counts})
    else:
        told = ", ".join(f"{count} {what}" for what, count in counts.items())
        print(f"{folder} is in order: {told}")


def dump(config: Config = None, overrides: Overrides = None, as_json: Json = False) -> None:
    """Print the configuration in effect: defaults and templates filled in, secrets hidden.

    Example: netopsd dump --config /etc/netopsd --json | jq .targets
    """
    from netopsd.cli.show import as_json as print_json
    from netopsd.settings import load
    from netopsd.settings.describing import describe, to_toml

    described = describe(load(folder_of(config), overrides or ()))
    if as_json:
        print_json(described)
    else:
        print(to_toml(described), end="")


def seconds(text: str, option: str) -> float:
    """Return a duration said on the command line. Raises typer.BadParameter."""
    from netopsd.settings.words import duration

    try:
        value = duration(float(text) if text.replace(".", "", 1).isdigit() else text)
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
    if value <= 0:
        raise typer.BadParameter("must be longer than 0 seconds", param_hint=option)
    return value
