"""Recorded walks are served as they were recorded, lies included."""

import bz2
from pathlib import Path

import pytest

from collectors.snmp_codec.ber import Tag
from collectors.snmp_codec.message import VarBind
from simulators.replay import BadRecording, Recording
from tests.simulators.world import World

HERE = Path(__file__).parent / "recordings"
WALKS = Path(__file__).resolve().parents[3] / "shared/data/walks"
RECORDED = sorted(WALKS.glob("*.snmprec.bz2")) if WALKS.is_dir() else []
LONG = 150_000  # octets: the two that take seconds are left to the long run
LAST = "1.3.6.1.4.1.99999.2.7.0"


def world(file: str, folder: Path, more: str = "") -> World:
    head = '[network]\nswing = 0\n[[device]]\nname = "r"\naddress = "127.0.5.1"\n'
    return World(f'{head}replay = "{file}"\nmax_message = 8000\n{more}', folder)


def test_a_recording_is_read_type_by_type() -> None:
    small = world("small.snmprec", HERE)
    values = {bind.oid: bind for bind in small.walk("r", repeat=1)}
    assert values["1.3.6.1.2.1.1.5.0"].value == b"tab\there"
    assert values["1.3.6.1.2.1.2.2.1.2.7"].value == b"port seven"
    assert values["1.3.6.1.2.1.2.2.1.10.1"][1:] == (Tag.COUNTER32, 4294967290)
    assert values["1.3.6.1.2.1.31.1.1.1.6.1"][1:] == (Tag.COUNTER64, 2**64 - 6)
    assert values["1.3.6.1.2.1.4.20.1.1.192.0.2.2"].value == "192.0.2.2"
    assert values["1.3.6.1.4.1.99999.2.4.0"][1:] == (Tag.OPAQUE, bytes.fromhex("9f780441200000"))
    assert values["1.3.6.1.4.1.99999.2.5.0"].value == -40
    assert values["1.3.6.1.4.1.99999.2.6.0"].tag == Tag.NO_SUCH_INSTANCE


def test_a_recorded_error_is_answered_with_that_error() -> None:
    answer = world("small.snmprec", HERE).ask("r", ["1.3.6.1.2.1.1.1.0", LAST])
    assert (answer.error_status, answer.error_index) == (5, 2)


def test_the_order_of_the_recording_is_the_order_of_the_walk() -> None:
    small = world("small.snmprec", HERE)
    walked = [bind.oid for bind in small.walk("r", "1.3.6.1.4.1", repeat=2)]
    assert [name.split(".")[-2] for name in walked] == ["5", "3", "4", "6", "7", "8"]
    after = small.ask("r", ["1.3.6.1.4.1.99999.2.5.0"], 0xA1).varbinds[0].oid
    assert after == "1.3.6.1.4.1.99999.2.3.0"


def test_recorded_ports_have_their_states_and_can_fail() -> None:
    small = world("small.snmprec", HERE)
    assert small.get("r", "1.3.6.1.2.1.2.2.1.8.7") == 7
    small.do("port_down", device="r", port="one")
    assert small.get("r", "1.3.6.1.2.1.2.2.1.8.1") == 2
    small.do("port_up", device="r", port="one")
    assert small.get("r", "1.3.6.1.2.1.2.2.1.8.1") == 1
    assert small.get("r", "1.3.6.1.2.1.2.2.1.8.7") == 7
    with pytest.raises(ValueError, match="nine"):
        small.do("port_down", device="r", port="nine")


def test_a_recorded_device_can_be_set_moving() -> None:
    small = world("small.snmprec", HERE, "moving = true\n")
    assert small.get("r", "1.3.6.1.2.1.1.3.0") == 360000
    assert small.get("r", "1.3.6.1.2.1.31.1.1.1.6.1") == 2**64 - 6
    small.move(10)
    assert small.get("r", "1.3.6.1.2.1.1.3.0") == 361000
    assert small.get("r", "1.3.6.1.2.1.31.1.1.1.6.1") == 10 * 250_000 - 6
    assert small.get("r", "1.3.6.1.4.1.99999.2.8.0") == 10 * (3600 + 10)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("1.3.6|4", "not enough values"),
        ("1.3.x|4|a", "invalid literal"),
        ("1.3.6.1|99|a", "type '99' is not known"),
        ("1.3.6.1|4x|zz", "non-hexadecimal"),
        ("1.3.6.1|4:writecache|a", "variation module 'writecache'"),
        ("", "nothing recorded"),
    ],
)
def test_a_broken_recording_is_named_with_its_line(line: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.snmprec"
    path.write_text(f"# a comment\n{line}\n")
    with pytest.raises(BadRecording, match=said) as caught:
        Recording(path)
    assert str(path) in str(caught.value)


def said(path: Path) -> list[VarBind | str]:
    """The recording as it reads, one entry a line; a name where its value moves by itself."""
    found: dict[str, VarBind | str] = {}
    for line in bz2.decompress(path.read_bytes()).decode("latin-1").split("\n"):
        if line.count("|") < 2:
            continue
        oid, kind, text = line.split("|", 2)
        if oid not in found:
            found[oid] = (
                oid if ":" in kind else VarBind(oid, int(kind.rstrip("x")), value(kind, text))
            )
    return list(found.values())


def value(kind: str, text: str) -> int | str | bytes:
    if kind == "64x":
        return ".".join(map(str, bytes.fromhex(text)))
    if kind.endswith("x"):
        return bytes.fromhex(text)
    if kind == "6":
        return text
    return text.encode("latin-1") if kind == "4" else int(text)


@pytest.mark.skipif(not RECORDED, reason="the recorded walks in ../shared/data are not here")
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=[pytest.mark.e2e] if path.stat().st_size > LONG else [])
        for path in RECORDED
    ],
    ids=lambda path: path.name.split(".")[0],
)
def test_a_recorded_device_is_served_whole_and_in_order(path: Path) -> None:
    expected = said(path)
    served = world(path.name, path.parent).walk("r", "1.0", repeat=200)
    named = [
        bind.oid if isinstance(same, str) else bind
        for bind, same in zip(served, expected, strict=True)
    ]
    assert named == expected
