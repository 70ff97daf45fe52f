"""Every lie is told as its name says, and no other device hears of it."""

import itertools

import pytest

from collectors.snmp_codec.ber import Tag
from collectors.snmp_codec.message import (
    GET,
    GETBULK,
    GETNEXT,
    Message,
    Pdu,
    VarBind,
    decode,
    encode,
)
from simulators import agent, lies
from simulators.wire import oid
from tests.simulators.world import HC_IN, OPER, UPTIME, World

NAME = "1.3.6.1.2.1.31.1.1.1.1"
SPEED = "1.3.6.1.2.1.31.1.1.1.15"
ASKED = [f"{HC_IN}.1", f"{OPER}.1", f"{NAME}.1", UPTIME]


def liar(mode: str) -> World:
    world = World()
    world.do("lie", device="a", mode=mode)
    return world


def answers(
    world: World, oids: list[str], tag: int = GET, bulk: tuple[int, int] = (0, 0)
) -> list[agent.Answer]:
    binds = tuple(VarBind(oid, Tag.NULL, None) for oid in oids)
    return world.raw("a", encode(Message(1, b"public", Pdu(tag, 77, *bulk, binds))))


def message(mode: str, oids: list[str] = ASKED, tag: int = GET) -> Message:
    (answer,) = answers(liar(mode), oids, tag)
    return decode(answer.data, max_varbinds=10_000)


def steps(mode: str, start: str = NAME, count: int = 60) -> list[tuple[int, ...]]:
    """The names a poller gets that believes every answer."""
    world, found = liar(mode), [oid(start)]
    for _ in range(count):
        (answer,) = answers(world, [".".join(map(str, found[-1]))], GETNEXT)
        found.append(oid(decode(answer.data).pdu.varbinds[0].oid))
    return found


@pytest.mark.parametrize("mode", sorted(lies.MODES))
@pytest.mark.parametrize("tag", [GET, GETNEXT, GETBULK])
def test_every_lie_can_be_told_to_every_question(mode: str, tag: int) -> None:
    world = liar(mode)
    for version in (0, 1):
        binds = tuple(VarBind(oid, Tag.NULL, None) for oid in (*ASKED, "1.3.9"))
        asked = Message(version, b"public", Pdu(tag, 1, 0, 5, binds))
        if version or tag != GETBULK:
            told = world.raw("a", encode(asked))
            assert all(len(answer.data) <= 65507 for answer in told)
            assert told
    assert world.get("b", UPTIME) == 8640000


def test_the_truth_comes_back_when_the_lie_ends() -> None:
    world = liar("garbage")
    world.do("lie", device="a", mode="none")
    assert world.get("a", f"{OPER}.1") == 1


def test_walks_that_never_end() -> None:
    assert any(a == b for a, b in zip(steps("repeat"), steps("repeat")[1:], strict=False))
    back = steps("non_increasing")
    assert any(a > b for a, b in itertools.pairwise(back))
    cycle = steps("cycle")
    assert len(set(cycle)) < 10 < len(cycle)
    endless = steps("endless", count=500)
    assert endless == sorted(set(endless))
    assert all(name[: len(oid(NAME))] == oid(NAME) for name in endless)


def test_a_cycle_rises_within_every_answer() -> None:
    (answer,) = answers(liar("cycle"), [OPER], GETBULK, (0, 40))
    names = [oid(bind.oid) for bind in decode(answer.data).pdu.varbinds]
    assert any(a > b for a, b in itertools.pairwise(names))
    assert sum(a < b for a, b in itertools.pairwise(names)) > len(names) / 2


def test_answers_of_the_wrong_size() -> None:
    assert message("empty").pdu.varbinds == ()
    assert len(message("huge_string").pdu.varbinds[0].value) == 60_000
    assert len(message("many_varbinds").pdu.varbinds) == lies.MANY
    (long,) = answers(liar("long_oid"), ASKED)
    assert long.data.count(b"\x01" * 1000) == 16
    (cut,) = answers(liar("truncated"), ASKED)
    assert len(cut.data) == 40


def test_answers_to_another_question() -> None:
    assert message("wrong_request_id").pdu.request_id == 78
    assert message("wrong_version").version == 0
    assert message("wrong_community").community == b"nobody"
    names = [bind.oid for bind in message("other_oids").pdu.varbinds]
    assert names == [f"{HC_IN}.2", f"{OPER}.2", f"{NAME}.2", "1.3.6.1.2.1.1.3.1"]


def test_answers_at_the_wrong_time_or_from_the_wrong_place() -> None:
    assert len(answers(liar("twice"), ASKED)) == 2
    assert answers(liar("late"), ASKED)[0].after == lies.LATE_S
    assert answers(liar("slow"), ASKED)[0].after == lies.SLOW_S
    assert answers(liar("wrong_port"), ASKED)[0].strange


@pytest.mark.parametrize(
    ("mode", "status", "index", "binds"),
    [
        ("too_big", 1, 0, True),
        ("too_big_with_data", 1, 0, True),
        ("gen_err", 5, 1, True),
        ("no_such_name_zero", 2, 0, True),
        ("no_such_name_beyond", 2, 10_000, True),
        ("unknown_error", 200, 1, True),
    ],
)
def test_errors(mode: str, status: int, index: int, binds: bool) -> None:
    pdu = message(mode).pdu
    assert (pdu.error_status, pdu.error_index) == (status, index)
    has_data = pdu.varbinds[0].tag == Tag.COUNTER64
    assert has_data == (mode == "too_big_with_data")


def test_values_of_the_wrong_type() -> None:
    in_32 = "1.3.6.1.2.1.2.2.1.10.1"
    assert message("counter32_as_64", [in_32]).pdu.varbinds[0].tag == Tag.COUNTER64
    assert message("gauge_as_integer", [f"{SPEED}.1"]).pdu.varbinds[0].tag == Tag.INTEGER
    assert message("negative_ticks", [UPTIME]).pdu.varbinds[0].value == -12345
    time = "1.3.6.1.6.3.10.2.1.3.0"
    assert message("negative_engine_time", [time, f"{OPER}.1"]).pdu.varbinds[0].value == -12345
    assert message("uptime_zero", [UPTIME]).pdu.varbinds[0].value == 0
    assert {bind.tag for bind in message("null_values").pdu.varbinds} == {Tag.NULL}
    tags = {bind.tag for bind in message("no_such_instance").pdu.varbinds}
    assert tags == {Tag.NO_SUCH_INSTANCE}
    ended = [bind.tag == Tag.END_OF_MIB_VIEW for bind in message("end_of_mib_mid_row").pdu.varbinds]
    assert ended == [False, False, True, True]


def test_a_64_bit_counter_that_wraps_at_32() -> None:
    world = liar("counter64_wraps_at_32")
    world.do("wrap", device="a", port="p1", bits=32, octets=5)
    world.move(10)
    assert world.get("a", f"{HC_IN}.1") < 2**31


@pytest.mark.parametrize("mode", ["non_utf8", "nul", "bidi", "ansi", "html", "long_string"])
def test_texts_keep_their_beginning(mode: str) -> None:
    value = message(mode, [f"{NAME}.1"]).pdu.varbinds[0].value
    assert value.startswith(b"p1")
    assert len(value) > 4
    if mode == "long_string":
        assert len(value) == 255
