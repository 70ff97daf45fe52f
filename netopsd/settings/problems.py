"""Every mistake of a configuration, each as one line an operator can act on."""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from netopsd.errors import BadConfiguration
from netopsd.settings.files import KeyPath, Source

COMPARISONS = 80_000  # looking for the nearest of 10,000 names takes 50 ms: not for each mistake
BARE_KEY = re.compile(r"[A-Za-z0-9_-]+\Z")
LONGEST_QUOTE = 60


def nearest(word: object, among: Iterable[str]) -> str:
    """Return the word of `among` most like `word`, "" where none is like it."""
    if not isinstance(word, str) or not word:
        return ""
    folded: dict[str, str] = {}
    for name in among:
        folded.setdefault(name.casefold(), name)
    close = difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.6)
    return folded[close[0]] if close else ""


def show_path(path: KeyPath) -> str:
    """Return `device[3].labels.role`; entries count from 1, as a reader of the file does."""
    shown = ""
    for step in path:
        if isinstance(step, int):
            shown += f"[{step + 1}]"
            continue
        text = step if BARE_KEY.match(step) else quote(step)
        shown += f".{text}" if shown else text
    return shown


def quote(value: object) -> str:
    """Return `value` in double quotes, printable and not too long."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) > LONGEST_QUOTE:
        text = text[:LONGEST_QUOTE] + "…"
    return f'"{printable(text)}"'


def printable(text: str) -> str:
    """Return `text` with everything that shows nothing, or moves the cursor, escaped."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else f"\\x{ord(c):02x}" for c in text)


class Problems:
    """Collects mistakes in the order they are found. Each is said once."""

    def __init__(self) -> None:
        self._lines: dict[str, None] = {}
        self._compared = 0

    def __bool__(self) -> bool:
        return bool(self._lines)

    @property
    def lines(self) -> tuple[str, ...]:
        return tuple(self._lines)

    def add(self, source: Source, path: KeyPath, what: str, remedy: str = "") -> None:
        """Note that `path` of `source` is wrong: `what`, and what to do about it."""
        line = source.line(path)
        at = f" (line {line})" if line else ""
        shown = show_path(path)
        file = source.said_in(path)
        text = f"{file}: {shown}: {what}{at}" if shown else f"{file}: {what}{at}"
        self._lines.setdefault(printable(f"{text}. {remedy}".rstrip() if remedy else text))

    def unknown(
        self, source: Source, path: KeyPath, what: str, word: object, among: Collection[str]
    ) -> None:
        """Note a word that is none of `among`, with the nearest right one or a short list."""
        self.add(source, path, what, self._remedy(word, among))

    def _remedy(self, word: object, among: Collection[str]) -> str:
        if self._compared < COMPARISONS:
            self._compared += len(among)
            near = nearest(word, among)
            if near:
                return f'Did you mean "{near}"?'
        if not among:
            return "None is configured"
        if len(among) <= 16:
            return f"Known: {', '.join(sorted(among))}"
        return f"None of the {len(among)} known ones is like it"


@contextmanager
def unforeseen(problems: Problems, *files: str) -> Iterator[None]:
    """Turn what no check foresaw in `files` into a mistake like any other: a typo ends no daemon.

    The error's own words may quote a secret, and are not told. Raises BadConfiguration.
    """
    try:
        yield
    except (ValueError, ArithmeticError, TypeError, RecursionError, OSError) as error:
        why = error.strerror if isinstance(error, OSError) else None
        what = f"something in it cannot be worked with: {why or type(error).__name__}"
        source = Source(file=" or ".join(files), text="", data={})
        problems.add(source, (), what, "Undo the latest change, and report this")
        raise BadConfiguration(problems.lines) from error
