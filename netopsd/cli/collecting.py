"""collect: a site's devices, polled near them."""

from __future__ import annotations

import socket
from typing import Annotated

import typer

from netopsd.cli.options import Config, Overrides, folder_of


def add(app: typer.Typer) -> None:
    """Add this command to the command line."""
    app.command(rich_help_panel="The daemon")(collect)


def collect(
    site: Annotated[
        str, typer.Option("--site", help="Whose devices to poll: one of collect.remote.")
    ],
    name: Annotated[
        str,
        typer.Option(
            "--name",
            help="What this collector is called, unlike any other of its site.",
            show_default="the host's name",
        ),
    ] = "",
    config: Config = None,
    overrides: Overrides = None,
) -> None:
    """Poll the devices of a site near them and send what is seen through the broker.

    Looks are kept on disk while the broker or the core is away.

    Several collectors of one site share its devices and take over from one another.

    Example: netopsd collect --site bergen --config /etc/netopsd
    """
    from collectors.mqtt.topics import NAME
    from netopsd import collect as collecting

    name = name or socket.gethostname()
    for option, said in (("--site", site), ("--name", name)):
        if not NAME.fullmatch(said):
            what = "letters, digits and . _ : @ -, at most 64 of them"
            raise typer.BadParameter(what, param_hint=option)
    raise typer.Exit(collecting.run(folder_of(config), site, name, tuple(overrides or ())) or 0)
