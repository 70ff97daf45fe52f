"""TOML files as the operator wrote them: text, data, and on which line a key stands."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli

KeyPath = tuple[str | int, ...]

LARGEST_FILE = 64 * 1024 * 1024  # 10,000 devices are about 2 MB
TWICE = ", the same key or table is there twice"
SECRETIVE = re.compile(r"community|passw|secret|token|key|sha256|credential", re.IGNORECASE)
DEEPEST = 32  # nesting of tables and arrays
HEADER = re.compile(r"\s*(\[\[?)\s*([^\[\]]+?)\s*\]\]?\s*(?:#.*)?$")
KEY = re.compile(r"""\s*((?:[A-Za-z0-9_-]+|"[^"]*"|'[^']*')(?:\s*\.\s*[A-Za-z0-9_"'-]+)*)\s*=""")
PART = re.compile(r"""[A-Za-z0-9_-]+|"[^"]*"|'[^']*'""")


class BadFile(Exception):
    """A file could not be read or is not TOML; the message is for the operator."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """One file: its name relative to the folder, its text and what TOML says it means."""

    file: str
    text: str
    data: dict[str, Any]
    overridden: frozenset[KeyPath] = frozenset()  # paths set on the command line instead

    @cached_property
    def _lines(self) -> dict[KeyPath, int]:
        return index_lines(self.text)

    def said_in(self, path: KeyPath) -> str:
        """Return the file, or "--set" where the command line said `path`."""
        given = any(path[: len(one)] == one for one in self.overridden)
        return "--set" if given else self.file

    def line(self, path: KeyPath) -> int:
        """Return the line on which `path`, or its nearest parent, stands; 0 where unknown."""
        if self.said_in(path) != self.file:
            return 0
        while path:
            if path in self._lines:
                return self._lines[path]
            path = path[:-1]
        return 0


def read_source(folder: Path, file: str) -> Source:
    """Return `file` of `folder`, read and parsed. Raises BadFile."""
    path = folder / file
    try:
        if path.stat().st_size > LARGEST_FILE:
            raise BadFile(f"larger than {LARGEST_FILE // 2**20} MiB; split or shorten it")
        raw = path.read_bytes()
    except OSError as error:
        raise BadFile(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:  # a NUL in its name
        raise BadFile("cannot be read: no file has such a name") from error
    return parse_source(file, raw)


def parse_source(file: str, raw: bytes) -> Source:
    """Return the bytes of a TOML file, parsed. Raises BadFile."""
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise BadFile(f"not UTF-8 on line {line}; save the file as UTF-8") from error
    try:
        data = tomli.loads(text)
    except tomli.TOMLDecodeError as error:
        raise BadFile(f"not TOML: {explain(str(error), text)}") from error
    except (RecursionError, ValueError) as error:  # deep nesting; integers of 4,300 digits
        raise BadFile("not TOML: a value is nested too deep or a number is too long") from error
    if depth(data) > DEEPEST:
        raise BadFile(f"tables and arrays nested deeper than {DEEPEST}; write it flatter")
    return Source(file=file, text=text, data=data)


def explain(message: str, text: str) -> str:
    """Return the parser's message with the line it speaks of, as written."""
    found = re.search(r"at line (\d+)", message)
    lines = text.splitlines()
    if not found or int(found[1]) > len(lines):
        return message
    written = lines[int(found[1]) - 1].strip()[:60]
    more = TWICE if "Cannot overwrite" in message or "Cannot declare" in message else ""
    if SECRETIVE.search(written):
        return f"{message}{more}"
    return f"{message}{more}: {written!r}"


def depth(value: Any) -> int:
    """Return how deep tables and arrays are nested in `value`, without recursion."""
    deepest, level = 0, [value]
    while level:
        deeper: list[Any] = []
        for one in level:
            if isinstance(one, dict):
                deeper.extend(one.values())
            elif isinstance(one, list):
                deeper.extend(one)
        level = [one for one in deeper if isinstance(one, dict | list)]
        deepest += 1
    return deepest


def parts(dotted: str) -> tuple[str, ...]:
    """Return the keys of a dotted TOML key, unquoted."""
    return tuple(part.strip("\"'") for part in PART.findall(dotted))


def index_lines(text: str) -> dict[KeyPath, int]:
    """Return the line of every header and of every key that begins a line.

    Text inside strings of several lines is passed over. Good enough to point at a mistake; what a
    file means is decided by the parser alone.
    """
    lines: dict[KeyPath, int] = {}
    counts: dict[KeyPath, int] = {}
    here: KeyPath = ()
    inside = ""
    for number, line in enumerate(text.splitlines(), 1):
        if inside:
            inside = "" if line.count(inside) % 2 else inside
            continue
        header, key = HEADER.match(line), KEY.match(line)
        if header:
            here = _place(parts(header[2]), header[1] == "[[", counts)
            lines.setdefault(here, number)
        elif key:
            path = here
            for part in parts(key[1]):
                path = (*path, part)
                lines.setdefault(path, number)
        for mark in ('"""', "'''"):
            if line.count(mark) % 2:
                inside = mark
    return lines


def _place(names: tuple[str, ...], array: bool, counts: dict[KeyPath, int]) -> KeyPath:
    """Return the path of a header: the latest entry of every array of tables on the way."""
    path: KeyPath = ()
    for name in names[:-1]:
        path = (*path, name)
        if path in counts:
            path = (*path, counts[path])
    path = (*path, *names[-1:])
    if array:
        counts[path] = counts.get(path, -1) + 1
        path = (*path, counts[path])
    return path
