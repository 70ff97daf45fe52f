"""The text around the numbers of one table, made once per walk and used at every scrape."""

from __future__ import annotations

import re
from collections.abc import Generator, Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from netopsd.core.model import Layout
from netopsd.web.exposition import label_names, label_value

BLOCK = 256  # rows of one block: what is rendered, or labelled, without a pause
LONGEST_TABLE = 20_000  # rows of one table shown at most; the rest is counted as hidden
LABELLING = 8  # labelling a row costs about as much as rendering this many samples
OURS = ("device", "site", "netopsd_row")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')
_NAME = "\x00"  # stands for the metric's name: label_value lets no control character through


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Labelled:
    """The label sets of all rows of one layout as templates, in blocks of BLOCK rows.

    A block of two rows reads `NUL{device="a",site="b",ifIndex="1"} %s\\nNUL{device="a",… %s\\n`:
    putting a column in costs one replace and one format.
    """

    layout: Layout
    site: str
    blocks: tuple[str, ...]
    rows: int
    hidden: int  # rows beyond LONGEST_TABLE
    _beside: dict[str, tuple[Labelled, NDArray[np.bool_]]] = field(default_factory=dict, repr=False)

    def beside(self, other: Labelled) -> NDArray[np.bool_]:
        """Return which rows have other label sets than every row of `other`.

        Compared once for two pages that meet, and kept for as long as both stand.
        """
        known = self._beside.get(other.layout.table)
        if known is None or known[0] is not other:
            theirs = set(other.label_sets())
            own = np.array([one not in theirs for one in self.label_sets()], np.bool_)
            known = self._beside[other.layout.table] = (other, own)
        return known[1]

    def label_sets(self) -> Iterator[frozenset[tuple[str, str]]]:
        """Yield the label set of each row, as Prometheus sees it: an empty label is none."""
        for block in self.blocks:
            for line in block.splitlines():
                yield frozenset(pair for pair in _LABEL.findall(line) if pair[1])


def build(layout: Layout, device: str, site: str) -> Generator[int, None, Labelled]:
    """Label the rows of `layout`; yields what each block cost (in samples), returns the labels.

    Rows whose labels are equal once cut to length get a label `netopsd_row` with their number: a
    series must not be told twice.
    """
    rows = min(len(layout.rows), LONGEST_TABLE)
    labelled: list[str] = []
    for start in range(0, rows, BLOCK):
        labelled += _labels(layout, start, min(start + BLOCK, rows))
        yield (len(labelled) - start) * LABELLING
    if len(set(labelled)) < rows:
        labelled = [f'{text},netopsd_row="{i}"' for i, text in enumerate(labelled)]
    front = f'{_NAME}{{device="{label_value(device)}",site="{label_value(site)}"'
    front = front.replace("%", "%%")
    blocks = []
    for start in range(0, rows, BLOCK):
        block = labelled[start : start + BLOCK]
        blocks.append("".join([f"{front}{text.replace('%', '%%')}}} %s\n" for text in block]))
    return Labelled(
        layout=layout, site=site, blocks=tuple(blocks), rows=rows, hidden=len(layout.rows) - rows
    )


def _labels(layout: Layout, start: int, stop: int) -> list[str]:
    parts = [
        [f',{name}="{label_value(text)}"' for text in column[start:stop]]
        for name, column in zip(
            label_names(layout.labels, OURS), layout.labels.values(), strict=True
        )
    ]
    return ["".join(row) for row in zip(*parts, strict=True)] if parts else [""] * (stop - start)


def fill(block: str, name: str, values: list[Any]) -> str:
    """Return the samples of one block, one value for every row."""
    return block.replace(_NAME, name) % tuple(values)


def fill_some(block: str, name: str, values: list[Any], wanted: NDArray[np.bool_]) -> str:
    """Return the samples of the rows where `wanted` is True; the others do not exist."""
    chosen = wanted.tolist()
    rows = compress(block.splitlines(keepends=True), chosen)
    return "".join(rows).replace(_NAME, name) % tuple(compress(values, chosen))
