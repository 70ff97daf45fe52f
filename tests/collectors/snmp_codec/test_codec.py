"""What the codec promises: exact round trips, one exception, linear time."""

from __future__ import annotations

import sys
from contextlib import suppress
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from collectors.snmp_codec import ber, message, v3
from collectors.snmp_codec.ber import DecodeError, Tag
from collectors.snmp_codec.message import Message, Pdu, TrapV1, VarBind, decode, encode

ARCS = st.integers(0, 2**32 - 1)
OIDS = st.one_of(
    st.builds(lambda a, b, r: ".".join(map(str, (a, b, *r))), st.integers(0, 1), st.integers(0, 39),
              st.lists(ARCS, max_size=20)),
    st.builds(lambda b, r: ".".join(map(str, (2, b, *r))), ARCS, st.lists(ARCS, max_size=126)),
)  # fmt: skip
ADDRESSES = st.ip_addresses(v=4).map(str)
U32 = st.integers(0, 2**32 - 1)
VALUES = st.one_of(
    st.tuples(st.just(2), st.integers(-(2**63), 2**63 - 1)),
    st.tuples(st.sampled_from([4, 0x44, 0x45]), st.binary(max_size=300)),
    st.tuples(st.sampled_from([5, 0x80, 0x81, 0x82]), st.none()),
    st.tuples(st.just(6), OIDS),
    st.tuples(st.just(0x40), ADDRESSES),
    st.tuples(st.sampled_from([0x41, 0x42, 0x43, 0x47]), U32),
    st.tuples(st.just(0x46), st.integers(0, 2**64 - 1)),
)
BINDS = st.lists(st.builds(lambda o, v: VarBind(o, *v), OIDS, VALUES), max_size=12).map(tuple)
I32 = st.integers(-(2**31), 2**31 - 1)
PDUS = st.builds(Pdu, st.sampled_from([0xA0, 0xA1, 0xA2, 0xA3, 0xA5, 0xA6, 0xA7, 0xA8]), I32, I32,
                 I32, BINDS)  # fmt: skip
TRAPS = st.builds(TrapV1, OIDS, ADDRESSES, I32, I32, U32, BINDS)
MESSAGES = st.one_of(
    st.builds(Message, st.just(1), st.binary(max_size=200), PDUS),
    st.builds(Message, st.just(0), st.binary(max_size=200),
              st.one_of(TRAPS, PDUS.filter(lambda p: p.tag <= 0xA3))),
)  # fmt: skip


@given(MESSAGES)
def test_what_is_encoded_is_decoded_to_the_same(said: Message) -> None:
    assert decode(encode(said)) == said


@given(st.binary(max_size=400))
@example(b"\x30\x82")
@example(b"\x30\x03\x02\x01\x01")
def test_any_octets_give_a_message_or_a_decode_error(data: bytes) -> None:
    for read in (decode, message.version_of, v3.decode_v3, v3.decode_scoped):
        with suppress(DecodeError):
            read(data)


@given(MESSAGES, st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=4))
@settings(max_examples=300)
def test_a_damaged_message_gives_a_message_or_a_decode_error(
    said: Message, damage: list[tuple[int, int]]
) -> None:
    data = bytearray(encode(said))
    for at, octet in damage:
        data[at % len(data)] = octet
    with suppress(DecodeError):
        decode(bytes(data))


@given(MESSAGES, st.integers(0, 10**6))
def test_a_message_cut_short_is_an_error(said: Message, at: int) -> None:
    data = encode(said)
    with pytest.raises(DecodeError):
        decode(data[: at % len(data)])


@given(st.binary(max_size=60))
def test_the_short_cut_for_varbinds_agrees_with_the_long_way(data: bytes) -> None:
    """The inlined path may only accept what the checked one reads the same."""

    def long_way() -> Any:
        found, at = [], 0
        while at < len(data):
            name, tag, body, at = message._varbind(data, at, len(data))
            read = message._READ.get(tag)
            if read is None:
                raise DecodeError("type")
            found.append(VarBind(name, tag, read(body)))
        return tuple(found)

    def outcome(way: Any) -> Any:
        try:
            return way()
        except DecodeError:
            return "error"

    assert outcome(lambda: message.decode_varbinds(data, 0, len(data), 99)) == outcome(long_way)


@pytest.mark.parametrize(
    "octets",
    ["300706012b0201050500", "300806012b02010500ff", "300506012b0500ff",
     "300306012b", "30020601", "30818006012b0500", "3007068001020105", "310506012b0500",
     "300504012b0500", "300506012b7f00"],
)  # fmt: skip
def test_a_variable_binding_a_little_wrong_is_an_error(octets: str) -> None:
    data = bytes.fromhex(octets)
    with pytest.raises(DecodeError):
        message.decode_varbinds(data, 0, len(data), 9)


def test_an_element_may_not_be_longer_than_what_holds_it() -> None:
    assert ber.header(b"\x04\x03abc", 0, 5) == (4, 2, 5)
    for end in range(5):
        with pytest.raises(DecodeError):
            ber.header(b"\x04\x03abc", 0, end)


@given(st.builds(lambda b: encode(Message(1, b"", Pdu(0xA7, 1, 0, 0, b))), BINDS).flatmap(
    lambda d: st.tuples(st.just(d), st.integers(0, len(d) - 1), st.integers(0, 255))))  # fmt: skip
def test_the_short_cut_agrees_on_nearly_right_octets(case: tuple[bytes, int, int]) -> None:
    data = bytearray(case[0])
    data[case[1]] = case[2]
    test_the_short_cut_for_varbinds_agrees_with_the_long_way.hypothesis.inner_test(  # type: ignore[attr-defined]
        bytes(data[-60:])
    )


def operations(data: bytes) -> int:
    """Lines of Python executed while decoding: a measure no busy machine disturbs."""
    count = 0

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal count
        count += event == "line"
        return trace

    ber.known_oid.cache_clear()
    before = sys.gettrace()
    sys.settrace(trace)
    try:
        decode(data)
    except DecodeError:
        pass
    finally:
        sys.settrace(before)
    return count


def bind(name: bytes, value: bytes) -> bytes:
    return ber.tlv(0x30, ber.tlv(6, name) + value)


def trap_of(body: bytes) -> bytes:
    pdu = ber.tlv(0xA7, bytes.fromhex("020101020100020100") + ber.tlv(0x30, body))
    return ber.tlv(0x30, b"\x02\x01\x01\x04\x00" + pdu)


@pytest.mark.parametrize(
    "hostile",
    [
        lambda n: trap_of(bind(b"\x2b\x06", b"\x05\x00") * n),
        lambda n: trap_of(b"".join(bind(i.to_bytes(3, "big").replace(b"\x80", b"\x01"), b"\x05\x00")
                                   for i in range(n))),
        lambda n: trap_of(bind(b"\x2b" + b"\x80" * n * 50 + b"\x01", b"\x05\x00")),
        lambda n: trap_of(bind(b"\x2b" + b"\xff" * n * 50 + b"\x01", b"\x05\x00")),
        lambda n: trap_of(bind(b"\x2b", ber.tlv(2, b"\x7f" * n * 50))),
        lambda n: trap_of(bind(b"\x2b", ber.tlv(4, b"x" * n * 50))),
        lambda n: b"\x30\x80" * n * 20,
        lambda n: trap_of(b"\x30\x82\x00\x00" * n * 10),
    ],
)  # fmt: skip
def test_twice_the_octets_cost_at_most_twice_the_work(hostile: Any) -> None:
    one, two, four = (operations(hostile(n)) for n in (100, 200, 400))
    assert two <= 2.2 * one
    assert four <= 2.2 * two


def test_an_arc_without_end_is_refused_without_reading_it() -> None:
    """Its number would grow with every octet: quadratic work in big integers."""

    def work(octets: int) -> int:
        return operations(trap_of(bind(b"\x2b" + b"\xff" * octets + b"\x01", b"\x05\x00")))

    assert work(60_000) < 2 * work(99)


@pytest.mark.parametrize(
    ("text", "octets"),
    [("0.0", "060100"), ("1.3.6.1", "06032b0601"), ("2.39", "060177"), ("2.40", "060178"),
     ("2.999.3", "0603883703"), ("1.39", "06014f"), ("2.0", "060150"),
     ("1.3.4294967295", "06062b8fffffff7f"), ("2.4294967295", "0605908080804f")],
)  # fmt: skip
def test_the_first_two_arcs_share_a_number(text: str, octets: str) -> None:
    assert ber.encode_oid(text).hex() == octets
    assert ber.oid_text(bytes.fromhex(octets)[2:]) == text


@pytest.mark.parametrize(
    "text", ["", "1", "3.1", "0.40", "1.40", "1.3.4294967296", "1.-3", "1..3", "x",
             "1.3." + "1." * 900, ".1.3.6", "1.3.٣"],
)  # fmt: skip
def test_what_is_no_object_identifier_is_not_encoded(text: str) -> None:
    with pytest.raises(ValueError):
        ber.encode_oid(text)


@pytest.mark.parametrize(
    "body", [b"", b"\x80", b"\x2b\x81", b"\x01" * 129, b"\x2b\x90\x80\x80\x80\x00"]
)
def test_an_object_identifier_out_of_bounds_is_an_error(body: bytes) -> None:
    with pytest.raises(DecodeError):
        ber.oid_text(body)


def test_128_arcs_are_let_through_and_129_are_not() -> None:
    assert ber.oid_text(b"\x2b" + b"\x01" * 126).count(".") == 127
    with pytest.raises(DecodeError):
        ber.oid_text(b"\x2b" + b"\x01" * 127)


def test_a_large_counter_without_its_leading_zero_is_not_negative() -> None:
    assert ber.unsigned(bytes.fromhex("ffffffff")) == 2**32 - 1
    assert ber.unsigned(bytes.fromhex("ffffffffffffffff"), 8) == 2**64 - 1
    assert ber.unsigned(b"\xff") == -1  # a negative TimeTicks stays visible


@pytest.mark.parametrize("body", [b"", b"\x00" * 10])
def test_integers_have_one_to_nine_octets(body: bytes) -> None:
    for read in (ber.signed, ber.unsigned):
        with pytest.raises(DecodeError):
            read(body)


def test_more_varbinds_than_allowed_are_refused() -> None:
    said = Message(1, b"c", Pdu(0xA7, 1, 0, 0, (VarBind("1.3", Tag.NULL, None),) * 1024))
    assert decode(encode(said)) == said
    more = encode(said._replace(pdu=Pdu(0xA7, 1, 0, 0, (VarBind("1.3", 5, None),) * 1025)))
    with pytest.raises(DecodeError):
        decode(more)
    assert len(decode(more, max_varbinds=2000).pdu.varbinds) == 1025


def test_long_form_lengths_and_padding_after_the_message_are_read() -> None:
    said = Message(1, b"public", Pdu(0xA7, 7, 0, 0, (VarBind("1.3.6", 2, 5),)))
    short = encode(said)
    assert decode(b"\x30\x84" + (len(short) - 2).to_bytes(4, "big") + short[2:]) == said
    assert decode(short + b"\x00\x00") == said


def test_the_version_is_told_without_reading_the_rest() -> None:
    assert message.version_of(encode(Message(0, b"", Pdu(0xA0, 1, 0, 0, ())))) == 0
    assert message.version_of(bytes.fromhex("3003020103")) == 3
    with pytest.raises(DecodeError):
        message.version_of(bytes.fromhex("3003020102"))


@pytest.mark.parametrize(
    "said",
    [Message(0, b"", Pdu(0xA7, 1, 0, 0, ())),
     Message(1, b"", TrapV1("1.3", "1.2.3.4", 0, 0, 0, ())),
     Message(2, b"", Pdu(0xA0, 1, 0, 0, ())), Message(1, b"", Pdu(0xA7, 2**80, 0, 0, ())),
     Message(1, b"", Pdu(0xA7, 1, 0, 0, (VarBind("1.3", 0x40, "1.2.3"),)))],
)  # fmt: skip
def test_what_cannot_be_said_is_a_value_error(said: Message) -> None:
    with pytest.raises(ValueError):
        encode(said)


SCOPED = st.builds(v3.Scoped, st.binary(max_size=32), st.binary(max_size=32), PDUS)
NUMBER = st.integers(0, 2**31 - 1)


@given(SCOPED, NUMBER, NUMBER, st.binary(max_size=32), st.binary(max_size=48))
def test_a_v3_envelope_round_trips(
    scoped: v3.Scoped, number: int, time: int, name: bytes, auth: bytes
) -> None:
    body = v3.encode_scoped(scoped)
    assert v3.decode_scoped(body) == scoped
    for flags in (0, 1, 3, 4, 5, 7):
        said = v3.MessageV3(number, 65507, flags, name, number, time, name, auth, b"12345678", body)
        data = v3.encode_v3(said)
        read = v3.decode_v3(data)
        assert read._replace(auth_at=0) == said
        assert data[read.auth_at : read.auth_at + len(auth)] == auth
