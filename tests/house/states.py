"""The state diagrams of docs/how-it-works.md, drawn from the tables in netopsd.core.

`python -m tests.house.states` writes them anew; a test holds the page to the tables.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from pathlib import Path

from netopsd.core import alarm, order, ticket

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-it-works.md"
BEGIN, END = "<!-- {name}: drawn from {source} -->", "<!-- end of {name} -->"


def diagrams() -> dict[str, str]:
    """Return each marked block of the page by its name, markers included."""
    parts = {
        "alarm": ("netopsd/core/alarm.py", _alarm()),
        "ticket": ("netopsd/core/ticket.py", _follows(ticket.NEXT)),
        "service order": ("netopsd/core/order.py", _follows(order.NEXT)),
    }
    return {
        name: "\n".join(
            (
                BEGIN.format(name=name, source=source),
                "```mermaid",
                "stateDiagram-v2",
                *lines,
                "```",
                END.format(name=name),
            )
        )
        for name, (source, lines) in parts.items()
    }


def _alarm() -> Iterator[str]:
    for (phase, seen), after in alarm.NEXT.items():
        if phase is not after:
            yield f"    {phase} --> {after}: {seen}"
    for (phase, seen), after in alarm.NEXT.items():
        if phase is after and seen is alarm.Seen.NOTHING and phase is not alarm.Phase.CLEARED:
            yield f"    {phase} --> {after}: {seen}"


def _follows(table: Mapping[StrEnum, frozenset[StrEnum]]) -> Iterator[str]:
    for state, after in table.items():
        for following in sorted(after):
            yield f"    {state} --> {following}"
    for state in sorted(state for state, after in table.items() if not after):
        yield f"    {state} --> [*]"


def drawn(page: str) -> str:
    """Return the page with every marked block as the tables have it."""
    for name, block in diagrams().items():
        source = block.splitlines()[0]
        end = END.format(name=name)
        before, _, rest = page.partition(source)
        _, _, after = rest.partition(end)
        page = before + block + after
    return page


if __name__ == "__main__":
    PAGE.write_text(drawn(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
