"""Lines of the history of traps: put together from parts, they are JSON all the same."""

from __future__ import annotations

import json
import zlib

from hypothesis import given
from hypothesis import strategies as st

from netopsd.core.model import Event
from netopsd.store import events
from netopsd.store.shape import micros
from tests.store.strategies import EVENTS


def array(e: Event) -> list[object]:
    """An event as the module's docstring describes its line."""
    line = [micros(e.at), e.device, e.source, e.name, dict(e.values)]
    line += [e.authenticated, e.confirmed, e.count]
    if e.alarm or e.resource or e.severity or e.text:
        where = e.resource and [e.resource.device, e.resource.table, e.resource.row]
        line += [e.alarm, where, e.severity, e.text]
    return line


@given(st.lists(EVENTS, min_size=1, max_size=4), st.integers(1, 3))
def test_a_line_is_the_json_of_its_array(heard: list[Event], times: int) -> None:
    """Each event several times over: what is remembered of one must not be taken for another's."""
    ((*_, lines),) = events.rows(heard * times)
    dumps = json.JSONEncoder(separators=(",", ":")).encode
    expected = "\n".join(dumps(array(event)) for event in heard * times)
    assert zlib.decompress(lines).decode("ascii") == expected
    assert events.unpack(lines) == heard * times
