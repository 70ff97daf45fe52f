"""JSON from strangers: bounded in octets, depth and kind of number before anything is built."""

from __future__ import annotations

import json
from typing import Any

from netopsd.errors import NetopsdError

OCTETS = 64 * 1024
DEPTH = 16
DIGITS = 40  # of one integer: Python refuses 4,300, and below that they only cost


class BadPayload(NetopsdError):
    """A payload that is not what it should be. `word` is what it is counted under."""

    def __init__(self, word: str, detail: str) -> None:
        super().__init__(f"{word}: {detail}")
        self.word = word


def load(payload: bytes, octets: int = OCTETS, depth: int = DEPTH) -> Any:
    """Return JSON (RFC 8259) as Python values. Raises BadPayload.

    Not JSON, and therefore refused: NaN and Infinity, names given twice.
    """
    if len(payload) > octets:
        raise BadPayload("too_large", f"{len(payload)} octets, at most {octets}")
    if deepest(payload) > depth:
        raise BadPayload("too_deep", f"nested deeper than {depth}")
    try:
        text = payload.decode("utf-8")
        return json.loads(
            text, parse_constant=_constant, parse_int=_integer, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError) as error:
        raise BadPayload("not_json", str(error)[:200]) from None


def deepest(payload: bytes) -> int:
    """Return how deep arrays and objects are nested, strings passed over. Linear."""
    depth = most = 0
    inside = escaped = False
    for octet in payload:
        if inside:
            if escaped:
                escaped = False
            elif octet == 0x5C:
                escaped = True
            elif octet == 0x22:
                inside = False
        elif octet == 0x22:
            inside = True
        elif octet in (0x5B, 0x7B):
            depth += 1
            most = max(most, depth)
        elif octet in (0x5D, 0x7D):
            depth -= 1
    return most


def _constant(word: str) -> Any:
    raise ValueError(f"{word} is not JSON")


def _integer(text: str) -> int:
    if len(text) > DIGITS:
        raise ValueError("an integer of too many digits")
    return int(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is given twice")
    return made
