"""Log lines: one record is one line, whatever a device put into it, and no log call ever waits.

Records go through a bounded queue to a thread of their own; when whoever reads our output stops
reading, lines are dropped and counted, and the daemon goes on.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging.handlers import QueueHandler, QueueListener

LONGEST = 8192
MOST_WAITING = 10_000
LAST_WORDS_S = 3.0  # for lines still waiting when we end
UNSAFE = {"Cc", "Cf", "Zl", "Zp", "Cs"}  # control, bidi and other invisible characters


def plain(text: str, longest: int = LONGEST) -> str:
    """Return `text` on one line, without control or direction characters, of bounded length."""
    cut = text[:longest]
    if cut.isascii() and cut.isprintable():
        return cut
    return "".join(
        c if unicodedata.category(c) not in UNSAFE else c.encode("unicode_escape").decode()
        for c in cut
    )


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        said = plain(record.getMessage())
        trace = f" | {plain(self.formatException(record.exc_info))}" if record.exc_info else ""
        return f"{_at(record)} {record.levelname.lower():7} {record.name}: {said}{trace}"


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "at": _at(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": plain(record.getMessage()),
        }
        if record.exc_info:
            line["trace"] = plain(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


def _at(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")


class _Dropping(QueueHandler):
    """Puts records into the queue, or drops and counts them where it is full."""

    dropped = 0

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self.dropped += 1

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        return record  # formatted by the listener's thread, not by the caller


class _Descriptor(logging.Handler):
    """Writes to a file descriptor. Holds no lock: one thread writes, and may hang in it for ever
    where nobody reads; neither Python's end nor `logging.shutdown` must wait for that.
    """

    def __init__(self, number: int) -> None:
        super().__init__()
        self._number = number

    def createLock(self) -> None:  # logging's name
        self.lock = None

    def emit(self, record: logging.LogRecord) -> None:
        line = f"{self.format(record)}\n".encode("utf-8", "backslashreplace")
        with suppress(OSError):  # nobody is there to hear of it
            while line:
                line = line[os.write(self._number, line) :]


class _Listener(QueueListener):
    """Writes lines in a thread of its own; at the end it is waited for, but not for ever."""

    def stop(self) -> None:
        thread = self._thread
        if thread is None:
            return
        try:
            self.enqueue_sentinel()
        except queue.Full:  # nobody has read our output for long
            return
        thread.join(LAST_WORDS_S)
        self._thread = None


@contextmanager
def writing(level: str, form: str) -> Iterator[None]:
    """Log to standard error while the context lasts."""
    lines: queue.Queue[logging.LogRecord] = queue.Queue(MOST_WAITING)
    out = _Descriptor(2)
    out.setFormatter(_Json() if form == "json" else _Text())
    listener = _Listener(lines, out)
    handler = _Dropping(lines)
    root = logging.getLogger()
    root.addHandler(handler)
    root.setLevel(level.upper())
    for chatty in ("apscheduler", "asyncio", "httpx", "asyncssh", "ncclient"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    listener.start()
    try:
        yield
    finally:
        root.removeHandler(handler)
        listener.stop()
