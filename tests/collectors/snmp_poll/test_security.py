"""SNMPv3's envelope and security, octet by octet, against two that share no code with ours."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pysnmp.proto.rfc1902 import OctetString
from pysnmp.proto.secmod.rfc3414.service import SnmpUSMSecurityModel
from pysnmp.proto.secmod.rfc3826.priv import aes as rfc3826

from collectors.snmp_codec import usm, v3
from collectors.snmp_codec.ber import integer
from collectors.snmp_codec.message import GET, REPORT, RESPONSE, Pdu, VarBind, decode, encode_pdu
from collectors.snmp_poll import Credentials
from collectors.snmp_poll.parse import message_id
from collectors.snmp_poll.plan import Wanted, packets
from collectors.snmp_poll.request import Verdict
from collectors.snmp_poll.security import OPENING, Security
from simulators import usm as theirs
from simulators.scenario import User
from tests.collectors.snmp_poll.secure_agent import ENGINE, KEYS, ME, ME_HERE

PYSNMP_AUTH = {
    "md5": (1, 3, 6, 1, 6, 3, 10, 1, 1, 2),
    **{
        name: (1, 3, 6, 1, 6, 3, 10, 1, 1, at)
        for at, name in enumerate(("sha1", "sha224", "sha256", "sha384", "sha512"), 3)
    },
}
PYSNMP_PRIV = {
    "aes128": (1, 3, 6, 1, 6, 3, 10, 1, 2, 4),
    "aes192": (1, 3, 6, 1, 4, 1, 9, 12, 6, 1, 1),
    "aes256": (1, 3, 6, 1, 4, 1, 9, 12, 6, 1, 2),
    "aes192c": (1, 3, 6, 1, 4, 1, 9, 12, 6, 1, 101),
    "aes256c": (1, 3, 6, 1, 4, 1, 9, 12, 6, 1, 102),
}
ID = 2**24 + 77
LEVELS = {
    "authPriv": (ME_HERE, ME),
    "authNoPriv": (
        ME_HERE.model_copy(update={"priv": None, "priv_key": None}),
        User(name="me", auth="SHA-256", auth_key=KEYS["auth_key"]),
    ),
    "noAuthNoPriv": (
        Credentials.model_validate({"version": "3", "user": "me", "insecure": True}),
        User(name="me"),
    ),
}


def known(level: str = "authPriv", boots: int = 3, time: int = 1000) -> Security:
    """Return a security that has discovered ENGINE."""
    made = Security(LEVELS[level][0])
    count = VarBind("1.3.6.1.6.3.15.1.1.4.0", 0x41, 1)
    scoped = v3.Scoped(ENGINE, b"", Pdu(REPORT, 0, 0, 0, (count,)))
    said = v3.encode_v3(
        v3.MessageV3(ID, 65507, 0, ENGINE, boots, time, b"", b"", b"", v3.encode_scoped(scoped))
    )
    assert made.open(said, message_id(said), 0.0) is Verdict.AGAIN
    return made


def response(value: int = 5, level: str = "authPriv", time: int = 1000, **more: Any) -> bytes:
    pdu = Pdu(RESPONSE, ID, 0, 0, (VarBind("1.3.6.1.2.1.1.3.0", 0x43, value),))
    user, scoped = LEVELS[level][1], theirs.scope(ENGINE, encode_pdu(pdu))
    engine = (ENGINE, more.get("boots", 3), time)
    return theirs.sealed(user, engine, more.get("msg_id", ID), theirs.level(user), scoped)


def opened(security: Security, data: bytes, now: float = 0.0) -> Any:
    try:
        span = message_id(data)
    except IndexError:
        return "not SNMPv3"
    if int.from_bytes(data[span[0] : span[1]], "big") != ID:
        return "late"  # as the socket's reader has it
    return security.open(data, span, now)


def test_keys_are_those_of_rfc_3414_appendix_a3() -> None:
    engine = bytes.fromhex("000000000000000000000002")
    md5 = usm.localized("md5", usm.master("md5", b"maplesyrup"), engine)
    sha = usm.localized("sha1", usm.master("sha1", b"maplesyrup"), engine)

    assert md5.hex() == "526f5eed9fcce26f8964c2930787d82b"
    assert sha.hex() == "6695febc9288e36282235fc7151f128497b38f3f"


@pytest.mark.parametrize("priv", PYSNMP_PRIV)
@pytest.mark.parametrize("auth", PYSNMP_AUTH)
def test_keys_and_ciphers_are_pysnmps_in_every_algorithm(auth: str, priv: str) -> None:
    protocol = PYSNMP_AUTH[auth]
    service = SnmpUSMSecurityModel.PRIV_SERVICES[PYSNMP_PRIV[priv]]
    hashing = SnmpUSMSecurityModel.AUTH_SERVICES[protocol]
    key = service.localize_key(
        protocol, hashing.hash_passphrase(KEYS["priv_key"].encode()), OctetString(ENGINE)
    )
    plain = bytes(range(200))
    secret, salt = service.encrypt_data(key, (3, 1000, None), plain)

    ours = usm.keys(auth, KEYS["auth_key"], priv, KEYS["priv_key"], ENGINE)

    assert isinstance(service, rfc3826.Aes)
    assert ours.decrypt(bytes(secret), (3, 1000), bytes(salt)) == plain
    assert ours.encrypt(plain, (3, 1000), bytes(salt)) == bytes(secret)


@given(st.lists(st.tuples(st.binary(max_size=70), st.binary(min_size=8, max_size=8)), max_size=9))
def test_a_cipher_that_is_kept_does_what_a_fresh_one_does(
    messages: list[tuple[bytes, bytes]],
) -> None:
    kept = usm.keys("sha1", "auth-pass-123", "aes128", "priv-pass-456", ENGINE)
    for at, (plain, salt) in enumerate(messages):
        fresh = usm.keys("sha1", "auth-pass-123", "aes128", "priv-pass-456", ENGINE)
        secret = kept.encrypt(plain, (3, at), salt)

        assert secret == fresh.encrypt(plain, (3, at), salt)
        assert len(secret) == len(plain)
        assert kept.decrypt(secret, (3, at), salt) == plain == fresh.decrypt(secret, (3, at), salt)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("time", [0, 127, 128, 32768, 2**24, 2**31 - 1])
def test_a_request_is_what_the_other_side_reads_whatever_the_time(level: str, time: int) -> None:
    security, user = known(level, boots=300, time=time), LEVELS[level][1]
    wanted = Wanted()
    wanted.add("1.3.6.1.2.1.1.3", "0", 0)
    (packet,) = packets(OPENING, wanted, 60, 1400)

    data = security.seal(ID, packet.head + (ID + 1).to_bytes(4, "big") + packet.tail, 0.0)

    parts, message = theirs.take_apart(data), v3.decode_v3(data)
    assert parts.message_id == message.msg_id == ID
    assert parts.flags == theirs.level(user) | v3.REPORTABLE
    assert (parts.engine_id, parts.user) == (ENGINE, "me")
    assert (parts.boots, parts.time_s) == ((300, time) if user.auth else (0, 0))
    if user.auth:
        assert theirs.authentic(data, parts, user, ENGINE)
    pdu = v3.decode_scoped(theirs.opened(parts, user)).pdu
    assert (pdu.request_id, [bind.oid for bind in pdu.varbinds]) == (ID + 1, packet.oids())
    assert v3.encode_v3(message) == data, "not as the codec writes it"


def test_no_datagram_is_estimated_smaller_than_it_is() -> None:
    security = known()
    wanted = Wanted()
    for at in range(60):
        wanted.add("1.3.6.1.2.1.31.1.1.1.6", str(at), 1)
    (packet,) = packets(OPENING, wanted, 60, 65_000)
    plain = packet.head + bytes(4) + packet.tail

    assert len(security.seal(ID, plain, 0.0)) <= len(plain) + security.overhead


@pytest.mark.parametrize("level", LEVELS)
def test_an_answer_is_read_as_one_of_an_empty_community_again_and_again(level: str) -> None:
    security = known(level)
    for value in (5, 6, 2**31, 7):
        told = opened(security, response(value, level))

        assert isinstance(told, bytes)
        message = decode(told)
        assert (message.version, message.community) == (1, b"")
        assert isinstance(message.pdu, Pdu)
        assert message.pdu.varbinds[0].value == value


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize("level", ["authPriv", "authNoPriv"])
def test_no_bit_of_an_answer_can_be_turned_unnoticed(level: str, learnt: bool) -> None:
    security, data = known(level), response(level=level)
    if learnt:
        assert isinstance(opened(security, data), bytes)
    believed = []
    for bit in range(8 * len(data)):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        if isinstance(opened(security, bytes(turned)), bytes):
            believed.append(bit)

    assert believed == []


@pytest.mark.parametrize("learnt", [False, True])
@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize(
    "other",
    [
        {"engine_id": ENGINE[:-1] + b"x"},
        {"user": b"you"},
        {"context": ENGINE[:-1] + b"x"},
        {"name": b"vlan-7"},
        {"tag": GET},
    ],
    ids=lambda other: next(iter(other)),
)
def test_who_has_the_keys_and_speaks_of_something_else_is_not_believed(
    level: str, learnt: bool, other: dict[str, Any]
) -> None:
    security = known(level)
    if learnt:
        assert isinstance(opened(security, response(level=level)), bytes)
    pdu = Pdu(other.get("tag", RESPONSE), ID, 0, 0, ())
    scoped = v3.Scoped(other.get("context", ENGINE), other.get("name", b""), pdu)
    salt = bytes(8) if level == "authPriv" else b""
    message = v3.MessageV3(
        ID, 65507, theirs.level(LEVELS[level][1]), other.get("engine_id", ENGINE), 3, 1000,
        other.get("user", b"me"), b"", salt, v3.encode_scoped(scoped),
    )  # fmt: skip

    assert opened(security, usm.sealed(message, security._keys)) is Verdict.NOT_BELIEVED


@pytest.mark.parametrize("other", [{"engine_id": ENGINE[:-1] + b"x"}, {"user": b"you"}])
def test_a_report_of_somebody_else_sets_no_clock(other: dict[str, Any]) -> None:
    security = known("authNoPriv")
    count = VarBind("1.3.6.1.6.3.15.1.1.2.0", 0x41, 1)
    scoped = v3.encode_scoped(v3.Scoped(ENGINE, b"", Pdu(REPORT, 0, 0, 0, (count,))))
    report = v3.MessageV3(ID, 65507, v3.AUTH, ENGINE, 99, 1, b"me", b"", b"", scoped)

    told = opened(security, usm.sealed(report._replace(**other), security._keys))

    assert told is Verdict.NOT_BELIEVED
    assert opened(security, usm.sealed(report, security._keys)) is Verdict.AGAIN


@given(st.binary(max_size=300))
@settings(max_examples=300)
def test_any_octets_are_judged_and_raise_nothing(data: bytes) -> None:
    for security in (Security(ME_HERE), KNOWN["authPriv"], KNOWN["noAuthNoPriv"]):
        assert not isinstance(opened(security, data), bytes)


@pytest.mark.parametrize("level", LEVELS)
def test_octets_of_who_has_the_keys_are_read_the_same_quickly_and_carefully(level: str) -> None:
    """Digests are taken as right: what is left is the reading of whatever an agent may send."""
    true = response(level=level)
    for at in range(len(true)):
        for octet in {0, 1, 2, 4, 0x30, 0x7F, 0x80, 0x82, 0xFF, true[at] - 1 & 255, true[at] + 1}:
            same_either_way(level, true[:at] + bytes((octet & 255,)) + true[at + 1 :])
    for cut in range(1, len(true), 3):
        same_either_way(level, true[:cut])
        same_either_way(level, true[:cut] + true[cut + 1 :])
        same_either_way(level, true + true[:cut])


@given(
    st.sampled_from(sorted(LEVELS)),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=2, max_size=4),
    st.binary(max_size=20),
)
def test_several_changes_are_read_the_same_quickly_and_carefully(
    level: str, changes: list[tuple[int, int]], tail: bytes
) -> None:
    spoilt = bytearray(response(level=level))
    for at, octet in changes:
        spoilt[at % len(spoilt)] = octet
    same_either_way(level, bytes(spoilt) + tail)


def same_either_way(level: str, data: bytes) -> None:
    quick, careful = known(level), known(level)
    for each in (quick, careful):
        each._keys = GULLIBLE[level]
        assert isinstance(opened(each, response(level=level)), bytes)
    careful._envelope = None

    assert opened(quick, data) == opened(careful, data)


class Gullible(usm.Keys):
    """Keys that find every digest right."""

    def __init__(self, level: str) -> None:
        user = LEVELS[level][1]
        key = theirs.localised("SHA-256", user.auth_key, ENGINE) if user.auth else b""
        priv = theirs.privacy_key(user, ENGINE) if user.privacy else b""
        super().__init__("sha256" if user.auth else "", key, priv)

    def authentic(self, data: bytes, at: int, auth: bytes) -> bool:
        return True


GULLIBLE = {level: Gullible(level) for level in LEVELS}
KNOWN = {level: known(level) for level in LEVELS}


@pytest.mark.parametrize(
    ("boots", "time", "after_s", "believed"),
    [
        (3, 1000, 0.0, True),
        (3, 850, 0.0, True),
        (3, 849, 0.0, False),
        (3, 1000, 150.0, True),
        (3, 1000, 151.0, False),
        (3, 5000, 0.0, True),
        (2, 5000, 0.0, False),
        (4, 0, 0.0, True),
        (2**31 - 1, 1000, 0.0, False),
    ],
)
def test_the_window_of_rfc_3414_section_3_2_7b(
    boots: int, time: int, after_s: float, believed: bool
) -> None:
    security = known()
    assert isinstance(opened(security, response(), now=10.0), bytes)

    told = opened(security, response(6, time=time, boots=boots), now=10.0 + after_s)

    assert isinstance(told, bytes) is believed


def test_time_only_goes_on_by_authentic_words() -> None:
    security = known()
    opened(security, response(), now=0.0)
    forged = response(time=2**30)
    spoilt = forged[:-1] + bytes((forged[-1] ^ 1,))

    assert opened(security, spoilt, now=0.0) is Verdict.NOT_BELIEVED
    assert isinstance(opened(security, response(time=1001), now=1.0), bytes)


def test_an_agent_that_writes_each_length_in_three_octets_is_understood() -> None:
    def long(tag: int, body: bytes) -> bytes:
        return bytes((tag, 0x82)) + len(body).to_bytes(2, "big") + body

    message = v3.decode_v3(response(level="noAuthNoPriv"))
    head = integer(ID) + integer(65507) + long(4, b"\0") + integer(3)
    about = long(4, ENGINE) + integer(3) + integer(1000) + long(4, b"me") + long(4, b"") * 2
    body = integer(3) + long(0x30, head) + long(4, long(0x30, about)) + message.scoped
    security = known("noAuthNoPriv")

    for _ in range(2):
        assert isinstance(opened(security, long(0x30, body)), bytes)
