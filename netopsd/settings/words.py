"""The words of our TOML files: durations, percentages, names, addresses. All bounded."""

from __future__ import annotations

import ipaddress
import math
import re
from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StrictBool, StrictInt, StrictStr

DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)\s*(ms|s|m|h|d)\Z")
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,99}\Z")
OCTET = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
IPV4 = re.compile(rf"{OCTET}(?:\.{OCTET}){{3}}\Z")  # as ipaddress reads it, at a tenth of the cost
HOST_PART = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,62}"
HOST = re.compile(rf"(?=.{{1,253}}\Z){HOST_PART}(\.{HOST_PART})*\Z")
LONGEST_S = 366 * 86400.0


def duration(value: Any) -> float:
    """Return seconds from 30, 0.5, "30s", "5m", "1h", "250ms" or "2d". Raises ValueError."""
    if isinstance(value, str):
        found = DURATION.match(value.strip())
        if found:
            value = float(found[1]) * UNITS[found[2]]
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError('not a duration; write seconds as a number, or "30s", "5m", "1h"')
    if not 0 <= value <= LONGEST_S:
        raise ValueError("a duration must be between 0 and 366 days")
    return float(value)


def positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be longer than 0 seconds")
    return value


def share(value: Any) -> Decimal:
    """Return a share of one from a percentage such as 99.95 or "99.95 %". Raises ValueError."""
    if isinstance(value, str):
        text = value.removesuffix("%").strip()
    elif isinstance(value, int | float) and not isinstance(value, bool):
        text = repr(value)  # the shortest decimal that reads back the same: what was written
    else:
        text = ""
    if not re.fullmatch(r"\d{1,3}(\.\d{1,9})?", text) or not 0 <= Decimal(text) <= 100:
        raise ValueError("not a percentage; write a number from 0 to 100 such as 99.95")
    return Decimal(text) / 100


def number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("not a number")
    return float(value)


def name(value: str) -> str:
    if not NAME.match(value):
        raise ValueError(
            "not a name; use letters, digits and . _ : @ -, begin with a letter or digit,"
            " at most 100 characters"
        )
    return value


def address(value: str) -> str:
    """Return an IP address or host name as written. Raises ValueError."""
    if IPV4.match(value):
        return value
    try:
        return str(ipaddress.ip_address(value))
    except ValueError:
        if not HOST.match(value) or re.fullmatch(r"[\d.]+", value):
            raise ValueError("not an IP address or a host name") from None
        return value


def pattern(value: str) -> str:
    """Return a regular expression that compiles. Raises ValueError."""
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from None
    except (OverflowError, RecursionError):
        what = "not a regular expression: it repeats too often or is nested too deep"
        raise ValueError(what) from None
    return value


def endpoint(value: Any) -> str:
    """Return `host:port` as written; IPv6 in brackets, port 0 lets the kernel choose."""
    text = value if isinstance(value, str) else ""
    host, colon, port = text.rpartition(":")
    if not colon or not re.fullmatch(r"\d{1,5}", port) or int(port) > 65535:
        raise ValueError('not an address with a port; write "127.0.0.1:9280" or "[::1]:9280"')
    bracketed = host.startswith("[") and host.endswith("]")
    if ":" in host and not bracketed:
        raise ValueError('an IPv6 address needs brackets, as in "[::1]:9280"')
    address(host[1:-1] if bracketed else host)
    return text


Seconds = Annotated[float, BeforeValidator(duration)]
Period = Annotated[float, BeforeValidator(duration), AfterValidator(positive)]
Share = Annotated[Decimal, BeforeValidator(share)]
Number = Annotated[float, BeforeValidator(number)]
Name = Annotated[StrictStr, AfterValidator(name)]
Text = Annotated[StrictStr, Field(max_length=1000)]
Address = Annotated[StrictStr, AfterValidator(address)]
Pattern = Annotated[StrictStr, Field(max_length=10_000), AfterValidator(pattern)]  # many ports
Endpoint = Annotated[str, BeforeValidator(endpoint)]
Port = Annotated[StrictInt, Field(ge=1, le=65535)]
Bool = StrictBool


def moment(value: Any) -> Any:
    """Return a TOML date-time; text, a bare date or a number is refused. Raises ValueError."""
    if not isinstance(value, datetime):
        raise ValueError("not a date and time; write 2026-12-01T02:00:00Z without quotes")
    return value
