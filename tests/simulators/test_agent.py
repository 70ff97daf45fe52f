"""An agent answers as RFC 3416 has it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.snmp_codec.ber import Tag
from collectors.snmp_codec.message import (
    GETBULK,
    GETNEXT,
    SET,
    Message,
    Pdu,
    VarBind,
    decode,
    encode,
)
from simulators.wire import oid
from tests.simulators.world import HC_IN, OPER, UPTIME, World

NAME = "1.3.6.1.2.1.1.5.0"


def test_a_get_gives_each_object_in_the_order_asked() -> None:
    answer = World().ask("a", [f"{OPER}.3", NAME, f"{OPER}.1"])
    assert [bind.value for bind in answer.varbinds] == [2, b"a", 1]


def test_what_is_not_there_is_an_exception_and_the_rest_stands() -> None:
    answer = World().ask("a", [NAME, f"{OPER}.99", "1.3.6.1.4.1.1.1.0"])
    tags = [bind.tag for bind in answer.varbinds]
    assert tags == [Tag.OCTET_STRING, Tag.NO_SUCH_INSTANCE, Tag.NO_SUCH_OBJECT]
    assert answer.error_status == 0


def test_version_1_says_no_such_name_with_its_index_and_repeats_what_was_asked() -> None:
    answer = World().ask("a", [NAME, f"{OPER}.99"], version=0)
    assert (answer.error_status, answer.error_index) == (2, 2)
    assert [bind.oid for bind in answer.varbinds] == [NAME, f"{OPER}.99"]


def test_version_1_does_not_see_counter64() -> None:
    world = World()
    assert world.ask("a", [f"{HC_IN}.1"], version=0).error_status == 2
    tags = {bind.tag for bind in world.walk("a", version=0)}
    assert Tag.COUNTER64 not in tags
    assert Tag.COUNTER32 in tags


def test_a_walk_is_in_order_and_the_same_by_any_repetitions() -> None:
    world = World()
    names = [bind.oid for bind in world.walk("a")]
    assert names == sorted(names, key=oid)
    assert names == [bind.oid for bind in world.walk("a", repeat=1)]
    assert names == [bind.oid for bind in world.walk("a", repeat=7)]
    assert len(names) == len(set(names)) > 100


def test_a_bulk_takes_non_repeaters_once_and_interleaves_the_rest() -> None:
    answer = World().ask("a", ["1.3.6.1.2.1.1.3", OPER, HC_IN], GETBULK, (1, 2))
    names = [bind.oid for bind in answer.varbinds]
    assert names == [UPTIME, f"{OPER}.1", f"{HC_IN}.1", f"{OPER}.2", f"{HC_IN}.2"]


def test_a_bulk_that_would_not_fit_is_cut_and_a_get_is_too_big() -> None:
    world = World()
    answer = world.ask("a", ["1.3.6"], GETBULK, (0, 1000))
    assert 10 < len(answer.varbinds) < 100
    assert world.ask("a", [NAME] * 200).error_status == 1


def test_nothing_can_be_set() -> None:
    world = World()
    assert world.ask("a", [NAME], SET).error_status == 17
    assert world.ask("a", [NAME], SET, version=0).error_status == 4


def test_the_wrong_community_is_met_with_silence_and_counted() -> None:
    world = World()
    asked = Message(1, b"guess", Pdu(GETNEXT, 1, 0, 0, (VarBind(NAME, Tag.NULL, None),)))
    assert world.raw("a", encode(asked)) == []
    assert world.device("a").refused == 1


def test_equal_requests_get_fresh_values_and_their_own_request_id() -> None:
    world = World()
    first = world.get("a", f"{HC_IN}.1")
    world.move(10)
    second = world.get("a", f"{HC_IN}.1")
    assert second - first == pytest.approx(10 * 1e6, rel=0.4)
    asked = Message(1, b"public", Pdu(0xA0, -5, 0, 0, (VarBind(NAME, Tag.NULL, None),)))
    assert decode(world.raw("a", encode(asked))[0].data).pdu.request_id == -5


def test_the_32_bit_counter_is_the_lower_half_of_the_64_bit_one() -> None:
    answer = World().ask("a", [f"{HC_IN}.1", "1.3.6.1.2.1.2.2.1.10.1"])
    wide, narrow = (bind.value for bind in answer.varbinds)
    assert narrow == wide % 2**32


def test_devices_of_one_kind_share_a_table_and_keep_their_own_values() -> None:
    text = '[[device]]\nname = "s{n}"\naddress = "127.0.5.254"\ncount = 3\nports = 2\n'
    world = World(text)
    shapes = {id(world.device(f"s{n}").shape) for n in (1, 2, 3)}
    assert len(shapes) == 1
    assert [world.get(f"s{n}", NAME) for n in (1, 2, 3)] == [b"s1", b"s2", b"s3"]
    assert [world.device(f"s{n}").said.address for n in (1, 2)] == ["127.0.5.254", "127.0.6.1"]
    assert world.get("s1", f"{HC_IN}.1") != world.get("s2", f"{HC_IN}.1")


@given(st.binary(max_size=120))
def test_no_octets_upset_an_agent(data: bytes) -> None:
    assert isinstance(WORLD.raw("a", data), list)


@given(st.integers(0, 70), st.integers(0, 255))
def test_no_altered_request_upsets_an_agent(at: int, octet: int) -> None:
    asked = Message(1, b"public", Pdu(GETBULK, 1, 0, 9, (VarBind(OPER, Tag.NULL, None),)))
    data = bytearray(encode(asked))
    data[at % len(data)] = octet
    assert isinstance(WORLD.raw("a", bytes(data)), list)


WORLD = World()
