"""SenML in JSON (RFC 8428): a pack of records to numbers by name. Pure."""

from __future__ import annotations

import re
from typing import Any

from collectors.mqtt.bounded import BadPayload

VERSION = 10  # section 4.4: the version of RFC 8428 itself
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")  # section 4.5.1
RECORDS = 1000


def resolve(pack: Any) -> dict[str, float | int | bool]:
    """Return the latest number of each resolved name. Raises BadPayload.

    Base name and base value are applied (section 4.1); sums, strings and data are passed over.
    Where a name is there twice the record with the later time counts; times themselves are not
    believed: a message is of when it came. A label that ends in "_" and is unknown makes the pack
    unreadable (section 4.4).
    """
    if not isinstance(pack, list) or len(pack) > RECORDS:
        raise BadPayload("not_senml", "a pack is an array of records")
    base: dict[str, Any] = {"bn": "", "bt": 0, "bv": 0}
    found: dict[str, float | int | bool] = {}
    times: dict[str, float] = {}
    for record in pack:
        if not isinstance(record, dict):
            raise BadPayload("not_senml", "a record is an object")
        _check(record)
        base |= {label: record[label] for label in base if label in record}
        name = f"{base['bn']}{record.get('n', '')}"
        value = record.get("v", record.get("vb"))
        if value is None or isinstance(value, str):
            continue
        if not NAME.fullmatch(name):
            raise BadPayload("not_senml", "a name of other characters than RFC 8428 allows")
        at = base["bt"] + record.get("t", 0)
        if name not in times or at >= times[name]:
            times[name] = at
            found[name] = value if isinstance(value, bool) or not base["bv"] else base["bv"] + value
    return found


def _check(record: dict[str, Any]) -> None:
    for label, value in record.items():
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if label in ("bt", "t", "bv", "v", "s", "bs", "ut", "bver") and not number:
            raise BadPayload("not_senml", f"{label} is a number")
        if label in ("bn", "n", "u", "bu", "vs", "vd") and not isinstance(value, str):
            raise BadPayload("not_senml", f"{label} is text")
        if label == "vb" and not isinstance(value, bool):
            raise BadPayload("not_senml", "vb is true or false")
        if label.endswith("_"):
            raise BadPayload("not_senml", f"{label} must be understood, and is not")
    if record.get("bver", VERSION) > VERSION:
        raise BadPayload("not_senml", "a later version than RFC 8428")
