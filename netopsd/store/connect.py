"""Connections: the one that writes, and those that only read. Which error means what."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO
from urllib.parse import quote

from netopsd.errors import CannotStore, StoreBroken

APPLICATION_ID = 0x6E6F7073  # "nops": PRAGMA application_id of our files
BUSY_MS = 5000
_WAL_KEPT = 64 * 2**20  # after a checkpoint the WAL is cut back to this
_PLAIN_URL = re.compile(r"sqlite:///([^?]+)\Z")
_FULL = "database or disk is full"


class DiskFull(Exception):
    """There is no room for this transaction: nothing of it was written. Never leaves the store."""


class Locked(Exception):
    """Another process has held the write lock for BUSY_MS. Never leaves the store."""


def database_path(url: str) -> Path:
    """Return the file of a "sqlite:////var/lib/…/netopsd.db" URL. Raises ValueError."""
    plain = _PLAIN_URL.match(url)
    if plain and plain[1] != ":memory:":
        return Path(plain[1])
    import sqlalchemy as sa

    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError as error:
        raise ValueError(f"{url!r} is not a database URL: sqlite:///netopsd.db is one") from error
    if parsed.get_backend_name() != "sqlite":
        raise ValueError(f"{url!r}: only sqlite:///FILE is supported")
    if not parsed.database or parsed.database == ":memory:":
        raise ValueError(f"{url!r} names no file: sqlite:///FILE")
    return Path(parsed.database)


def hold_lock(path: Path) -> IO[str]:
    """Return the open lock file which makes us the only daemon on this database.

    The kernel frees it with the process, however that ends. Raises StoreBroken.
    """
    file = open(path.with_name(path.name + ".lock"), "a+")  # noqa: SIM115 (held until close)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        owner = file.read(20).strip() or "?"
        file.close()
        raise StoreBroken(f"{path} is in use by another netopsd (process {owner})") from error
    file.truncate(0)
    file.write(str(os.getpid()))
    file.flush()
    return file


def writer(path: Path) -> sqlite3.Connection:
    """Return the writing connection, its pragmas set and seen to be set. Raises StoreBroken.

    Automatic checkpoints are off: SQLite ignores their errors. Ours are explicit, and an I/O
    error in one ends the daemon as one in a commit does.
    """
    with judged(path):
        connection = sqlite3.connect(path, isolation_level=None, cached_statements=256)
        try:
            _check_owner(connection, path)
            for name, value, wanted in (
                ("busy_timeout", str(BUSY_MS), BUSY_MS),
                ("journal_mode", "WAL", "wal"),
                ("synchronous", "FULL", 2),
                ("foreign_keys", "ON", 1),
                ("trusted_schema", "OFF", 0),
                ("cell_size_check", "ON", 1),
                ("wal_autocheckpoint", "0", 0),
                ("journal_size_limit", str(_WAL_KEPT), _WAL_KEPT),
                ("cache_size", "-65536", -65536),
            ):
                connection.execute(f"PRAGMA {name}={value}").fetchall()
                # An error while switching to WAL is silent: look.
                (seen,) = connection.execute(f"PRAGMA {name}").fetchone()
                if seen != wanted:
                    raise StoreBroken(f"{path}: PRAGMA {name} is {seen!r}, not {wanted!r}")
        except BaseException:
            connection.close()
            raise
    return connection


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if tables and owner != APPLICATION_ID:
        raise StoreBroken(f"{path} is a database, but not one of netopsd's: left untouched")
    if not tables:
        connection.execute(f"PRAGMA application_id={APPLICATION_ID}")


def reader(path: Path) -> sqlite3.Connection:
    """Return a connection that cannot write and, the file being open read-only, never checkpoints.

    Raises StoreBroken where there is no such database.
    """
    with judged(path):
        connection = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only=ON")
        connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
        connection.execute("PRAGMA trusted_schema=OFF")
    return connection


@contextmanager
def judged(path: Path) -> Iterator[None]:
    """Turn what sqlite3 raises into what it asks of us.

    StoreBroken: the file or the disk cannot be trusted. DiskFull, Locked: nothing was written, try
    again. CannotStore: the value was at fault. UnicodeEncodeError passes: the writer knows a way.
    """
    try:
        yield
    except UnicodeDecodeError as error:
        raise StoreBroken(f"{path} is damaged: {error}") from error
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        primary = None if code is None else code & 0xFF
        name = getattr(error, "sqlite_errorname", type(error).__name__)
        if primary == sqlite3.SQLITE_FULL or str(error) == _FULL:
            raise DiskFull(f"{path}: {error}") from error
        if primary in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            raise Locked(f"{path}: {error}") from error
        if primary is None and "decode" in str(error):
            raise StoreBroken(f"{path} is damaged: {error}") from error
        if primary in (None, sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_TOOBIG):
            raise CannotStore(f"{path}: {error}") from error
        raise StoreBroken(f"{path}: {error} ({name})") from error
    except OverflowError as error:
        raise CannotStore(f"{path}: {error}") from error


@contextmanager
def sane(path: Path) -> Iterator[None]:
    """Turn the failure to make a belief of a row into StoreBroken."""
    try:
        yield
    except (ValueError, KeyError, TypeError, OverflowError, ArithmeticError) as error:
        raise StoreBroken(f"{path} holds a value netopsd cannot have written: {error!r}") from error


def look(path: Path, tables: tuple[str, ...]) -> None:
    """Do as `check`, by a connection of its own: for a thread beside the one that writes."""
    with closing(reader(path)) as connection, judged(path):
        connection.execute("PRAGMA cell_size_check=ON")
        check(connection, path, tables)


def check(connection: sqlite3.Connection, path: Path, tables: tuple[str, ...]) -> None:
    """Look at every page of `tables`. Raises StoreBroken, naming the damage and the way out."""
    for table in tables:
        with judged(path):
            found = [row[0] for row in connection.execute(f"PRAGMA quick_check({table})")]
        if found != ["ok"]:
            raise StoreBroken(
                f"{path} is damaged in table {table} ({'; '.join(found[:3])}): keep the file, "
                f"restore a backup or save what is readable with: sqlite3 {path.name} .recover"
            )
