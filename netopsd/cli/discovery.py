"""What a first look at a device is worth in devices.toml."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit
import typer

from netopsd.core.model import Batch
from netopsd.errors import BadConfiguration
from netopsd.logs import plain
from netopsd.settings import Settings, load
from netopsd.settings.devices import PORTS
from netopsd.settings.problems import nearest

ENOUGH = ("system", PORTS)  # tables that a first look reads
LONGEST_COMMENT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A device that answered, and with which credentials."""

    address: str
    port: int
    credentials: str
    look: Batch


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One [[device]] to be."""

    name: str
    seen: Seen
    port: int | None  # None where the defaults say the same
    credentials: str | None


def credentials_to_try(settings: Settings, only: Sequence[str]) -> tuple[str, ...]:
    """Return the names of credentials to try, in file order. Raises typer.BadParameter."""
    known = settings.credentials
    for name in only:
        if name not in known:
            near = nearest(name, known)
            told = f"did you mean {near!r}?" if near else f"known: {', '.join(known)}"
            raise typer.BadParameter(f"unknown {name!r}; {told}", param_hint="--credentials")
    if not known:
        raise typer.BadParameter("devices.toml has no [credentials.NAME]", param_hint="ADDRESS")
    return tuple(only) or tuple(known)


def entries(seen: Sequence[Seen], settings: Settings) -> list[Entry]:
    """Return what to write for each device seen, named by its sysName and unlike any other."""
    taken = set(settings.inventory.devices)
    found = []
    for one in seen:
        name = _name(one, taken)
        taken.add(name)
        found.append(
            Entry(name=name, seen=one, port=_unless_default(one), credentials=one.credentials)
        )
    return found


def _unless_default(one: Seen) -> int | None:
    return None if one.port == 161 else one.port


def _name(one: Seen, taken: set[str]) -> str:
    """Return sysName without its domain, fit for a name; the address where there is none."""
    said = one.look.facts.get("sysName", "").split(".")[0]
    fit = re.sub(r"[^A-Za-z0-9._-]+", "-", said).strip(".-_")[:60]
    base = fit or re.sub(r"[^A-Za-z0-9.]+", "-", one.address)
    name, number = base, 1
    while name in taken:
        number += 1
        name = f"{base}-{number}"
    return name


def as_plain(entry: Entry) -> dict[str, Any]:
    """Return an entry for programs: what would be written, and what was seen."""
    look = entry.seen.look
    return {
        **_keys(entry),
        "facts": dict(look.facts),
        "ports": list(_ports(look)),
        "errors": dict(look.errors),
    }


def as_toml(entry: Entry) -> str:
    """Return the [[device]] of an entry, with what was seen as comments."""
    document = tomlkit.document()
    table = tomlkit.table()
    for key, value in _keys(entry).items():
        table.add(key, value)
    devices = tomlkit.aot()
    devices.append(table)
    document.add("device", devices)
    comments = "".join(f"# {line}\n" for line in _comments(entry.seen.look))
    return comments + tomlkit.dumps(document).rstrip() + "\n"


def _keys(entry: Entry) -> dict[str, Any]:
    said: Mapping[str, Any] = {
        "name": entry.name,
        "address": entry.seen.address,
        "port": entry.port,
        "credentials": entry.credentials,
    }
    return {key: value for key, value in said.items() if value is not None}


def _comments(look: Batch) -> list[str]:
    facts = [look.facts.get(name, "") for name in ("sysDescr", "sysLocation")]
    ports = _ports(look)
    if ports:
        shown = ", ".join(ports[:8]) + (" …" if len(ports) > 8 else "")
        facts.append(f"{len(ports)} ports: {shown}")
    return [plain(fact, LONGEST_COMMENT).strip() for fact in facts if fact.strip()]


def _ports(look: Batch) -> tuple[str, ...]:
    return next((t.layout.rows for t in look.tables if t.layout.table == PORTS), ())


def write(settings: Settings, found: Sequence[Entry], overrides: Sequence[str]) -> Path:
    """Append the entries to devices.toml and return its path.

    What the file said before stays, to the octet. It is replaced in one step, and put back where
    the whole configuration is no longer in order with it. Raises BadConfiguration, OSError.
    """
    path = (settings.folder / settings.files.devices).resolve()
    before = path.read_text(encoding="utf-8")
    gap = "" if before.endswith("\n") else "\n"
    added = "".join("\n" + as_toml(entry) for entry in found)
    _replace(path, before + gap + added)
    try:
        load(settings.folder, overrides)
    except BadConfiguration:
        _replace(path, before)
        raise
    return path


def _replace(path: Path, text: str) -> None:
    """Replace a file's text in one step, keeping its mode and owner where we may."""
    status = path.stat()
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, status.st_mode & 0o7777)
        if os.geteuid() == 0:
            os.chown(name, status.st_uid, status.st_gid)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
