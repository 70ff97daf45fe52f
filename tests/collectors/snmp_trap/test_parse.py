"""Recorded notifications give the events a person would write down from them."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.snmp_codec.ber import DecodeError, encode_oid, integer, tlv
from collectors.snmp_codec.message import (
    INFORM,
    RESPONSE,
    TRAP2,
    Message,
    Pdu,
    TrapV1,
    VarBind,
    decode,
    encode,
)
from collectors.snmp_trap import parse

CASES = sorted((Path(__file__).parent / "cases").iterdir())
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"


def datagram(case: Path) -> bytes:
    return bytes.fromhex((case / "datagram.hex").read_text())


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_recorded_notification_is_read_as_written_down(case: Path) -> None:
    expected = json.loads((case / "expected.json").read_text())
    if "error" in expected:
        with pytest.raises(DecodeError, match=expected["error"]):
            parse.read(datagram(case))
        return
    said = parse.read(datagram(case))
    assert {
        "tag": hex(said.tag),
        "community": said.community.decode(),
        "name": said.body.name,
        "values": said.body.values,
        "agent": said.agent,
    } == {key: expected[key] for key in ("tag", "community", "name", "values", "agent")}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_one_bit_flipped_anywhere_gives_a_notification_or_a_decode_error(case: Path) -> None:
    data = datagram(case)
    for bit in range(8 * len(data)):
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        parse.peek(bytes(damaged))
        try:
            parse.read(bytes(damaged))
        except DecodeError:
            continue


BIND = st.sampled_from(
    [VarBind("1.3.6.1.2.1.2.2.1.1.7", 2, 7), VarBind("1.3.6.1.2.1.1.5.0", 4, b"gw\xff"),
     VarBind(parse.TRAP_OID, 6, LINK_DOWN), VarBind(parse.SYS_UPTIME, 0x43, 99),
     VarBind(parse.TRAP_COMMUNITY, 4, b"secret"), VarBind("1.3.6.1.9.9", 5, None)]
)  # fmt: skip
BINDS = st.tuples(
    st.just(VarBind(parse.SYS_UPTIME, 0x43, 4711)),
    st.just(VarBind(parse.TRAP_OID, 6, LINK_DOWN)),
    BIND,
) | st.lists(BIND, max_size=5).map(tuple)
NOTIFICATIONS = st.builds(
    lambda tag, community, number, status, binds: encode(
        Message(1, community, Pdu(tag, number, status, 0, binds))
    ),
    st.sampled_from([TRAP2, INFORM, 0xA0]),
    st.binary(max_size=40),
    st.integers(-(2**31), 2**31 - 1),
    st.sampled_from([0, 0, 0, 5]),
    BINDS,
)


def outcome(way: object, data: bytes) -> object:
    try:
        said = way(data)  # type: ignore[operator]
    except DecodeError:
        return "error"
    return said and (said._replace(body=None), said.body.name, dict(said.body.values))


@given(NOTIFICATIONS, st.integers(0, 400), st.integers(0, 255), st.booleans())
def test_the_short_cut_says_what_the_whole_decoder_says(
    data: bytes, at: int, octet: int, damage: bool
) -> None:
    if damage:
        data = data[: at % len(data)] + bytes([octet]) + data[at % len(data) + 1 :]
    assert outcome(parse.read, data) == outcome(parse._long_way, data)


def long_form(element: bytes) -> bytes:
    """The same element, its length in two octets where one would do."""
    return element[:1] + b"\x81" + element[1:]


LONGER = ("", "request-id", "uptime", "bind", "list", "pdu", "message")
HIDDEN = ("", "after the uptime", "in the bind", "after the list", "after the pdu")


def odd(uptime: int, number: int, longer: str, hidden: str) -> bytes:
    """A trap whose numbers have so many octets, with a length too long or octets that hide."""

    def element(what: str, tag: int, body: bytes) -> bytes:
        made = tlv(tag, body)
        return long_form(made) if what == longer and len(body) < 0x80 else made

    def more(where: str) -> bytes:
        return b"\x02\x01\x00" if where == hidden else b""

    ticks = element("uptime", 0x43, b"\x01" * uptime)
    first = element("bind", 0x30, encode_oid(parse.SYS_UPTIME) + ticks + more("in the bind"))
    name = tlv(0x30, encode_oid(parse.TRAP_OID) + encode_oid(LINK_DOWN))
    listed = element("list", 0x30, first + more("after the uptime") + name)
    numbers = element("request-id", 2, b"\x01" * number) + integer(0) + integer(0)
    pdu = element("pdu", TRAP2, numbers + listed + more("after the list"))
    return element("message", 0x30, integer(1) + tlv(4, b"c") + pdu + more("after the pdu"))


def test_the_short_cut_judges_odd_lengths_as_the_whole_decoder() -> None:
    for case in itertools.product((0, 1, 2, 4, 5, 9, 10), (0, 1, 4, 5, 9, 10), LONGER, HIDDEN):
        data = odd(*case)
        said = outcome(parse.read, data)
        assert said == outcome(parse._long_way, data), case
        if 1 <= case[0] <= 9 and 1 <= case[1] <= 9 and not case[3]:
            assert said != "error", case
        for at in range(len(data) if case[2:] == ("", "") else 0):
            for octet in (data[at] - 1, data[at] + 1, data[at] ^ 0x80):
                bent = data[:at] + bytes([octet % 256]) + data[at + 1 :]
                assert outcome(parse.read, bent) == outcome(parse._long_way, bent), bent.hex()


def test_octets_hidden_behind_the_uptime_are_not_skipped() -> None:
    uptime = tlv(
        0x30,
        encode_oid(parse.SYS_UPTIME)
        + integer(5, 0x43)
        + tlv(0x30, encode_oid("1.3") + b"\x05\x00"),
    )
    name = tlv(0x30, encode_oid(parse.TRAP_OID) + encode_oid(LINK_DOWN))
    pdu = integer(1) + integer(0) + integer(0) + tlv(0x30, uptime + name)
    data = tlv(0x30, integer(1) + tlv(4, b"c") + tlv(TRAP2, pdu))
    with pytest.raises(DecodeError):
        parse.read(data)


def test_what_stands_for_error_status_and_index_must_be_two_integers() -> None:
    data = next(datagram(case) for case in CASES if case.name == "linkdown-v2c")
    assert data.count(bytes.fromhex("020100020100")) == 1
    with pytest.raises(DecodeError):
        parse.read(data.replace(bytes.fromhex("020100020100"), b"\x04\x04\x00\x00\x00\x00"))


def test_a_community_never_becomes_a_value() -> None:
    binds = (VarBind(parse.TRAP_OID, 6, LINK_DOWN), VarBind(parse.TRAP_COMMUNITY, 4, b"hush"))
    v2 = parse.read(encode(Message(1, b"hush", Pdu(TRAP2, 1, 0, 0, binds))))
    v1 = parse.read(encode(Message(0, b"hush", TrapV1("1.3.6", "1.2.3.4", 2, 0, 0, binds))))
    assert "hush" not in str(v2.body.values) + str(v1.body.values)


@pytest.mark.parametrize("generic", range(6))
def test_generic_v1_traps_have_the_names_of_rfc_3418(generic: int) -> None:
    trap = TrapV1("1.3.6.1.4.1.9", "192.0.2.1", generic, 0, 5, ())
    assert parse.read(encode(Message(0, b"", trap))).body.name == f"1.3.6.1.6.3.1.1.5.{generic + 1}"


@pytest.mark.parametrize("generic", [-1, 7, 2**31 - 1])
def test_other_generic_traps_do_not_exist(generic: int) -> None:
    trap = TrapV1("1.3.6.1.4.1.9", "192.0.2.1", generic, 0, 5, ())
    with pytest.raises(DecodeError):
        parse.read(encode(Message(0, b"", trap)))


def test_equal_bodies_are_one_object_whatever_the_request_id_and_uptime() -> None:
    def body(number: int, ticks: int) -> parse.Body:
        binds = (VarBind(parse.SYS_UPTIME, 0x43, ticks), VarBind(parse.TRAP_OID, 6, LINK_DOWN))
        return parse.read(encode(Message(1, b"c", Pdu(TRAP2, number, 0, 0, binds)))).body

    assert body(1, 1) is body(2**31 - 1, 2**32 - 1)


def test_a_large_body_is_read_and_not_remembered() -> None:
    binds = (
        VarBind(parse.SYS_UPTIME, 0x43, 1),
        VarBind(parse.TRAP_OID, 6, LINK_DOWN),
        VarBind("1.3.6.1.2.1.1.1.0", 4, b"x" * 60_000),
    )
    data = encode(Message(1, b"c", Pdu(TRAP2, 1, 0, 0, binds)))
    before = parse._known_body.cache_info().currsize
    assert len(parse.read(data).body.values["1.3.6.1.2.1.1.1.0"]) == 60_000
    assert parse._known_body.cache_info().currsize == before


def test_an_inform_is_answered_with_its_own_variable_bindings() -> None:
    inform = next(datagram(case) for case in CASES if case.name == "linkup-v2c-inform")
    asked, answer = decode(inform), decode(parse.response_to(inform))
    assert answer == asked._replace(pdu=asked.pdu._replace(tag=RESPONSE))  # type: ignore[call-arg]
    with pytest.raises(DecodeError):
        parse.response_to(parse.response_to(inform))


@pytest.mark.parametrize(
    ("value", "text"),
    [(b"ge-0/0/1", "ge-0/0/1"), ("Ø".encode(), "Ø"), (b"\xff", "0xff"),
     (b"a\x1b[0m", "0x611b5b306d"),
     (b"", ""), (-5, "-5"), (None, ""), ("10.0.0.1", "10.0.0.1")],
)  # fmt: skip
def test_values_are_text_a_terminal_survives(value: object, text: str) -> None:
    assert parse.text_of(value) == text  # type: ignore[arg-type]
