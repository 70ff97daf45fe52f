"""Lines on disk: whole, once, also after a crash and across rotation."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from bss_bridge.sinks.file import FileSink, line
from netopsd.errors import Refused, TryLater
from netopsd.ports import Message
from tests.bss_bridge.world import message


def write(path: Path, *messages: Message) -> None:
    async def run() -> None:
        sink = FileSink(path)
        try:
            await asyncio.gather(*(sink.deliver(one) for one in messages))
        finally:
            await sink.close()

    asyncio.run(run())


def keys(path: Path) -> list[str]:
    return [json.loads(raw)["key"] for raw in path.read_text().splitlines()]


def test_a_message_is_one_line_with_its_body_as_json(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write(path, message(body='{"navn":"Ålesund"}'))
    assert json.loads(path.read_text()) == {
        "key": "test|a1|1",
        "topic": "test.message",
        "stream": "a1",
        "at": "2026-11-23T10:00:00Z",
        "body": {"navn": "Ålesund"},
    }


def test_a_torn_last_line_is_cut_off_and_written_anew(tmp_path: Path) -> None:
    whole = line(message(1)) + line(message(2))
    for cut in range(len(line(message(1))) + 1, len(whole)):
        path = tmp_path / "out.jsonl"
        path.write_bytes(whole[:cut])
        write(path, message(2), message(3))
        assert keys(path) == [message(n).key for n in (1, 2, 3)], cut


def test_a_last_line_that_is_not_ours_is_ended_and_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("somebody's notes")
    write(path, message())
    assert path.read_text().startswith("somebody's notes\n{")


def test_a_message_written_before_a_crash_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write(path, message(1), message(2))
    write(path, message(1), message(2), message(3))
    assert keys(path) == [message(n).key for n in (1, 2, 3)]


def test_the_same_message_twice_at_once_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    write(path, message(), message(), message())
    assert len(keys(path)) == 1


def test_after_a_rotation_lines_go_to_the_new_file(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    async def run() -> None:
        sink = FileSink(path)
        await sink.deliver(message(1))
        path.rename(tmp_path / "out.jsonl.1")
        await sink.deliver(message(2))
        path.unlink()
        await sink.deliver(message(3))
        await sink.close()

    asyncio.run(run())
    assert keys(tmp_path / "out.jsonl.1") == [message(1).key]
    assert keys(path) == [message(3).key]


def test_one_bad_message_costs_the_others_nothing(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"

    async def run() -> list[object]:
        sink = FileSink(path)
        said = [message(1), message(2, body="{"), message(3, body="{\n}"), message(4, key="\ud800")]
        results = await asyncio.gather(*map(sink.deliver, said), return_exceptions=True)
        await sink.close()
        return list(results)

    results = asyncio.run(run())
    assert results[0] is None
    assert all(isinstance(result, Refused) for result in results[1:])
    assert keys(path) == [message(1).key]


def test_a_disk_that_will_not_is_tried_later(tmp_path: Path) -> None:
    with pytest.raises(TryLater, match="No such file"):
        write(tmp_path / "absent" / "out.jsonl", message())


def test_a_full_disk_is_tried_later_and_leaves_no_half_line() -> None:
    with pytest.raises(TryLater):
        write(Path("/dev/full"), message())
