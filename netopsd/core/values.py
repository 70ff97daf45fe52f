"""Frozen values with some fields other: `dataclasses.replace`, several times as fast.

An alarm has twenty-seven fields and changes ten thousand times a second in a storm. What is frozen
cannot be filled field by field, other than dearly; so a twin with the same slots that is not frozen
is filled, and then becomes the value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")


class _Plan(NamedTuple):
    twin: type
    names: tuple[str, ...]
    read: Callable[[Any], tuple[Any, ...]]


@cache
def _plan(kind: Any) -> _Plan:
    """Return how values of `kind` are copied."""
    names = tuple(field.name for field in fields(kind))
    slots = getattr(kind, "__slots__", ())
    if set(slots) != set(names) or hasattr(kind, "__post_init__") or len(names) < 2:
        raise TypeError(f"{kind.__name__} is no plain dataclass of several slots")
    return _Plan(type(kind.__name__, (), {"__slots__": slots}), names, attrgetter(*names))


def made(kind: type[T], names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[T]:
    """Return one value of `kind` per row; `names` are all its fields, in the order of a row."""
    of: Any = kind  # (mypy: no type variable is hashable)
    twin, known, _ = _plan(of)
    if set(names) != set(known):
        raise TypeError(f"{kind.__name__} has other fields than {', '.join(names)}")
    values: list[Any] = []
    for row in rows:
        one: Any = twin()
        for name, field in zip(names, row):  # noqa: B905  (as above)
            setattr(one, name, field)
        one.__class__ = kind
        values.append(one)
    return values


def replace(value: T, /, **changes: Any) -> T:
    """Return `value` with `changes`. A field it does not have is an AttributeError."""
    kind: Any = value.__class__
    twin, names, read = _plan(kind)
    made: Any = twin()
    for name, field in zip(names, read(value)):  # noqa: B905  (as long as each other by _plan)
        setattr(made, name, field)
    for name, field in changes.items():
        setattr(made, name, field)
    made.__class__ = kind
    return made  # type: ignore[no-any-return]
