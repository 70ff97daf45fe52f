"""A message is believed once, and only in its time, across restarts too."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from collectors.snmp_codec.v3 import MOST_BOOTS
from collectors.snmp_trap.engine import Heard, Journal, boot
from collectors.snmp_trap.replay import Timeline
from netopsd.errors import BadConfiguration

GW = b"\x80\x00\x00\x00\x01\x02"


def mac(number: int) -> bytes:
    return number.to_bytes(12, "big")


@pytest.mark.parametrize("later_s", [0, 1, 149, 151, 299, 301, 100_000])
def test_a_captured_message_is_refused_whenever_it_comes_again(later_s: float) -> None:
    timeline = Timeline({})
    assert timeline.refusal(GW, Heard(5, 1000), mac(1), 0.0) == ""
    assert timeline.refusal(GW, Heard(5, 1000), mac(1), later_s) != ""


def test_it_is_refused_as_well_when_others_came_in_between() -> None:
    timeline = Timeline({})
    for n in range(400):
        assert timeline.refusal(GW, Heard(5, 1000 + n), mac(n), float(n)) == ""
    for n in range(400):
        assert timeline.refusal(GW, Heard(5, 1000 + n), mac(n), 400.0) != ""


@pytest.mark.parametrize(
    ("moment", "why"),
    [
        (Heard(5, 1000), ""),  # another of the same second
        (Heard(5, 850), ""),
        (Heard(5, 849), "not_in_window"),
        (Heard(5, 5000), ""),  # ahead: its clock is its own
        (Heard(4, 9999), "not_in_window"),
        (Heard(6, 0), ""),
        (Heard(MOST_BOOTS, 1001), "not_in_window"),
    ],
)
def test_the_window_is_150_seconds_of_the_same_boot(moment: Heard, why: str) -> None:
    timeline = Timeline({})
    timeline.refusal(GW, Heard(5, 1000), mac(1), 0.0)
    assert timeline.refusal(GW, moment, mac(2), 0.0) == why


def test_the_window_moves_with_our_clock() -> None:
    timeline = Timeline({})
    timeline.refusal(GW, Heard(5, 1000), mac(1), 0.0)
    assert timeline.refusal(GW, Heard(5, 1000), mac(2), 150.0) == ""
    assert timeline.refusal(GW, Heard(5, 1000), mac(3), 151.0) == "not_in_window"


def test_a_refused_message_moves_no_clock() -> None:
    timeline = Timeline({})
    timeline.refusal(GW, Heard(5, 1000), mac(1), 0.0)
    timeline.moved.clear()
    timeline.refusal(GW, Heard(4, 9999), mac(2), 1.0)
    timeline.refusal(GW, Heard(MOST_BOOTS, 1), mac(3), 1.0)
    assert timeline.moved == {}
    assert timeline.refusal(GW, Heard(5, 1001), mac(4), 1.0) == ""


def test_after_a_restart_only_what_is_newer_than_before_is_believed() -> None:
    timeline = Timeline({GW: Heard(5, 1000)})
    assert timeline.refusal(GW, Heard(5, 1000), mac(1), 0.0) == "replayed"
    assert timeline.refusal(GW, Heard(5, 900), mac(2), 0.0) == "replayed"
    assert timeline.refusal(GW, Heard(4, 5000), mac(3), 0.0) == "not_in_window"
    assert timeline.refusal(GW, Heard(5, 1001), mac(4), 0.0) == ""


def test_what_is_forgotten_early_is_refused_all_the_same() -> None:
    timeline = Timeline({}, most=10)
    for n in range(30):
        assert timeline.refusal(GW, Heard(5, 1000 + n), mac(n), 0.0) == ""
    assert all(timeline.refusal(GW, Heard(5, 1000 + n), mac(n), 0.0) for n in range(30))
    assert len(timeline._seen) <= 11


def test_our_engine_is_the_same_at_each_boot_and_counts_them(tmp_path: Path) -> None:
    first, second = boot(tmp_path), boot(tmp_path)
    assert first.id == second.id
    assert (first.boots, second.boots) == (1, 2)
    assert first.id[0] & 0x80
    assert 5 <= len(first.id) <= 32
    assert boot(tmp_path / "other").id != first.id


def test_each_engine_id_keeps_its_own_boots(tmp_path: Path) -> None:
    one, other = "8000000001", "8000000002"
    assert [boot(tmp_path, wanted).boots for wanted in (one, one, other, one)] == [1, 2, 1, 3]
    assert boot(tmp_path).id.hex() == one


def test_boots_are_on_disk_before_they_are_used(tmp_path: Path) -> None:
    engine = boot(tmp_path)
    said = json.loads((tmp_path / "snmp-engine.json").read_text())
    assert said["boots"][engine.id.hex()] == engine.boots


@pytest.mark.parametrize(
    "text", ["", "{}", "[]", '{"engine_id": "zz", "boots": {}}', '{"engine_id":']
)
def test_an_unreadable_engine_is_not_replaced_in_silence(tmp_path: Path, text: str) -> None:
    (tmp_path / "snmp-engine.json").write_text(text)
    with pytest.raises(BadConfiguration, match="cannot be read"):
        boot(tmp_path)
    assert (tmp_path / "snmp-engine.json").read_text() == text


def test_used_up_boots_are_refused(tmp_path: Path) -> None:
    said = {"engine_id": "8000000001", "boots": {"8000000001": MOST_BOOTS - 1}}
    (tmp_path / "snmp-engine.json").write_text(json.dumps(said))
    with pytest.raises(BadConfiguration, match="used up"):
        boot(tmp_path)


def test_the_journal_gives_back_the_latest_and_survives_a_torn_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert journal.load() == {}
    journal.append([(GW, Heard(5, 9)), (b"\x80" * 5, Heard(1, 1))])
    journal.append([(GW, Heard(5, 10)), (GW, Heard(5, 8))])
    with (tmp_path / "snmp-heard.txt").open("a") as file:
        file.write(f"{GW.hex()} 99")
    assert Journal(tmp_path).load() == {GW: Heard(5, 10), b"\x80" * 5: Heard(1, 1)}
    assert (tmp_path / "snmp-heard.txt").read_text().count("\n") == 2
