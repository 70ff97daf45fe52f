"""JSON from strangers: bounded in octets, depth and kind of number before anything is built."""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any

from netopsd.errors import NetopsdError

OCTETS = 64 * 1024
DEPTH = 16
NESTED = 20_000  # arrays and objects: each costs far more than its two octets
DIGITS = 40  # of one integer: Python refuses 4,300, and below that they only cost

_STRINGS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?', re.DOTALL)  # possessive: linear whatever comes
# Not those of a fraction: an exact decimal of a float has up to a thousand, and costs nothing.
_LONG = re.compile(rb"(?<![0-9.])[0-9]{%d}" % (DIGITS + 1))
_STEPS = bytes.maketrans(b"[{]}", b"\x01\x01\xff\xff")
_OTHERS = bytes(octet for octet in range(256) if octet not in b"[{]}")


class BadPayload(NetopsdError):
    """A payload that is not what it should be. `word` is what it is counted under."""

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(f"{word}: {detail}")
        self.word = word


def load(payload: bytes, octets: int = OCTETS, depth: int = DEPTH) -> Any:
    """Return JSON (RFC 8259) as Python values. Raises BadPayload.

    Not JSON, and therefore refused: NaN and Infinity, names given twice. Time and memory are about
    linear in its octets, with a small factor: nothing is done in Python for each of them.
    """
    if len(payload) > octets:
        raise BadPayload("too_large", f"{len(payload)} octets, at most {octets}")
    bare = _STRINGS.sub(b"", payload)
    brackets = bare.translate(_STEPS, _OTHERS)
    if _deepest(brackets) > depth:
        raise BadPayload("too_deep", f"nested deeper than {depth}")
    if len(brackets) > 2 * NESTED:
        raise BadPayload("too_large", f"more than {NESTED} arrays and objects")
    if _LONG.search(bare):
        raise BadPayload("not_json", "a number of too many digits")
    try:
        text = payload.decode("utf-8")
        return json.loads(text, parse_constant=_constant, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as error:
        raise BadPayload("not_json", str(error)[:200]) from None


def deepest(payload: bytes) -> int:
    """Return how deep arrays and objects are nested, strings passed over. Linear."""
    return _deepest(_STRINGS.sub(b"", payload).translate(_STEPS, _OTHERS))


def _deepest(brackets: bytes) -> int:
    return max(0, max(accumulate(memoryview(brackets).cast("b")), default=0))


def _constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is given twice")
    return made
