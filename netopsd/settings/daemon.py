"""netopsd.toml: the daemon itself, and `--set` from the command line."""

from __future__ import annotations

import dataclasses
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictInt,
    StrictStr,
)

from netopsd.settings.files import KeyPath, Source
from netopsd.settings.problems import Problems, quote, show_path
from netopsd.settings.words import HOST, Endpoint, Name

Table = dict[str, Any]
SQLITE = re.compile(r"sqlite:///(?P<path>[^?#]+)\Z")
DOTTED = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*\Z")
DEEPEST_OVERRIDE = 8
LONGEST_PATH = 1000  # bytes; the folder before it needs some, too


def database(value: Any) -> str:
    """Return a `sqlite:///…` address as written. Raises ValueError for any other database."""
    text = value if isinstance(value, str) else ""
    if SQLITE.match(text):
        return text
    kind = text.partition(":")[0]
    if "://" in text and kind != "sqlite":
        raise ValueError(f"{kind} is not supported; only SQLite is, as in sqlite:///netopsd.db")
    raise ValueError('not a database address; write "sqlite:///netopsd.db"')


def fingerprint(value: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ValueError(
            "not a SHA-256 in 64 lower-case hexadecimal digits; make one with:"
            " printf %s TOKEN | sha256sum"
        )
    return value


def file_name(value: str) -> str:
    """Return a path that a file system could know. Raises ValueError."""
    if "\0" in value or len(value.encode("utf-8", "surrogateescape")) > LONGEST_PATH:
        raise ValueError("not a path that a file can have")
    if any(len(part.encode("utf-8", "surrogateescape")) > 255 for part in value.split("/")):
        raise ValueError("not a path that a file can have: a name in it is longer than 255 bytes")
    return value


FileName = Annotated[StrictStr, AfterValidator(file_name)]


def host_name(value: str) -> str:
    """Return a name as a Host header has it, without port. Raises ValueError."""
    if not HOST.match(value):
        raise ValueError('not a host name; write "netops.example.net", without scheme and port')
    return value


HostName = Annotated[StrictStr, AfterValidator(host_name)]


class StateTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    directory: FileName | None = Field(default=None, min_length=1)


class DatabaseTable(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)
    url: Annotated[str, BeforeValidator(database)]


class StoreTable(DatabaseTable):
    url: Annotated[str, BeforeValidator(database)] = "sqlite:///netopsd.db"


class OfficeTable(DatabaseTable):
    url: Annotated[str, BeforeValidator(database)] = "sqlite:///office.db"


class Token(BaseModel):
    """One [[http.token]]: who may act through the API. Only the hash of the token is kept."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Name = Field(description='"who-uses-it"')
    role: Literal["reader", "operator"] = "operator"
    sha256: Annotated[StrictStr, AfterValidator(fingerprint)] = Field(
        description='"…", from: printf %s TOKEN | sha256sum'
    )


class HttpSettings(BaseModel):
    """[http]: metrics, health, API and console."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    listen: Endpoint = "127.0.0.1:9280"
    hosts: tuple[HostName, ...] = Field(default=(), max_length=100)  # names we are asked for by
    token: tuple[Token, ...] = ()

    @property
    def host(self) -> str:
        return self.listen.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.listen.rpartition(":")[2])


class LogSettings(BaseModel):
    """[log]."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["text", "json"] = "text"


class PollTable(BaseModel):
    """[poll]: how polling is spread over processes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    workers: Annotated[StrictInt, Field(ge=0, le=64)] = 0  # processes that poll; 0: the daemon


class FilesTable(BaseModel):
    """[files]: where the other files are, relative to the folder."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    devices: FileName = "devices.toml"
    rules: FileName = "rules.toml"
    tables: FileName = "tables.toml"
    yang: FileName = "yang.toml"
    templates: FileName = "services"  # a folder
    services: FileName = "services.toml"
    customers: FileName = "customers.toml"


class DaemonFile(BaseModel):
    """netopsd.toml. Tables of collectors and sinks are described by their own settings."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    files: FilesTable = FilesTable()
    state: StateTable = StateTable()
    store: StoreTable = StoreTable()
    office: OfficeTable = OfficeTable()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    poll: PollTable = PollTable()
    traps: Table = {}
    snmp: Table = {}
    netconf: Table = {}
    activation: Table = {}
    mqtt: Table | None = None
    collect: Table = {}
    sink: tuple[Table, ...] = ()


def override(source: Source, overrides: Sequence[str], problems: Problems) -> Source:
    """Return netopsd.toml with each `key=value` of the command line in its place.

    A value is read as TOML where it is TOML (`9280`, `true`, `["a"]`), else as text.
    """
    data: dict[str, Any] = _copy(source.data)
    paths: list[KeyPath] = []
    for text in overrides:
        key, equals, value = text.partition("=")
        path = tuple(key.strip().split("."))
        if not equals or not DOTTED.match(key.strip()) or len(path) > DEEPEST_OVERRIDE:
            problems.add(
                dataclasses.replace(source, file="--set"),
                (),
                f"{quote(text)} is not key=value",
                "Write --set http.listen=127.0.0.1:9280",
            )
            continue
        here: Any = data
        for step in path[:-1]:
            here = here.setdefault(step, {})
            if not isinstance(here, dict):
                break
        if isinstance(here, dict):
            here[path[-1]] = _value(value)
            paths.append(path)
        else:
            what = f"{show_path(path)} is not inside a table"
            problems.add(dataclasses.replace(source, file="--set"), path, what)
    return dataclasses.replace(source, data=data, overridden=frozenset(paths))


def _copy(data: Mapping[str, Any]) -> dict[str, Any]:
    return {key: _copy(v) if isinstance(v, dict) else v for key, v in data.items()}


def _value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}\n")["value"]
    except (tomllib.TOMLDecodeError, ValueError, RecursionError, KeyError):
        return text


def state_directory(table: StateTable, folder: Path) -> Path:
    """Return the folder for databases: as configured, else systemd's, else `state` beside us."""
    if table.directory is not None:
        return (folder / table.directory).absolute()
    by_systemd = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    return Path(by_systemd) if by_systemd else (folder / "state").absolute()


def absolute_url(url: str, state: Path) -> str:
    """Return `url` with its path made absolute; a relative one is below `state`."""
    found = SQLITE.match(url)
    assert found is not None, "validated by DatabaseTable"
    return f"sqlite:///{state / found['path']}"


def check_tokens(http: HttpSettings, source: Source, problems: Problems) -> None:
    """Note tokens of one name, and one token with two names."""
    names: set[str] = set()
    hashes: set[str] = set()
    for i, token in enumerate(http.token):
        if token.name in names:
            problems.add(source, ("http", "token", i, "name"), f"{quote(token.name)} is used twice")
        if token.sha256 in hashes:
            what = "the same token has two names"
            problems.add(source, ("http", "token", i, "sha256"), what, "Make a token for each")
        names.add(token.name)
        hashes.add(token.sha256)
