"""One text for one value: the same bytes on every retry and every replay."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

_LONE = re.compile("[\ud800-\udfff]")


def canonical(value: Mapping[str, Any]) -> str:
    """Return `value` as JSON: keys sorted, no spaces, valid UTF-8 whatever devices said.

    Raises ValueError for NaN and infinity.
    """
    text = json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    )
    if text.isascii():
        return text
    return _LONE.sub(lambda found: f"\\\\u{ord(found.group()):04x}", text)  # read as by `unicode`


def unicode(text: str) -> str:
    """Return `text` with what is not Unicode (lone surrogates from devices' bytes) as "\\udcff"."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def digest(text: str) -> str:
    """Return the SHA-256 of `text` as 64 hex digits."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def utc(at: datetime) -> str:
    """Return `at` in UTC as ISO 8601, "2026-11-23T10:00:00Z"; microseconds only if not 0."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"


def utc_or_none(at: datetime | None) -> str | None:
    """As `utc`; None stays None."""
    return None if at is None else utc(at)


def local(at: datetime, zone: str) -> str:
    """Return `at` on the clocks of `zone`, to the second: "2026-11-23T11:00:00+01:00"."""
    return at.astimezone(ZoneInfo(zone)).isoformat(timespec="seconds")
