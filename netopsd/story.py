"""A story: everything that entered the inbox, as JSON lines, to be judged again.

Line 1 is `{"story": 1, "inventory": …, "beliefs": …}`: what was configured and believed when the
recording began. Each further line is an object of one key, which says what it is:

    {"layout": {"id": 7, "layout": {…}}}   what the numbers of a table mean; later lines say 7
    {"batch": {…}}  {"events": {…}}  {"tick": {…}}  {"acknowledge": {…}}  {"shelve": {…}}
    {"ticketact": {…}}  {"reconfigured": {…}}
    {"placeorder": {…}}  {"orderprogress": {…}}  {"orderact": {…}}  {"drifted": {…}}

The fields are those of `netopsd.core.model`, of `Inventory` and of `Beliefs`; one that has its
default is left out. Times are ISO 8601 with their offset, Decimals are text, an absent number of a
column is null, a mapping whose keys are not text is a list of pairs. Secrets never enter the core,
so none is in a story; names and addresses of the network are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TextIO

from netopsd.core import engine
from netopsd.core.fleet import batches
from netopsd.core.inventory import Inventory
from netopsd.core.model import (
    Acknowledge,
    Batch,
    Drifted,
    Events,
    Input,
    Layout,
    OrderAct,
    OrderProgress,
    PlaceOrder,
    Reconfigured,
    Shelve,
    Sweep,
    Table,
    Tick,
    TicketAct,
)
from netopsd.core.outcome import Beliefs, Outcome
from netopsd.core.restore import restore
from netopsd.errors import NetopsdError, NotAllowed
from netopsd.plain import Unfit, as_plain, from_plain

VERSION = 1
LONGEST_LINE = 64 * 1024 * 1024
INPUTS: dict[str, type[Input]] = {
    kind.__name__.lower(): kind
    for kind in (
        *(Batch, Events, Tick, Acknowledge, Shelve, TicketAct, Reconfigured),
        *(PlaceOrder, OrderProgress, OrderAct, Drifted),
    )
}


class BadStory(NetopsdError):
    """A recorded story cannot be read: which line, and why."""

    def __init__(self, line: int, why: str) -> None:
        super().__init__(f"line {line}: {why}")
        self.line = line


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Story:
    """A story from its beginning. `inputs` is read as it is asked for, each with its line."""

    inventory: Inventory
    beliefs: Beliefs
    inputs: Iterator[tuple[int, Input]]


@dataclass(slots=True, eq=False)
class Recorder:
    """Writes a story to an open text file. Flushes after each input, so a kill loses the last."""

    file: TextIO
    _layouts: dict[tuple[str, str], tuple[Layout, int]] = field(default_factory=dict)
    _count: int = 0

    def begin(self, inventory: Inventory, beliefs: Beliefs) -> None:
        """Write the first line: what is configured and believed now."""
        head = {"inventory": as_plain(inventory), "beliefs": as_plain(beliefs)}
        self._write({"story": VERSION, **head})

    def record(self, said: Input) -> None:
        """Write one input, and before it the layouts it is the first to use.

        A sweep is written look by look: that is what it comes to.
        """
        if isinstance(said, Sweep):
            for batch in batches(said):
                self.record(batch)
            return
        if isinstance(said, Batch):
            for table in said.tables:
                self._learn(said.device, table.layout)
        plain = as_plain(said, {Layout: self._id_of(said)})
        self._write({type(said).__name__.lower(): plain})

    def _learn(self, device: str, layout: Layout) -> None:
        known = self._layouts.get((device, layout.table))
        if known is None or known[0] is not layout:
            self._layouts[device, layout.table] = (layout, self._count)
            self._write({"layout": {"id": self._count, "layout": as_plain(layout)}})
            self._count += 1

    def _id_of(self, said: Input) -> Callable[[Any], int]:
        device = getattr(said, "device", "")
        return lambda layout: self._layouts[device, layout.table][1]

    def _write(self, line: Mapping[str, Any]) -> None:
        text = json.dumps(line, separators=(",", ":"), allow_nan=False)
        self.file.write(text + "\n")
        self.file.flush()


def read(lines: Iterable[str]) -> Story:
    """Return the story told by `lines`. Raises BadStory here and while its inputs are read."""
    numbered = enumerate(lines, 1)
    number, first = next(numbered, (1, ""))
    head = _parse(number, first)
    if head.get("story") != VERSION:
        raise BadStory(number, f'the first line must begin {{"story": {VERSION}, …}}')
    try:
        inventory = from_plain(Inventory, head.get("inventory", {}))
        beliefs = from_plain(Beliefs, head.get("beliefs", {}))
    except Unfit as error:
        raise BadStory(number, str(error)) from None
    return Story(inventory=inventory, beliefs=beliefs, inputs=_inputs(numbered))


def _inputs(numbered: Iterator[tuple[int, str]]) -> Iterator[tuple[int, Input]]:
    layouts: dict[int, Layout] = {}

    def known(said: Any) -> Layout:
        if not isinstance(said, int) or said not in layouts:
            raise Unfit(f"layout {said!r} was not told before")
        return layouts[said]

    for number, line in numbered:
        if not line.strip():
            continue
        said = _parse(number, line)
        try:
            kind, value = next(iter(said.items()))
            if kind == "layout":
                layouts[value["id"]] = from_plain(Layout, value["layout"])
            elif kind in INPUTS:
                yield number, _checked(from_plain(INPUTS[kind], value, {Layout: known}))
            else:
                raise Unfit(f"{kind!r} is none of: layout, {', '.join(INPUTS)}")
        except Unfit as error:
            raise BadStory(number, str(error)) from None
        except (KeyError, TypeError, StopIteration) as error:
            raise BadStory(number, "a line is an object of one key, its kind") from error


def _parse(number: int, line: str) -> dict[str, Any]:
    if len(line) > LONGEST_LINE:
        raise BadStory(number, f"longer than {LONGEST_LINE // 2**20} MiB")
    try:
        said = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise BadStory(number, f"not JSON: {error}") from None
    if not isinstance(said, dict):
        raise BadStory(number, "not an object")
    return said


def _checked(said: Input) -> Input:
    """Return `said` if the arrays of its tables have the shapes their layouts say."""
    for table in said.tables if isinstance(said, Batch) else ():
        _check_shape(table)
    return said


def _check_shape(table: Table) -> None:
    rows = len(table.layout.rows)
    for name, array, names in (
        ("counters", table.counters, table.layout.counters),
        ("gauges", table.gauges, table.layout.gauges),
        ("missing", table.missing, table.layout.counters),
    ):
        if array is None:
            continue
        if array.size == 0 and (not names or not rows):
            continue
        if array.shape != (len(names), rows):
            wanted = (len(names), rows)
            raise Unfit(f"{table.layout.table}.{name} has shape {array.shape}, not {wanted}")


def judge(story: Story) -> Iterator[tuple[int, Input, Outcome | NotAllowed]]:
    """Yield each input of a story with what it changed, by the daemon's own `decide`.

    What a person asked for and was refused is the refusal. Nothing is stored or sent.
    """
    world = restore(story.inventory, story.beliefs)
    for number, said in story.inputs:
        try:
            outcome = engine.decide(world, said)
        except NotAllowed as refusal:
            yield number, said, refusal
            continue
        world.apply(outcome)
        yield number, said, outcome
