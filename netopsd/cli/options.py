"""Options that many commands share."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from netopsd.settings.loading import Places

SYSTEM_FOLDER = Path("/etc/netopsd")
DEFAULT_SAID = "$NETOPSD_CONFIG, else ./config, else /etc/netopsd"

Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        "-c",
        help="Folder of netopsd.toml and its companions.",
        show_default=DEFAULT_SAID,
        file_okay=True,  # a file is refused by load(), which says what is wanted
    ),
]
Overrides = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Overrule a key of netopsd.toml: --set http.listen=127.0.0.1:0. Repeatable.",
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Limit = Annotated[int, typer.Option("--limit", "-n", min=1, max=100_000, help="At most so many.")]
TokenFile = Annotated[
    Path | None,
    typer.Option(
        "--token-file",
        help="File of the operator's token.",
        show_default="$NETOPSD_TOKEN",
    ),
]
Url = Annotated[
    str | None,
    typer.Option(
        "--url", help="Where the daemon's API is.", show_default="http.listen of --config"
    ),
]
Note = Annotated[str, typer.Option("--note", help="For the record.")]


def folder_of(config: Path | None) -> Path:
    """Return the configuration's folder: as said, else $NETOPSD_CONFIG, ./config, /etc/netopsd."""
    if config is not None:
        return config.parent if config.name == "netopsd.toml" and config.is_file() else config
    said = os.environ.get("NETOPSD_CONFIG", "")
    if said:
        return Path(said)
    here = Path("config")
    return here if (here / "netopsd.toml").is_file() else SYSTEM_FOLDER


def places(config: Path | None, overrides: list[str] | None) -> Places:
    """Return where databases and API are, from netopsd.toml alone. Raises BadConfiguration."""
    from netopsd.settings.loading import load_places

    return load_places(folder_of(config), overrides or ())
