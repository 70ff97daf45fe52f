"""What pydantic models say of themselves: which keys may stand where, and how the file has them.

A model's field `timeout_s` is the file's key `timeout`, a duration.
"""

from __future__ import annotations

import functools
import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel, BeforeValidator, Strict

from netopsd.settings.words import duration

Loc = tuple[str | int, ...]


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models an annotation may hold: through lists, mappings, unions and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        if not isinstance(inner, str | int | float):
            yield from models_in(inner)


def models_at(model: type[BaseModel], loc: Loc) -> set[type[BaseModel]]:
    """Return the models that may stand at `loc`; a step that is no field leads nowhere new."""
    here = {model}
    for step in loc:
        tagged = {m for m in here if step in set(tags_of(m))}
        if tagged:
            here = tagged
            continue
        deeper = {
            inner
            for m in here
            for name, field in m.model_fields.items()
            if step in (name, shown_key(name))
            for inner in models_in(field.annotation)
        }
        here = deeper or here
    return here


def tags_of(model: type[BaseModel]) -> Iterator[str]:
    """Yield the words by which a union tells `model` from the others: its Literal fields."""
    for field in model.model_fields.values():
        if typing.get_origin(field.annotation) is typing.Literal:
            yield from (word for word in typing.get_args(field.annotation) if isinstance(word, str))


def kinds_of(model: type[BaseModel]) -> Iterator[str]:
    """Yield the words of `kind` that mean this model of a union."""
    field = model.model_fields.get("kind")
    if field is not None:
        yield from typing.get_args(field.annotation)


def keys_at(model: type[BaseModel], loc: Loc) -> set[str]:
    """Return the keys that may stand in the table at `loc`."""
    return {shown_key(name) for m in models_at(model, loc) for name in m.model_fields}


def in_seconds(model: type[BaseModel], data: Any) -> Any:
    """Return `data` with `timeout = "2s"` turned into `timeout_s = 2.0` wherever a model asks it.

    What is no duration stays as it is, for the model to refuse.
    """
    if not isinstance(data, dict) or not _has_seconds(model):
        return data
    out: dict[str, Any] = {}
    for key, value in data.items():
        field = model.model_fields.get(key)
        if field is not None:
            out[key] = _inner_seconds(list(models_in(field.annotation)), value)
        elif f"{key}_s" in model.model_fields:
            out[f"{key}_s"] = _seconds(value)
        else:
            out[key] = value
    return out


def _seconds(value: Any) -> Any:
    try:
        return duration(value)
    except ValueError:
        return value


def _inner_seconds(models: list[type[BaseModel]], value: Any) -> Any:
    if isinstance(value, list):
        return [_inner_seconds(models, one) for one in value]
    if not isinstance(value, dict) or not models:
        return value
    return in_seconds([*_chosen(models, value), models[0]][0], value)


@functools.cache
def _has_seconds(model: type[BaseModel]) -> bool:
    """Whether a model, or one inside it, has a field in seconds. No model of ours holds itself."""
    return any(name.endswith("_s") for name in model.model_fields) or any(
        _has_seconds(inner)
        for field in model.model_fields.values()
        for inner in models_in(field.annotation)
    )


def shown_key(name: str) -> str:
    """Return a field's name as the file says it: without its unit, `_s`."""
    return name.removesuffix("_s")


def loose(model: type[BaseModel], data: Any, at: Loc = ()) -> Iterator[tuple[Loc, str]]:
    """Yield what pydantic would quietly take for something else: true for 1, "2" for 2."""
    if not isinstance(data, dict):
        return
    scalars, models = _scalars(model), _inner_models(model)
    for key, value in data.items():
        kind = scalars.get(key)
        if isinstance(value, bool) and kind in (int, float):
            yield (*at, key), "must be a number, not true or false"
        elif isinstance(value, str) and kind is not None:
            yield (*at, key), "must be written without quotes"
        elif kind is bool and not isinstance(value, bool):
            yield (*at, key), "must be true or false"
        if key not in models:
            continue
        for i, one in enumerate(value if isinstance(value, list) else [value]):
            step: Loc = (key, i) if isinstance(value, list) else (key,)
            for inner in _chosen(models[key], one):
                yield from loose(inner, one, (*at, *step))


@functools.cache
def _scalars(model: type[BaseModel]) -> dict[str, type]:
    """Fields that are a number or a truth value, and read what is written by pydantic alone."""
    found: dict[str, type] = {}
    for name, field in model.model_fields.items():
        kinds = set(typing.get_args(field.annotation) or [field.annotation]) - {type(None)}
        read = any(isinstance(one, BeforeValidator | Strict) for one in field.metadata)
        kind = kinds.pop() if len(kinds) == 1 else None
        if kind in (int, float, bool) and not read and not name.endswith("_s"):
            found[name] = kind
    return found


@functools.cache
def _inner_models(model: type[BaseModel]) -> dict[str, tuple[type[BaseModel], ...]]:
    found = {name: tuple(models_in(f.annotation)) for name, f in model.model_fields.items()}
    return {name: inner for name, inner in found.items() if inner}


def _chosen(models: Sequence[type[BaseModel]], value: Any) -> Sequence[type[BaseModel]]:
    """Return the model that `value` says it is by its kind, else the only one there is."""
    if not isinstance(value, dict) or len(models) <= 1:
        return models
    return [m for m in models if value.get("kind") in tuple(tags_of(m))]
