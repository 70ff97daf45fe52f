"""pydantic's findings, said in an operator's words and with the place in the file."""

from __future__ import annotations

import functools
import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from netopsd.settings.files import KeyPath, Source
from netopsd.settings.problems import Problems, quote
from netopsd.settings.words import duration

M = TypeVar("M", bound=BaseModel)
SECRETIVE = re.compile(r"community|passw|secret|token|key|sha256|credential", re.IGNORECASE)
KINDS = {
    "string_type": "must be text in quotes",
    "secret_str_type": "must be text in quotes",
    "int_type": "must be a whole number",
    "int_parsing": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "float_parsing": "must be a number",
    "bool_type": "must be true or false",
    "bool_parsing": "must be true or false",
    "list_type": "must be a list in [ ]",
    "tuple_type": "must be a list in [ ]",
    "set_type": "must be a list in [ ]",
    "frozen_set_type": "must be a list in [ ]",
    "dict_type": "must be a table",
    "mapping_type": "must be a table",
    "model_type": "must be a table",
    "model_attributes_type": "must be a table",
    "dataclass_type": "must be a table",
    "datetime_type": "must be a date and time such as 2026-12-01T02:00:00Z",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be at least {ge}",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be at most {le}",
    "string_too_long": "must have at most {max_length} characters",
    "string_too_short": "must have at least {min_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
}
NUMERIC = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def validate(
    model: type[M], data: Mapping[str, Any], source: Source, path: KeyPath, problems: Problems
) -> M | None:
    """Return `data` as `model`, or None with every mistake noted.

    Where a model has a field `timeout_s`, the file says `timeout`, as a duration.
    """
    try:
        return model.model_validate(in_seconds(model, data))
    except ValidationError as error:
        for found in error.errors(include_url=False):
            _note(model, data, found, source, path, problems)
    return None


def validate_rows(
    model: type[M], rows: Sequence[Any], source: Source, path: KeyPath, problems: Problems
) -> list[tuple[int, M]]:
    """Return the good ones among `rows`, each with its place; the others' mistakes are noted."""
    good = []
    for i, row in enumerate(rows):
        checked = validate(model, row, source, (*path, i), problems)
        if checked is not None:
            good.append((i, checked))
    return good


def words_of(rows: Sequence[Any], key: str) -> dict[str, int]:
    """Return the texts under `key`, each with the first row that has it: good and bad rows alike.

    What refers to a row that has another mistake is not a mistake.
    """
    found: dict[str, int] = {}
    for i, row in enumerate(rows):
        word = row.get(key) if isinstance(row, dict) else None
        if isinstance(word, str):
            found.setdefault(word, i)
    return found


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
    told = [m for m in models if any(value.get("kind") == tag for tag in _tags(m))]
    return in_seconds((told or models)[0], value)


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


def _note(
    model: type[BaseModel],
    data: Mapping[str, Any],
    found: Any,
    source: Source,
    path: KeyPath,
    problems: Problems,
) -> None:
    loc = tuple(_real_steps(data, found["loc"]))
    at = (*path, *loc)
    kind, ctx = found["type"], found.get("ctx", {})
    if kind == "extra_forbidden":
        known = sorted(_keys(model, found["loc"][:-1]))
        problems.unknown(source, at, "unknown key", loc[-1], known)
    elif kind == "missing":
        problems.add(source, at, "missing", _wanted(model, found["loc"]))
    elif kind in ("enum", "literal_error"):
        words = re.findall(r"'([^']*)'", str(ctx.get("expected", "")))
        problems.unknown(source, at, f"unknown word {quote(found['input'])}", found["input"], words)
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        words = re.findall(r"'([^']*)'", str(ctx.get("expected_tags", "")))
        tag = str(ctx.get("discriminator", "kind")).strip("'")
        _note_tag((*at, tag), found, tag, words, (source, problems))
    else:
        problems.add(source, at, _sentence(kind, ctx, found, at))


def _note_tag(
    at: KeyPath, found: Any, tag: str, words: list[str], to: tuple[Source, Problems]
) -> None:
    source, problems = to
    given = found["input"].get(tag) if isinstance(found["input"], dict) else None
    if given is None:
        problems.add(source, at, "missing", f"Write one of: {', '.join(words)}" if words else "")
    else:
        problems.unknown(source, at, f"unknown word {quote(given)}", given, words)


def _sentence(kind: str, ctx: Mapping[str, Any], found: Any, at: KeyPath) -> str:
    if kind in ("value_error", "assertion_error"):
        what = str(found["msg"]).partition(", ")[2] or str(found["msg"])
    elif kind in KINDS:
        what = KINDS[kind].format_map({k: _plain(v) for k, v in ctx.items()})
        if kind.startswith("float_") and str(found["loc"][-1]).endswith("_s"):
            what = 'must be a duration such as "30s" or a number of seconds'
    else:
        what = str(found["msg"]).replace("Input should", "must")
        what = what[:1].lower() + what[1:]
    hidden = any(SECRETIVE.search(step) for step in at if isinstance(step, str))
    value = found["input"]
    shown = not hidden and (
        isinstance(value, str | bool) or (kind in NUMERIC and isinstance(value, int | float))
    )
    if not shown:
        return what
    return f"{what}, not {quote(value) if isinstance(value, str) else str(value).lower()}"


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _real_steps(data: Any, loc: tuple[str | int, ...]) -> Iterator[str | int]:
    """Yield the steps of `loc` as the file has them; pydantic adds tags of unions to them."""
    for position, step in enumerate(loc):
        if isinstance(data, list) and isinstance(step, int) and step < len(data):
            data = data[step]
            yield step
        elif isinstance(data, dict) and isinstance(step, str):
            key = step if step in data else shown_key(step)
            if key in data:
                data = data[key]
                yield key
            elif position == len(loc) - 1:
                yield key


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models an annotation may hold: through lists, mappings, unions and Annotated."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in typing.get_args(annotation):
        if not isinstance(inner, str | int | float):
            yield from models_in(inner)


def _models_at(model: type[BaseModel], loc: tuple[str | int, ...]) -> set[type[BaseModel]]:
    """Return the models that may stand at `loc`; a step that is no field leads nowhere new."""
    here = {model}
    for step in loc:
        tagged = {m for m in here if step in set(_tags(m))}
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


def _tags(model: type[BaseModel]) -> Iterator[str]:
    """Yield the words by which a union tells `model` from the others: its Literal fields."""
    for field in model.model_fields.values():
        if typing.get_origin(field.annotation) is typing.Literal:
            yield from (word for word in typing.get_args(field.annotation) if isinstance(word, str))


def _keys(model: type[BaseModel], loc: tuple[str | int, ...]) -> set[str]:
    return {shown_key(name) for m in _models_at(model, loc) for name in m.model_fields}


def _wanted(model: type[BaseModel], loc: tuple[str | int, ...]) -> str:
    """Return what to write for a missing key, from the field's description."""
    key = loc[-1]
    for m in _models_at(model, loc[:-1]):
        for name, field in m.model_fields.items():
            if key == name and field.description:
                return f"Write {shown_key(name)} = {field.description}"
    return f"Write {shown_key(str(key))} = …"
