"""Frozen values to plain JSON and back, by their annotations alone.

`from_plain(type(v), as_plain(v))` equals `v`. Fields that have their defaults are left out.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Callable, Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import Enum
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
Codecs = Mapping[type, Callable[[Any], Any]]
NO_CODECS: Codecs = {}
SEQUENCES: dict[Any, Callable[[list[Any]], Any]] = {
    tuple: tuple,
    list: list,
    frozenset: frozenset,
    set: set,
}


class Unfit(ValueError):
    """Plain data does not fit the type it should become; the message says where."""


def as_plain(value: Any, codecs: Codecs = NO_CODECS) -> Any:
    """Return `value` as dicts, lists, text, numbers and None. `codecs` overrule by type."""
    if type(value) in codecs:
        return codecs[type(value)](value)
    if dataclasses.is_dataclass(value):
        return _plain_fields(value, codecs)
    if isinstance(value, Mapping):
        return _plain_mapping(value, codecs)
    if isinstance(value, frozenset | set):
        return sorted((as_plain(one, codecs) for one in value), key=str)
    if isinstance(value, tuple | list):
        return [as_plain(one, codecs) for one in value]
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    for kind, plain in SCALARS:
        if isinstance(value, kind):
            return plain(value)
    raise TypeError(f"{type(value).__name__} has no plain form")


def _plain_array(value: np.ndarray[Any, Any]) -> Any:
    if value.dtype.kind != "f":
        return value.tolist()
    objects = value.astype(object)
    objects[np.isnan(value)] = None
    return objects.tolist()


SCALARS: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (Enum, lambda value: value.value),
    (float, lambda value: None if math.isnan(value) else value),
    ((str, int, type(None)), lambda value: value),
    (np.ndarray, _plain_array),
    (datetime, datetime.isoformat),
    (Decimal, str),
)


def _plain_fields(value: Any, codecs: Codecs) -> dict[str, Any]:
    plain = {}
    for spec in dataclasses.fields(value):
        inner = getattr(value, spec.name)
        if spec.default is not dataclasses.MISSING and inner is spec.default:
            continue
        if isinstance(inner, int | float | str | tuple | dict) and inner == _default(spec):
            continue
        plain[spec.name] = as_plain(inner, codecs)
    return plain


def _default(spec: dataclasses.Field[Any]) -> Any:
    if spec.default_factory is not dataclasses.MISSING:
        return spec.default_factory()
    return spec.default


def _plain_mapping(value: Mapping[Any, Any], codecs: Codecs) -> Any:
    if all(isinstance(key, str) for key in value):
        return {str(key): as_plain(inner, codecs) for key, inner in value.items()}
    return [[as_plain(key), as_plain(inner, codecs)] for key, inner in value.items()]


def from_plain(kind: Any, plain: Any, codecs: Codecs = NO_CODECS) -> Any:
    """Return `plain` as a value of `kind`. Raises Unfit, and nothing else."""
    try:
        return _read(kind, plain, codecs)
    except Unfit:
        raise
    except (ValueError, TypeError, KeyError, OverflowError, InvalidOperation) as error:
        raise Unfit(f"{_name(kind)}: {error}") from None
    except RecursionError:
        raise Unfit(f"{_name(kind)}: nested too deep") from None


def _read(kind: Any, plain: Any, codecs: Codecs) -> Any:
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if kind in codecs:
        return codecs[kind](plain)
    if dataclasses.is_dataclass(kind):
        return _read_fields(cast(type, kind), plain, codecs)
    if origin is np.ndarray:
        return _array(args, plain)
    if origin is None:
        return _read_scalar(kind, plain)
    return _reader(origin)(origin, args, plain, codecs)


def _reader(origin: Any) -> Callable[[Any, tuple[Any, ...], Any, Codecs], Any]:
    if origin in (typing.Union, types.UnionType):
        return _read_union
    return _read_sequence if origin in SEQUENCES else _read_mapping


def _read_union(_: Any, args: tuple[Any, ...], plain: Any, codecs: Codecs) -> Any:
    if plain is None and type(None) in args:
        return None
    return _read(next(one for one in args if one is not type(None)), plain, codecs)


def _read_fields(kind: type, plain: Any, codecs: Codecs) -> Any:
    if not isinstance(plain, dict):
        raise Unfit(f"{kind.__name__} must be an object")
    hints = _hints(kind)
    unknown = sorted(set(plain) - set(hints))
    if unknown:
        raise Unfit(f"{kind.__name__} has no {', '.join(unknown)}")
    return kind(**{key: from_plain(hints[key], value, codecs) for key, value in plain.items()})


@functools.cache
def _hints(kind: type) -> dict[str, Any]:
    """The annotations of a dataclass as types; some are named only for type checkers there."""
    from netopsd.core import ordered

    hints = typing.get_type_hints(kind, localns={**vars(ordered), "np": np, "NDArray": NDArray})
    return {spec.name: hints[spec.name] for spec in dataclasses.fields(kind)}


def _read_sequence(origin: Any, args: tuple[Any, ...], plain: Any, codecs: Codecs) -> Any:
    if not isinstance(plain, list):
        raise Unfit(f"{_name(origin)} must be a list")
    if origin is tuple and args and args[-1] is not Ellipsis:
        if len(plain) != len(args):
            raise Unfit(f"must have {len(args)} entries, not {len(plain)}")
        return tuple(_read(one, value, codecs) for one, value in zip(args, plain, strict=True))
    return SEQUENCES[origin]([_read(args[0], value, codecs) for value in plain])


def _read_mapping(_: Any, args: tuple[Any, ...], plain: Any, codecs: Codecs) -> dict[Any, Any]:
    pairs = plain.items() if isinstance(plain, dict) else plain
    if not isinstance(plain, dict | list):
        raise Unfit("must be an object or a list of pairs")
    return {_read(args[0], k, codecs): _read(args[1], v, codecs) for k, v in pairs}


def _array(args: tuple[Any, ...], plain: Any) -> np.ndarray[Any, Any]:
    dtype = np.dtype(typing.get_args(args[1])[0])
    if not isinstance(plain, list):
        raise Unfit("an array must be a list of lists")
    array = np.array(plain, dtype=object)
    if dtype.kind == "f":
        absent = np.array([one is None for one in array.flat], bool)
        array[absent.reshape(array.shape)] = math.nan
    elif array.size and not all(isinstance(one, int) and one >= 0 for one in array.flat):
        raise Unfit("an array of counters holds whole numbers, none negative")
    return array.astype(dtype)


def _read_scalar(kind: Any, plain: Any) -> Any:
    if kind is datetime:
        at = datetime.fromisoformat(plain)
        if at.tzinfo is None:
            raise Unfit("a time needs its offset")
        return at
    if kind is Decimal:
        return Decimal(plain)
    if kind is float:
        if isinstance(plain, bool) or not isinstance(plain, int | float):
            raise Unfit(f"{plain!r} is not a number")
        return float(plain)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(plain)
    if kind in (str, bool, int) and type(plain) is kind:
        return plain
    raise Unfit(f"{plain!r:.60} is not {_name(kind)}")


def _name(kind: Any) -> str:
    return getattr(kind, "__name__", str(kind))
