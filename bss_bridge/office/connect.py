"""Connections to the office's database: one that writes, others that cannot."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from urllib.parse import quote

from bss_bridge.office.migrations import check
from netopsd.errors import StoreBroken

_WRITER = (
    ("journal_mode", "wal", "wal"),
    ("synchronous", "FULL", 2),
    ("foreign_keys", "ON", 1),
)


def database_path(url: str) -> Path:
    """Return the file of `url` ("sqlite:////var/lib/netopsd/office.db"). Raises ValueError."""
    scheme, separator, path = url.partition(":///")
    if scheme != "sqlite" or not separator or not path or ":memory:" in path or "?" in path:
        raise ValueError(f'{url!r}: the office needs "sqlite:///" and a file')
    return Path(path)


def connect_writer(path: Path) -> sqlite3.Connection:
    """Return the one writing connection, durable at every commit.

    An fsync error while switching to WAL is silent, so every setting is read back. Raises
    StoreBroken.
    """
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    except sqlite3.Error as error:
        raise StoreBroken(f"office database {path}: {error}") from error
    try:
        connection.execute("PRAGMA busy_timeout = 5000")
        for name, value, expected in _WRITER:
            connection.execute(f"PRAGMA {name} = {value}")
            (got,) = connection.execute(f"PRAGMA {name}").fetchone()
            if got != expected:
                raise StoreBroken(f"office database {path}: {name} is {got}, not {value}")
    except sqlite3.Error as error:
        connection.close()
        raise StoreBroken(f"office database {path}: {error}") from error
    return connection


def connect_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that can neither write nor checkpoint. Raises StoreBroken."""
    try:
        connection = sqlite3.connect(
            f"file:{quote(str(path.absolute()))}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA busy_timeout = 5000")
        check(connection)
    except sqlite3.Error as error:
        raise StoreBroken(f"office database {path}: {error}") from error
    return connection
