"""Tables for people, JSON for programs. What devices say cannot steer the terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from netopsd.logs import plain

STYLES = {
    "critical": "bold red",
    "major": "red",
    "minor": "yellow",
    "warning": "cyan",
    "cleared": "green",
    "unreachable": "bold red",
    "resolved": "green",
    "closed": "dim",
    "parked": "bold red",
}


def as_json(value: Any) -> None:
    """Print one JSON document."""
    json.dump(value, sys.stdout, ensure_ascii=False, indent=2, default=str)
    sys.stdout.write("\n")


def as_table(
    columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "", none: str = ""
) -> None:
    """Print a table; `none` instead where there are no rows. A column named "→…" aligns right."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = list(rows)
    if not rows and none:
        print(none)
        return
    table = Table(
        title=plain(title) or None,
        title_justify="left",
        box=None,
        pad_edge=False,
        show_header=any(columns),
    )
    for column in columns:
        right = column.startswith("→")
        table.add_column(column.removeprefix("→"), justify="right" if right else "left")
    for row in rows:
        cells = [plain(shown(value)) for value in row]
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in cells))
    console = Console(highlight=False)
    if not console.is_terminal:  # a file or a pipe has no width to fold at
        console.width = 100_000
    console.print(table, crop=False, soft_wrap=not console.is_terminal)


def shown(value: object) -> str:
    """Return a value as people read it: times in UTC to the second, nothing for None."""
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%SZ}"
    if isinstance(value, float):
        return f"{value:.1f}"
    return str(value)


def duration(seconds: float) -> str:
    """Return "2d 3h", "4m 10s" or "12.9s": the two largest units."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    parts = []
    left = round(seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        if left >= length:
            parts.append(f"{left // length}{unit}")
            left %= length
    return " ".join(parts[:2])


def warn(text: str) -> None:
    """Say something to a person beside the output."""
    print(f"netopsd: {plain(text)}", file=sys.stderr)
