"""Each case folder is one thing a device once said. A bug report is a new folder.

`view` names the shipped view, `reply.xml` is what stood in <data>, `expected.json` what was read:
per table its rows, and per column the numbers as text ("-" where there is none).
"""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest

from netopsd.core.model import Table
from tests.collectors.netconf.test_parse import read

CASES = sorted((Path(__file__).parent / "cases").iterdir())


def told(table: Table) -> dict[str, list[str]]:
    """Return the numbers of a table as text, column by column."""
    layout = table.layout
    out = {}
    for i, name in enumerate(layout.counters):
        gone = table.missing[i] if table.missing is not None else [False] * len(layout.rows)
        numbers = zip(table.counters[i].tolist(), gone, strict=True)
        out[name] = ["-" if absent else str(number) for number, absent in numbers]
    for i, name in enumerate(layout.gauges):
        out[name] = ["-" if math.isnan(n) else f"{n:g}" for n in table.gauges[i].tolist()]
    return {name: column for name, column in out.items() if set(column) != {"-"}}


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.name)
def test_a_recorded_reply_is_read_as_it_was_meant(case: Path) -> None:
    view = (case / "view").read_text().strip()
    tables, _ = read(view, (case / "reply.xml").read_text())
    got = {t.layout.table: {"rows": list(t.layout.rows), "columns": told(t)} for t in tables}
    assert got == json.loads((case / "expected.json").read_text())
