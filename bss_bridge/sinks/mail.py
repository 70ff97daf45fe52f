"""A message as a mail: MIME, plain text and HTML, threaded by incident. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from email.message import EmailMessage
from email.policy import SMTP
from html import escape
from typing import Any

from bss_bridge.canonical import digest
from netopsd.errors import Refused
from netopsd.ports import Message

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
MOST_ROWS = 2000  # of a digest; the rest is counted
Rows = list[tuple[str, str]]


def mail(message: Message, sender: str, to: Sequence[str]) -> EmailMessage:
    """Return `message` as mail. Message-ID comes from the key, References from the thread.

    Raises Refused for a body that is no JSON object.
    """
    said = _content(message)
    subject = _undecoded(_line(str(said.get("subject") or message.topic), 200))
    rows = _rows(said)
    made = EmailMessage(policy=SMTP)
    made["From"] = sender
    made["To"] = ", ".join(to)
    made["Subject"] = subject
    made["Date"] = message.at
    domain = sender.rpartition("@")[2]
    made["Message-ID"] = f"<{digest(message.key)[:40]}@{domain}>"
    thread = said.get("thread")
    if isinstance(thread, str) and thread:
        # The root is a name no mail has: all mails of the incident hang on it in any order.
        root = f"<thread-{digest(thread)[:40]}@{domain}>"
        made["In-Reply-To"] = root
        made["References"] = root
    made["Auto-Submitted"] = "auto-generated"
    made.set_content(_plain(said, rows))
    made.add_alternative(_html(subject, said, rows), subtype="html")
    return made


def _content(message: Message) -> Mapping[str, Any]:
    try:
        event = json.loads(message.body)["event"]
        said = next(iter(event.values()))
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        StopIteration,
        RecursionError,
    ) as error:
        raise Refused(f"{message.key}: no mail can be made of its body: {error!r}") from error
    if not isinstance(said, dict):
        raise Refused(f"{message.key}: no mail can be made of its body")
    return said


def _rows(said: Mapping[str, Any]) -> Rows:
    """Label and value of everything said but the prose, nested values flattened, in order."""
    rows: Rows = []
    for name in sorted(said):
        if name not in ("subject", "impact", "say", "thread"):
            _flatten(name, said[name], rows)
    if len(rows) > MOST_ROWS:
        more = len(rows) - MOST_ROWS
        rows = [*rows[:MOST_ROWS], ("…", f"and {more} more lines; all are in the office")]
    return rows


def _flatten(label: str, value: Any, into: Rows) -> None:
    if value is None or value in ("", [], {}):
        return
    if isinstance(value, dict):
        for name in sorted(value):
            _flatten(f"{label} {name}", value[name], into)
    elif isinstance(value, list):
        for number, item in enumerate(value, start=1):
            _flatten(f"{label} {number}", item, into)
    else:
        text = {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
        into.append((_line(label, 100), _line(text, 1000)))


def _line(text: str, most: int) -> str:
    """One line of printable text, at most `most` characters."""
    return _CONTROL.sub(" ", text)[:most].strip() or "-"


def _undecoded(text: str) -> str:
    """`text` as a header that says what it shows.

    EmailMessage and readers decode "=?utf-8?q?…?=" (RFC 2047), line breaks in it, too: a name of
    that form would write headers and a body of its own.
    """
    return text.replace("=?", "= ?")


def _plain(said: Mapping[str, Any], rows: Rows) -> str:
    prose = [_line(str(said[name]), 2000) for name in ("impact", "say") if said.get(name)]
    lines = [prose[0], ""] if prose else []
    if len(prose) > 1:
        lines += [f"What to say: {prose[1]}", ""]
    return "\n".join([*lines, *(f"{label}: {value}" for label, value in rows), ""])


def _html(subject: str, said: Mapping[str, Any], rows: Rows) -> str:
    impact = escape(_line(str(said.get("impact") or ""), 2000))
    say = escape(_line(str(said.get("say") or ""), 2000))
    table = "\n".join(
        f"<tr><th align='left'>{escape(label)}</th><td>{escape(value)}</td></tr>"
        for label, value in rows
    )
    quote = f"<p>What to say:</p>\n<blockquote>{say}</blockquote>\n" if said.get("say") else ""
    return (
        "<!doctype html>\n<html><head><meta charset='utf-8'>"
        f"<title>{escape(subject)}</title></head>\n<body>\n"
        f"<h1>{escape(subject)}</h1>\n<p>{impact}</p>\n{quote}"
        f"<table>\n{table}\n</table>\n</body></html>\n"
    )
