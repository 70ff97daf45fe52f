"""Reading answers: three ways that must agree, and any octets at all."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.snmp_codec.ber import DecodeError, Tag
from collectors.snmp_codec.message import RESPONSE, Message, Pdu, VarBind, decode, encode
from collectors.snmp_poll import parse
from collectors.snmp_poll.parse import COUNTER32, COUNTER64, GAUGE, TICKS, Packet
from collectors.snmp_poll.plan import Wanted, check, packets, split

OPENING = check(1, b"public")
KINDS = (COUNTER32, COUNTER64, GAUGE, TICKS)
TAGS = {
    COUNTER32: Tag.COUNTER32,
    COUNTER64: Tag.COUNTER64,
    GAUGE: Tag.INTEGER,
    TICKS: Tag.TIME_TICKS,
}
LIMITS = {COUNTER32: (0, 2**32 - 1), COUNTER64: (0, 2**64 - 1), GAUGE: (-(2**31), 2**31 - 1)}


def one_packet(kinds: tuple[int, ...]) -> Packet:
    wanted = Wanted()
    for at, kind in enumerate(kinds):
        wanted.add("1.3.6.1.2.1.31.1.1.1.6", str(at * 100 + 1), kind)
    (only,) = packets(OPENING, wanted, 255, 65_000)
    return only


def answer(
    packet: Packet, values: list[int], tags: list[int] | None = None, id: int = 77_000_000
) -> bytes:
    tags = tags or [TAGS[kind] for kind in packet.kinds]
    binds = tuple(
        VarBind(oid, tag, value)
        for oid, tag, value in zip(packet.oids(), tags, values, strict=True)
    )
    return encode(Message(1, b"public", Pdu(RESPONSE, id, 0, 0, binds)))


def read(packet: Packet, data: bytes) -> tuple[list[int], dict[int, str]]:
    raw = np.zeros(packet.first + len(packet.kinds), np.uint64)
    wrong: dict[int, str] = {}
    _, start, end = parse.request_id(data)
    assert packet.read(data, (start, end), raw, wrong) is None
    return raw.tolist(), wrong


def value_of(kind: int) -> st.SearchStrategy[int]:
    low, high = LIMITS.get(kind, (0, 2**32 - 1))
    edges = [v for n in (7, 8, 15, 16, 31, 32, 63, 64) for v in (2**n - 1, 2**n) if v <= high]
    return st.one_of(st.sampled_from([low, high, *edges]), st.integers(low, high))


readings = st.lists(st.sampled_from(KINDS), min_size=1, max_size=20).flatmap(
    lambda kinds: st.tuples(
        st.just(tuple(kinds)),
        st.lists(st.tuples(*map(value_of, kinds)), min_size=2, max_size=4),
    )
)


@given(readings)
def test_what_was_said_is_what_is_read_answer_after_answer(
    told: tuple[tuple[int, ...], list[tuple[int, ...]]],
) -> None:
    kinds, answers = told
    packet = one_packet(kinds)

    for at, values in enumerate(answers * 2):
        got, wrong = read(packet, answer(packet, list(values), id=2**24 + at))

        assert not wrong
        assert got == [value % 2**64 for value in values]


def test_a_second_answer_of_the_same_lengths_is_read_by_its_shape() -> None:
    packet = one_packet((COUNTER64, GAUGE, COUNTER32))
    read(packet, answer(packet, [2**40, 5, 1000]))
    learnt = packet.shape

    got, _ = read(packet, answer(packet, [2**40 + 99, 6, 2000], id=2**30))

    assert got == [2**40 + 99, 6, 2000]
    assert packet.shape is learnt


@given(readings, st.data())
@settings(max_examples=200)
def test_a_changed_octet_is_never_read_otherwise_than_the_decoder_reads_it(
    told: tuple[tuple[int, ...], list[tuple[int, ...]]], data: st.DataObject
) -> None:
    kinds, answers = told
    packet = one_packet(kinds)
    read(packet, answer(packet, list(answers[0])))
    spoilt = bytearray(answer(packet, list(answers[1])))
    at = data.draw(st.integers(0, len(spoilt) - 1))
    spoilt[at] = data.draw(st.integers(0, 255))

    quick = outcome(packet, bytes(spoilt))
    packet.shape = None
    careful = outcome(packet, bytes(spoilt), careful=True)

    assert quick == careful


def outcome(packet: Packet, data: bytes, careful: bool = False) -> object:
    raw = np.zeros(len(packet.kinds), np.uint64)
    wrong: dict[int, str] = {}
    try:
        opening, start, end = parse.request_id(data)
        if not data.startswith(OPENING, opening):  # as the socket's reader checks it
            return "malformed"
        if careful:
            pdu = packet._decoded(data, raw, wrong)
        else:
            pdu = packet.read(data, (start, end), raw, wrong)
    except (IndexError, DecodeError):
        return "malformed"
    return (pdu.error_status, pdu.error_index) if pdu else (raw.tolist(), wrong)


@given(st.binary(max_size=300))
@settings(max_examples=500)
def test_any_octets_raise_index_or_decode_errors_and_nothing_else(data: bytes) -> None:
    outcome(one_packet(KINDS), data)


@given(st.binary(max_size=120), st.integers(0, 120))
@settings(max_examples=500)
def test_any_octets_behind_a_true_head_raise_nothing_else_either(tail: bytes, keep: int) -> None:
    packet = one_packet(KINDS)
    true = answer(packet, [1, 2, 3, 4])

    outcome(packet, true[: len(true) - keep] + tail)


@pytest.mark.parametrize(
    ("kind", "tag", "value", "said"),
    [
        (COUNTER64, Tag.COUNTER32, 5, "Counter32 instead of Counter64"),
        (COUNTER32, Tag.COUNTER64, 5, "Counter64 instead of Counter32"),
        (COUNTER32, Tag.GAUGE32, 5, "Gauge32 instead of Counter32"),
        (TICKS, Tag.TIME_TICKS, -1, "negative TimeTicks"),
        (COUNTER32, Tag.COUNTER32, -1, "negative Counter32"),
        (COUNTER32, Tag.COUNTER32, 2**32, "Counter32 of more than 32 bits"),
        (GAUGE, Tag.NULL, None, "NULL instead of number"),
        (GAUGE, Tag.OCTET_STRING, b"5", "OCTET STRING instead of number"),
        (GAUGE, Tag.NO_SUCH_INSTANCE, None, "noSuchInstance"),
        (GAUGE, Tag.END_OF_MIB_VIEW, None, "endOfMibView"),
        (GAUGE, Tag.INTEGER, -7, 2**64 - 7),
        (COUNTER64, Tag.COUNTER64, 2**64 - 1, 2**64 - 1),
    ],
)
def test_a_value_is_a_number_or_says_why_not(
    kind: int, tag: int, value: int | bytes | None, said: object
) -> None:
    assert parse.number_of(kind, tag, value) == said


def test_a_counter_without_its_leading_zero_is_still_positive() -> None:
    packet = one_packet((COUNTER32,))
    short = answer(packet, [2**32 - 1])
    # 41 05 00 FF FF FF FF, as it should be, to 41 04 FF FF FF FF, as many agents have it
    name = next(packet.names())
    binds = b"\x30" + bytes((len(name) + 6,)) + name + b"\x41\x04" + b"\xff" * 4
    pdu = b"\x02\x04\x04\x96\xed\x40\x02\x01\x00\x02\x01\x00\x30" + bytes((len(binds),)) + binds
    data = (
        b"\x30"
        + bytes((len(OPENING) + len(pdu) + 2,))
        + OPENING
        + b"\xa2"
        + bytes((len(pdu),))
        + pdu
    )
    assert decode(data).pdu == decode(short).pdu._replace(request_id=0x0496ED40)  # type: ignore[union-attr]

    assert read(packet, data) == ([2**32 - 1], {})


def test_a_number_too_large_for_its_type_is_not_read_by_an_old_shape() -> None:
    packet = one_packet((COUNTER32,))
    largest = answer(packet, [2**32 - 1])  # five octets, the first of them zero
    read(packet, largest)

    _, wrong = read(packet, answer(packet, [2**33 - 1]))

    assert wrong == {0: "Counter32 of more than 32 bits"}


def test_no_packet_is_estimated_beyond_one_datagram_and_all_are_nearly_alike() -> None:
    wanted = Wanted()
    for at in range(1000):
        wanted.add("1.3.6.1.2.1.31.1.1.1.6", str(at), COUNTER64)

    made = packets(OPENING, wanted, 60, 1400)

    assert sum(len(each.kinds) for each in made) == 1000
    sizes = [len(each.kinds) for each in made]
    assert max(sizes) <= 60
    assert min(sizes) >= max(sizes) - 20
    for each in made:
        assert len(answer(each, [2**48] * len(each.kinds))) <= 1400
    assert [each.first for each in made] == [sum(sizes[:i]) for i in range(len(sizes))]


def test_the_halves_of_a_packet_ask_for_what_the_whole_did() -> None:
    packet = one_packet(KINDS * 5)

    one, other = split(OPENING, packet)

    assert one.oids() + other.oids() == packet.oids()
    assert one.kinds + other.kinds == packet.kinds
    assert other.first == len(one.kinds)


def test_requests_are_what_the_codec_reads_and_carry_the_request_id() -> None:
    packet = one_packet(KINDS)

    message = decode(packet.head + (0x01020304).to_bytes(4, "big") + packet.tail)

    assert isinstance(message.pdu, Pdu)
    assert message.pdu.request_id == 0x01020304
    assert [bind.oid for bind in message.pdu.varbinds] == packet.oids()
