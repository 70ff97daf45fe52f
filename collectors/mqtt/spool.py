"""A collector's looks on disk until the core has confirmed them. In order, bounded, torn-proof.

Segments are files of records, named by their first seq; each holds the definition of every layout
its own looks refer to, so that one can be dropped, or read, without the others. A record is

    crc32 u32 (of what follows) | size u32 | seq u64 | prev u64 | definitions size u32 | both parts

Every append is written at once (kill -9 of the collector loses nothing) and synced by `sync`, once
a second (a power cut loses that second). Seqs of different runs never meet: each begins at the
next multiple of RUN, so numbers that a power cut took back are not given twice.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

RECORD = struct.Struct("<IIQQI")
RUN = 1 << 32
NAME = "{:020d}.seg"
MOST_RECORD = 8 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One parcel's worth. `definitions` are those its segment had not held before."""

    seq: int
    prev: int
    definitions: bytes
    looks: bytes


@dataclass(slots=True, kw_only=True)
class Segment:
    """One file of the spool."""

    path: Path
    first: int  # seq of its first record
    prev: int  # the seq before that
    last: int = 0
    size: int = 0
    records: int = 0


@dataclass(slots=True, kw_only=True)
class SpoolStats:
    """Since start; sizes in octets."""

    octets: int = 0
    records: int = 0
    dropped: int = 0  # records given up because the bound was hit
    torn: int = 0  # records of an earlier life that were not whole
    failed: int = 0  # records the disk did not take


class Spool:
    """The spool in `folder`, at most `most` octets, in segments of about `segment` octets."""

    def __init__(self, folder: Path, most: int, segment: int = 16 << 20) -> None:
        self._folder = folder
        self._most = most
        self._segment = min(segment, max(4096, most // 4))
        self._segments: list[Segment] = []
        self._file = -1
        self._unsynced = False
        self.stats = SpoolStats()
        self.last = 0  # seq of the newest record, 0 where none is known
        self.confirmed = 0
        self.fresh = True  # the next record begins a segment: it must define all it refers to
        self.stream = 0
        self.began = RUN

    def open(self, seed: str) -> None:
        """Take up what an earlier life left; `seed` names a new spool. Raises OSError.

        Only the newest segment is read through; the others were whole when it was begun.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._take_stream(seed)
        newest = True
        after = 0
        for path in sorted(self._folder.glob("*.seg"), reverse=True):
            found = _whole(path) if newest else _glance(path)
            if found is None:
                self.stats.torn += path.stat().st_size > 0
                path.unlink()
                continue
            if newest and found.size < path.stat().st_size:
                self.stats.torn += 1
                os.truncate(path, found.size)
            if not newest:
                found.last = after
                found.records = max(1, after - found.first + 1)
            newest, after = False, found.prev
            self._segments.insert(0, found)
            self.last = max(self.last, found.last)
        self._count()
        self.confirmed = self._segments[0].prev if self._segments else 0
        used = self.last
        with contextlib.suppress(OSError, ValueError):
            used = max(used, int((self._folder / "last").read_text()))
        self.began = (used // RUN + 1) * RUN
        self._note(self.began)

    def _take_stream(self, seed: str) -> None:
        """Have the spool's own name: another spool of the same collector is another stream."""
        path = self._folder / "stream"
        with contextlib.suppress(OSError, ValueError):
            self.stream = int(path.read_text(), 16)
        if not 0 < self.stream < 1 << 64:
            self.stream = int.from_bytes(hashlib.blake2b(seed.encode(), digest_size=8).digest())
            path.write_text(f"{self.stream:016x}")

    def _note(self, began: int) -> None:
        """Keep where this run's numbers begin: the segments may all be gone by the next one."""
        path = self._folder / "last.new"
        with path.open("w") as out:
            out.write(str(began))
            out.flush()
            os.fsync(out.fileno())
        path.rename(self._folder / "last")

    def append(self, definitions: bytes, looks: bytes) -> bool:
        """Write one record; False where the disk does not take it, which is counted.

        The oldest segment goes where the bound would be passed, its unconfirmed records counted.
        """
        prev = self.last
        seq = max(prev + 1, self.began)
        body = struct.pack("<IQQI", len(definitions) + len(looks), seq, prev, len(definitions))
        whole = b"".join((body, definitions, looks))
        octets = struct.pack("<I", zlib.crc32(whole)) + whole
        try:
            if self.fresh or not self._segments:
                self._begin(seq, prev)
            _write_all(self._file, octets)
        except OSError:
            self.stats.failed += 1
            self._close(torn=True)
            return False
        here = self._segments[-1]
        here.last, here.size, here.records = seq, here.size + len(octets), here.records + 1
        self.last, self.fresh, self._unsynced = seq, here.size >= self._segment, True
        self._bound()
        return True

    def _begin(self, seq: int, prev: int) -> None:
        self._close(torn=False)
        path = self._folder / NAME.format(seq)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
        self._segments.append(Segment(path=path, first=seq, prev=prev))

    def _close(self, *, torn: bool) -> None:
        if self._file < 0:
            return
        here = self._segments[-1]
        with contextlib.suppress(OSError):
            if torn:
                os.ftruncate(self._file, here.size)
            os.fsync(self._file)
        os.close(self._file)
        self._file, self.fresh = -1, True
        if not here.records:
            here.path.unlink(missing_ok=True)
            self._segments.pop()

    def _bound(self) -> None:
        while len(self._segments) > 1 and sum(s.size for s in self._segments) > self._most:
            gone = self._segments.pop(0)
            if gone.last > self.confirmed:
                self.stats.dropped += gone.records
            gone.path.unlink(missing_ok=True)
        self._count()

    def _count(self) -> None:
        self.stats.octets = sum(s.size for s in self._segments)
        self.stats.records = sum(s.records for s in self._segments)

    @property
    def floor(self) -> int:
        """The seq before the oldest record there is."""
        return self._segments[0].prev if self._segments else self.last

    def confirm(self, seq: int) -> None:
        """Forget segments whose last record is not after `seq`."""
        self.confirmed = max(self.confirmed, seq)
        while self._segments and self._segments[0].last <= seq:
            if len(self._segments) == 1:
                if self._segments[0].size < self._segment and self._file >= 0:
                    break  # still being written to
                self._close(torn=False)
                if not self._segments:
                    break
            self._segments.pop(0).path.unlink(missing_ok=True)
        self._count()

    def segment_after(self, seq: int) -> Segment | None:
        """Return the segment that holds the first record after `seq`."""
        return next((s for s in self._segments if s.last > seq), None)

    def definitions_before(self, seq: int) -> Iterator[bytes]:
        """Give the definitions of that segment up to `seq`: what a reader after it must know."""
        here = self.segment_after(seq)
        if here is not None:
            for record, _ in _records(here.path):
                if record.seq > seq:
                    return
                if record.definitions:
                    yield record.definitions

    def sync(self) -> Callable[[], None]:
        """Return a job for a thread that has what is appended by now on the disk."""
        if not self._unsynced or self._file < 0:
            return lambda: None
        self._unsynced = False
        file = os.dup(self._file)  # ours may be closed meanwhile

        def job() -> None:
            try:
                os.fdatasync(file)
            finally:
                os.close(file)

        return job

    def close(self) -> None:
        """Sync and close."""
        self._close(torn=False)


class Cursor:
    """Reads a spool forward from after `seq`; records appended later come too."""

    def __init__(self, spool: Spool, seq: int) -> None:
        self._spool = spool
        self.seq = seq
        self._file: IO[bytes] | None = None
        self._first = -1
        self._at = 0
        self.damaged = 0  # segments that could not be read to their end

    def next(self) -> Record | None:
        """Return the next record, None where there is none yet."""
        while True:
            here = self._spool.segment_after(self.seq)
            if here is None:
                return None
            if self._first != here.first:
                self._open(here)
            found = _one(self._file) if self._file is not None and self._at < here.size else None
            if found is None:
                self.damaged += 1
                self.seq = here.last
                continue
            record, size = found
            self._at += size
            if record.seq > self.seq:
                self.seq = record.seq
                return record

    def _open(self, here: Segment) -> None:
        self.close()
        self._first, self._at = here.first, 0
        with contextlib.suppress(OSError):
            self._file = here.path.open("rb")

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


def _records(path: Path) -> Iterator[tuple[Record, int]]:
    """Give the whole records of a file from its beginning, and the size of each."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        while (found := _one(file)) is not None:
            yield found


def _one(file: IO[bytes]) -> tuple[Record, int] | None:
    head = file.read(RECORD.size)
    if len(head) < RECORD.size:
        return None
    crc, length, seq, prev, split = RECORD.unpack(head)
    if length > MOST_RECORD or split > length:
        return None
    body = file.read(length)
    if len(body) < length or zlib.crc32(body, zlib.crc32(head[4:])) != crc:
        return None
    record = Record(seq=seq, prev=prev, definitions=body[:split], looks=body[split:])
    return record, RECORD.size + length


def _whole(path: Path) -> Segment | None:
    """Return a file as a segment, as far as its records are whole."""
    found: Segment | None = None
    for record, size in _records(path):
        if found is None:
            found = Segment(path=path, first=record.seq, prev=record.prev)
        found.last, found.size, found.records = record.seq, found.size + size, found.records + 1
    return found


def _glance(path: Path) -> Segment | None:
    """Return a file as a segment by its first record alone; where it ends is not known yet."""
    for record, _ in _records(path):
        size = path.stat().st_size
        return Segment(path=path, first=record.seq, prev=record.prev, size=size, records=1)
    return None


def _write_all(file: int, octets: bytes) -> None:
    view = memoryview(octets)
    while view:
        view = view[os.write(file, view) :]
