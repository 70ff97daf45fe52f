"""The configuration in effect, as plain data. Secrets are stars."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from typing import Any

from pydantic import BaseModel, SecretStr

from netopsd.core.model import Resource
from netopsd.settings.loading import Settings

HIDDEN = "**********"


def describe(settings: Settings) -> dict[str, Any]:
    """Return everything configured as dicts, lists, text, numbers and times."""
    described = _plain(settings)
    assert isinstance(described, dict)
    return described


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return {name: _plain(getattr(value, name)) for name in type(value).model_fields}
    if dataclasses.is_dataclass(value) and not isinstance(value, Resource):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list | frozenset | set):
        plain = [_plain(one) for one in value]
        return plain if isinstance(value, tuple | list) else sorted(plain)
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return HIDDEN
    if isinstance(value, Enum):
        return value.value
    if value is None or isinstance(value, bool | int | float | str | datetime):
        return value
    return str(value)


def to_toml(described: Mapping[str, Any]) -> str:
    """Return plain data as TOML. What is None has no form in TOML and is left out."""
    import tomlkit

    return tomlkit.dumps(_without_none(described))


def _without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_none(inner) for key, inner in value.items() if inner is not None}
    if isinstance(value, list):
        return [_without_none(one) for one in value if one is not None]
    return value
