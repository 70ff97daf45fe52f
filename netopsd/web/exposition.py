"""The Prometheus text format 0.0.4: names, labels and numbers as text.

https://prometheus.io/docs/instrumenting/exposition_formats/ is the source. What a device says ends
up in label values, so every one of them goes through `label_value`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from math import isinf, isnan

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
LONGEST_LABEL = 256  # characters; SMIv2 DisplayStrings end at 255
SLICE = 256  # samples rendered before the event loop is given a chance

_ODD = re.compile(
    '[\x00-\x1f\x7f-\x9f\\\\"'
    "\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ufff9-\ufffb\ud800-\udfff\ufffe\uffff]"
)
_NOT_NAME = re.compile(r"[^a-zA-Z0-9_]")
_KNOWN = {"\\": "\\\\", '"': '\\"', "\n": "\\n"}


def _plain(odd: re.Match[str]) -> str:
    character = odd.group()
    if known := _KNOWN.get(character):
        return known
    code = ord(character)
    if 0xD800 <= code <= 0xDFFF:  # half a pair: bytes that were not UTF-8
        return "\ufffd"
    return f"\\\\x{code:02x}" if code < 0x100 else f"\\\\u{code:04x}"


def label_value(text: str, longest: int = LONGEST_LABEL) -> str:
    r"""Return `text` as it stands between the quotes of a label value.

    At most `longest` characters of it, then "…". Backslash, quote and newline are escaped as the
    format demands; other control, zero-width and direction-changing characters are shown as the
    text \x1b or \u202e, and what was not UTF-8 as U+FFFD.
    """
    if len(text) > longest:
        text = text[:longest] + "…"
    return _ODD.sub(_plain, text) if _ODD.search(text) else text


def metric_name(name: str) -> str:
    """Return `name` as a metric name that cannot be taken for one of netopsd's own."""
    name = _NOT_NAME.sub("_", name) or "_"
    if name[0].isdigit():
        name = "_" + name
    return "network_" + name if name.startswith("netopsd_") else name


def label_names(names: Iterable[str], taken: Iterable[str]) -> list[str]:
    """Return `names` as label names, all different.

    One that is in `taken` becomes "exported_…", as Prometheus does; one that is there already
    gets a number.
    """
    used = set(taken)
    given: list[str] = []
    for raw in names:
        name = _NOT_NAME.sub("_", raw) or "_"
        if not name[0].isalpha():  # no digit may come first; "__" is reserved by Prometheus
            name = "x" + name
        if name in used and name not in given:
            name = "exported_" + name
        number, first = 2, name
        while name in used:
            name, number = f"{first}_{number}", number + 1
        used.add(name)
        given.append(name)
    return given


def header(name: str, help_text: str, kind: str) -> str:
    """Return the HELP and TYPE lines of one metric family."""
    text = help_text.replace("\\", "\\\\").replace("\n", "\\n")
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def number(value: float) -> str:
    """Return `value` as a sample value: whole numbers without a point, others exactly (repr)."""
    if isinstance(value, int):
        return str(value)
    if isnan(value):
        return "NaN"
    if isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if abs(value) < 2**53 and value.is_integer() else repr(value)


def labels(pairs: Mapping[str, str]) -> str:
    """Return a label set with its braces; "" for none."""
    if not pairs:
        return ""
    return "{" + ",".join(f'{name}="{label_value(text)}"' for name, text in pairs.items()) + "}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """A metric family with many samples, one per service or the like.

    `samples` is called once per scrape and gives (label values, value) in the order of `labels`.
    """

    name: str
    help: str
    labels: tuple[str, ...]
    samples: Callable[[], Iterable[tuple[tuple[str, ...], float]]]
    kind: str = "gauge"

    def pieces(self) -> Iterator[str]:
        """Yield the family as text, at most SLICE samples at a time."""
        lines = [header(self.name, self.help, self.kind)]
        for values, value in self.samples():
            pairs = dict(zip(self.labels, values, strict=True))
            lines.append(f"{self.name}{labels(pairs)} {number(value)}\n")
            if len(lines) > SLICE:
                yield "".join(lines)
                lines.clear()
        if lines:
            yield "".join(lines)
