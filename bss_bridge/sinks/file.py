"""JSON lines for whoever reads files: one message, one line, on the disk before it counts.

At least once, with the key on every line: a line is written again only if the process died between
writing it and noting so, and then only if the line is no longer among the last of the file.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

from bss_bridge.canonical import utc
from netopsd.errors import Refused, TryLater
from netopsd.ports import Message

TAIL = 4 << 20  # octets looked at when a file is opened: a torn line, the latest keys
MOST_KEYS = 10_000
_START = b'{"key":'


class FileSink:
    """Appends to one file. Whoever rotates it may move or remove it at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1  # descriptor
        self._keys: OrderedDict[str, None] = OrderedDict()
        self._waiting: list[tuple[str, bytes, asyncio.Future[None]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def deliver(self, message: Message) -> None:
        """Return once the line is synced to disk. Raises Refused (see `line`), TryLater."""
        if message.key in self._keys:
            return
        octets = line(message)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((message.key, octets, done))
        if self._flusher is None or self._flusher.done():
            self._flusher = asyncio.create_task(self._flush(), name="file-flush")
        await done

    async def close(self) -> None:
        """Finish what was begun and close the file."""
        if self._flusher is not None:
            await asyncio.wait((self._flusher,))
        if self._thread is not None:
            self._thread.shutdown(wait=True)
            self._thread = None
        self._shut()

    async def _flush(self) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="file-sink")
        loop = asyncio.get_running_loop()
        while self._waiting:
            together, self._waiting = self._waiting, []
            lines = {key: octets for key, octets, _ in together}
            written = loop.run_in_executor(self._thread, self._append, lines)
            (error,) = await asyncio.gather(written, return_exceptions=True)
            if isinstance(error, OSError):
                error = TryLater(f"{self._path}: {error.strerror}")
            for *_, done in together:
                if done.done():
                    continue
                if error is None:
                    done.set_result(None)
                else:
                    done.set_exception(error)

    def _append(self, lines: dict[str, bytes]) -> None:
        """Write all lines with one sync, or none."""
        self._open()
        fresh = {key: octets for key, octets in lines.items() if key not in self._keys}
        if not fresh:
            return
        size = os.fstat(self._file).st_size
        try:
            _write_all(self._file, b"".join(fresh.values()))
            os.fsync(self._file)
        except OSError:
            with suppress(OSError):  # after a failed sync a later one may claim what is not there
                os.ftruncate(self._file, size)
            self._shut()
            raise
        for key in fresh:
            self._remember(key)

    def _open(self) -> None:
        """Have the file at the path open, repaired: after a rotation that is another file."""
        if self._file >= 0 and _same(self._file, self._path):
            return
        self._shut()
        new = not self._path.exists()
        file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
        try:
            for key in _repair(file):
                self._remember(key)
            if new:
                _sync_folder(self._path.parent)
        except OSError:
            os.close(file)
            raise
        self._file = file

    def _remember(self, key: str) -> None:
        self._keys[key] = None
        if len(self._keys) > MOST_KEYS:
            self._keys.popitem(last=False)

    def _shut(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def line(message: Message) -> bytes:
    """Return `message` as one line: key, topic, stream, time, and the body as JSON, not as text.

    Raises Refused for a body that is no JSON or text that is not Unicode.
    """
    try:
        json.loads(message.body)
        head = json.dumps(
            {
                "key": message.key,
                "topic": message.topic,
                "stream": message.stream,
                "at": utc(message.at),
            },
            separators=(",", ":"),
            ensure_ascii=False,
        )
        text = f'{head[:-1]},"body":{message.body}}}\n'
        if text.count("\n") != 1:
            raise Refused(f"{message.key}: a body of several lines")
        return text.encode()
    except (ValueError, RecursionError) as error:
        raise Refused(f"{message.key}: {type(error).__name__}: {error}") from error


def _repair(file: int) -> list[str]:
    """Cut off a torn last line of ours, end one that is not ours; return the last lines' keys."""
    size = os.fstat(file).st_size
    start = max(0, size - TAIL)
    tail = os.pread(file, TAIL, start)
    whole, _, torn = tail.rpartition(b"\n")
    if torn and _START.startswith(torn[: len(_START)]):
        os.ftruncate(file, size - len(torn))
        os.fsync(file)
    elif torn:
        _write_all(file, b"\n")
    return [key for raw in whole.split(b"\n") if (key := _key(raw)) is not None]


def _key(raw: bytes) -> str | None:
    if not raw.startswith(_START):
        return None
    try:
        key = json.loads(raw)["key"]
    except (ValueError, KeyError, RecursionError):
        return None
    return key if isinstance(key, str) else None


def _write_all(file: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(file, view) :]


def _same(file: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(file)
    return (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
