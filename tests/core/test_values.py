"""Values made many at a time are the values their constructor makes."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest

from netopsd.core.model import Resource
from netopsd.core.values import made

COLUMNS = {"device": ("gw", "sw"), "table": ("if", ""), "row": ("eth0", "")}


def test_what_is_made_by_columns_is_equal_frozen_and_hashes_alike() -> None:
    both = made(Resource, {name: iter(column) for name, column in COLUMNS.items()}, 2)
    assert both == [Resource("gw", "if", "eth0"), Resource("sw")]
    assert hash(both[0]) == hash(Resource("gw", "if", "eth0"))
    with pytest.raises(FrozenInstanceError):
        both[0].device = "other"  # type: ignore[misc]
    assert made(Resource, dict.fromkeys(COLUMNS, ()), 0) == []


def test_a_column_too_few_too_many_or_too_short_makes_nothing() -> None:
    with pytest.raises(TypeError, match="other fields"):
        made(Resource, {**COLUMNS, "port": ("1", "2")}, 2)
    with pytest.raises(TypeError, match="other fields"):
        made(Resource, {"device": ("gw", "sw"), "table": ("if", "")}, 2)
    with pytest.raises(ValueError, match="fewer than 2 values in a column of Resource"):
        made(Resource, {**COLUMNS, "row": ("eth0",)}, 2)


def test_fields_go_where_they_belong_in_whatever_order_their_columns_come() -> None:
    backwards = dict(reversed(COLUMNS.items()))
    assert made(Resource, backwards, 2) == made(Resource, COLUMNS, 2)
