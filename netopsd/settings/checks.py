"""pydantic's findings, said in an operator's words and with the place in the file."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from netopsd.settings.files import SECRETIVE, KeyPath, Source
from netopsd.settings.models import (
    Loc,
    in_seconds,
    keys_at,
    kinds_of,
    loose,
    models_at,
    shown_key,
)
from netopsd.settings.problems import Problems, quote

M = TypeVar("M", bound=BaseModel)
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
    "too_short": "must have at least {min_length} of them",
    "string_pattern_mismatch": "does not have the form {pattern}",
    "too_long": "must have at most {max_length} of them",
}
TEXTUAL = {"string_type", "secret_str_type"}
NUMERIC = {"greater_than", "greater_than_equal", "less_than", "less_than_equal"}


def validate(
    model: type[M], data: Mapping[str, Any], source: Source, path: KeyPath, problems: Problems
) -> M | None:
    """Return `data` as `model`, or None with every mistake noted.

    Where a model has a field `timeout_s`, the file says `timeout`, as a duration.
    """
    for loc, what in loose(model, data):
        problems.add(source, (*path, *loc), what)
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


def _note(
    model: type[BaseModel],
    data: Any,
    found: Any,
    source: Source,
    path: KeyPath,
    problems: Problems,
) -> None:
    kind, value, where = found["type"], found["input"], found["loc"]
    at = (*path, *_real_steps(data, where, kind == "missing"))
    if kind == "extra_forbidden":
        known = sorted(keys_at(model, where[:-1]))
        problems.unknown(source, at, "unknown key", at[-1], known)
    elif kind == "missing":
        problems.add(source, at, "missing", _wanted(model, where))
    elif kind in ("enum", "literal_error"):
        words = re.findall(r"'([^']*)'", str(found["ctx"]["expected"]))
        if isinstance(value, str):
            problems.unknown(source, at, f"unknown word {quote(value)}", value, words)
        else:
            what = "must be text in quotes"
            problems.add(source, at, what, f"Known: {', '.join(map(quote, words))}")
    elif kind in ("union_tag_invalid", "union_tag_not_found"):
        _note_tag((*at, "kind"), value, model, where, (source, problems))
    else:
        problems.add(source, at, _sentence(found, at))


def _note_tag(
    at: KeyPath, value: Any, model: type[BaseModel], where: Loc, to: tuple[Source, Problems]
) -> None:
    words = sorted({tag for one in models_at(model, where) for tag in kinds_of(one)})
    source, problems = to
    given = value.get("kind") if isinstance(value, dict) else None
    if given is None:
        problems.add(source, at, "missing", f"Write one of: {', '.join(words)}")
    else:
        problems.unknown(source, at, f"unknown word {quote(given)}", given, words)


def _sentence(found: Any, at: KeyPath) -> str:
    """Return what is wrong with a value, and the value itself unless it may be a secret."""
    kind, value = found["type"], found["input"]
    hidden = any(SECRETIVE.search(step) for step in at if isinstance(step, str))
    text = quote(value) if isinstance(value, str) else str(value).lower()
    if kind in ("value_error", "assertion_error"):
        what = str(found["msg"]).partition(", ")[2] or str(found["msg"])
        if hidden or not isinstance(value, str) or value in what:
            return what
        return f"{text} is {what}" if what.startswith("not ") else f"{text}: {what}"
    what = _said(found)
    if hidden and kind in TEXTUAL:
        return f'{what}, {{ file = "path" }} or {{ credential = "name" }}'
    if kind in NUMERIC and isinstance(value, int | float):
        text = f"{value:g}"
    elif not isinstance(value, str | bool):
        return what
    return what if hidden else f"{what}, not {text}"


def _said(found: Any) -> str:
    kind = found["type"]
    if kind.startswith("float_") and str(found["loc"][-1]).endswith("_s"):
        return 'must be a duration such as "30s" or a number of seconds'
    if kind in KINDS:
        return KINDS[kind].format_map({k: _plain(v) for k, v in found.get("ctx", {}).items()})
    what = str(found["msg"]).replace("Input should", "must")
    return what[:1].lower() + what[1:]


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _real_steps(data: Any, loc: Loc, missing: bool) -> Iterator[str | int]:
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
            elif missing and position == len(loc) - 1:
                yield key


def _wanted(model: type[BaseModel], loc: Loc) -> str:
    """Return what to write for a missing key, from the field's description."""
    key = loc[-1]
    for m in models_at(model, loc[:-1]):
        for name, field in m.model_fields.items():
            if key == name and field.description:
                return f"Write {shown_key(name)} = {field.description}"
    return f"Write {shown_key(str(key))} = …"
