"""Nothing but the right message of the right user at the right engine is believed."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from collectors.snmp_codec import v3
from collectors.snmp_codec.message import GET, INFORM, REPORT, RESPONSE, TRAP2, Pdu, VarBind
from collectors.snmp_trap import usm
from collectors.snmp_trap.parse import TRAP_OID

RECORDED = Path(__file__).parent / "recorded" / "authpriv-sha256-aes128.hex"
TRAP = bytes.fromhex(RECORDED.read_text().replace("\n", ""))  # sent by snmptrap 5.9.3
SENDER = "8000000001020304"
OURS = "8000007ed9050102030405060708"
LINK_DOWN = "1.3.6.1.6.3.1.1.5.3"
USER = {
    "name": "netops", "engine_ids": [SENDER], "auth": "sha256", "auth_key": "authauth1",
    "priv": "aes128", "priv_key": "privpriv1", "level": "authPriv",
}  # fmt: skip


def receiver(boots: int = 3, **changes: Any) -> usm.Usm:
    """Our engine with one user, and a way to speak to it as that user."""
    setup = {"engine_id": OURS, "boots": boots, "users": [{**USER, **changes}]}
    made: usm.Usm = usm.begin(setup).__closure__[0].cell_contents  # type: ignore[index]
    return made


def judged(data: bytes, time: int = 100, **changes: Any) -> Mapping[str, Any]:
    setup = {"engine_id": OURS, "boots": 3, "users": [{**USER, **changes}]}
    return usm.begin(setup)({"data": b64encode(data).decode(), "time": time})


def spoken(pdu: Pdu, level: int = 3, time: int = 100, **changes: Any) -> bytes:
    """Return `pdu` as the user would send it to our engine, with changes to the envelope."""
    me = receiver()
    scoped = v3.Scoped(b"ctx", b"", pdu)
    asked = v3.MessageV3(77, 65507, 7, b"", 0, 0, b"netops", b"", b"", b"")
    sealed = v3.decode_v3(me._sealed(asked, scoped, (me._users[b"netops"], level), time))
    sealed = sealed._replace(flags=sealed.flags | v3.REPORTABLE, **changes)
    if not level & v3.AUTH:
        return v3.encode_v3(sealed)
    blank = v3.encode_v3(sealed._replace(auth=bytes(24)))
    keys = me._keys(me._users[b"netops"], bytes.fromhex(OURS))
    return v3.encode_v3(sealed._replace(auth=keys.mac(blank)))


def notification(tag: int = INFORM) -> Pdu:
    return Pdu(tag, 5, 0, 0, (VarBind(TRAP_OID, 6, LINK_DOWN), VarBind("1.3.6.9", 2, 3)))


def test_a_trap_of_the_right_user_is_believed() -> None:
    said = judged(TRAP)
    assert (said["result"], said["name"], said["authenticated"]) == ("trap", LINK_DOWN, True)
    assert said["values"] == {"1.3.6.1.2.1.2.2.1.1.3": "3"}
    assert (said["engine"], said["boots"], said["time"]) == (SENDER, 7, 1000)


def test_every_single_bit_of_an_authpriv_trap_matters() -> None:
    handle = usm.begin({"engine_id": OURS, "boots": 3, "users": [USER]})
    believed = []
    for bit in range(8 * len(TRAP)):
        damaged = bytearray(TRAP)
        damaged[bit // 8] ^= 1 << bit % 8
        said = handle({"data": b64encode(damaged).decode(), "time": 100})
        if said["result"] != "refused":
            believed.append(bit)
    assert believed == []


@pytest.mark.parametrize("cut", range(0, len(TRAP), 7))
def test_a_trap_cut_short_is_refused(cut: int) -> None:
    assert judged(TRAP[:cut])["result"] == "refused"


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"auth_key": "authauth2"}, "wrong_digest"),
        ({"priv_key": "privpriv2"}, "not_decrypted"),
        ({"auth": "sha1"}, "wrong_digest"),
        ({"auth": "sha512"}, "wrong_digest"),
        ({"priv": "aes256"}, "not_decrypted"),
        ({"name": "other"}, "unknown_user"),
        ({"engine_ids": ["8000000001020305"]}, "unknown_engine"),
        ({"engine_ids": []}, "unknown_engine"),
        ({"priv": "", "priv_key": "", "level": "authNoPriv"}, "low_level"),
        ({"auth": "", "priv": "", "level": "noAuthNoPriv"}, "low_level"),
    ],
)
def test_wrong_keys_users_and_engines_give_a_reason_only(
    changes: dict[str, Any], reason: str
) -> None:
    said = judged(TRAP, **changes)
    assert (said["result"], said["reason"]) == ("refused", reason)


@pytest.mark.parametrize("octets", range(13))
def test_a_shortened_mac_is_refused(octets: int) -> None:
    message = v3.decode_v3(TRAP)
    said = judged(v3.encode_v3(message._replace(auth=message.auth[:octets])))
    assert (said["result"], said["reason"]) == ("refused", "wrong_digest")


@pytest.mark.parametrize("octets", [0, 1, 7, 9, 64])
def test_privacy_parameters_of_another_length_are_refused(octets: int) -> None:
    data = spoken(notification(), priv=bytes(octets))
    assert judged(data)["reason"] == "not_decrypted"


def test_a_message_stripped_of_its_security_is_refused() -> None:
    """pysnmp's engine lets this pass for a sender's engine: a downgrade."""
    scoped = v3.encode_scoped(v3.Scoped(b"", b"", notification(TRAP2)))
    for flags in (0, 4):
        for user in (b"netops", b""):
            plain = v3.MessageV3(
                1, 65507, flags, bytes.fromhex(SENDER), 7, 1001, user, b"", b"", scoped
            )
            assert judged(v3.encode_v3(plain))["result"] == "refused"


def test_a_lower_level_is_believed_only_where_configured_and_is_not_authenticated() -> None:
    scoped = v3.encode_scoped(v3.Scoped(b"", b"", notification(TRAP2)))
    plain = v3.MessageV3(1, 65507, 0, bytes.fromhex(SENDER), 7, 1, b"netops", b"", b"", scoped)
    said = judged(v3.encode_v3(plain), level="noAuthNoPriv")
    assert (said["result"], said["authenticated"]) == ("trap", False)


def reported(said: Mapping[str, Any]) -> tuple[v3.MessageV3, Pdu]:
    message = v3.decode_v3(b64decode(said["reply"]))
    return message, v3.decode_scoped(message.scoped).pdu


def test_a_sender_that_asks_who_we_are_is_told_once_it_wants_a_report() -> None:
    scoped = v3.encode_scoped(v3.Scoped(b"", b"", Pdu(GET, 9, 0, 0, ())))
    probe = v3.MessageV3(42, 65507, v3.REPORTABLE, b"", 0, 0, b"", b"", b"", scoped)
    said = judged(v3.encode_v3(probe))
    assert said["reason"] == "discovery"
    message, pdu = reported(said)
    assert (message.msg_id, message.engine_id.hex(), message.flags) == (42, OURS, 0)
    assert (message.boots, message.time) == (3, 100)
    assert (pdu.tag, pdu.request_id) == (REPORT, 9)
    assert pdu.varbinds[0].oid == "1.3.6.1.6.3.15.1.1.4.0"
    silent = judged(v3.encode_v3(probe._replace(flags=0)))
    assert "reply" not in silent


def test_an_inform_is_answered_sealed_as_it_came() -> None:
    said = judged(spoken(notification()))
    assert said["result"] == "inform"
    reply = b64decode(said["reply"])
    me = receiver()
    message = v3.decode_v3(reply)
    assert message.flags == 3
    assert message.msg_id == 77
    me._verify(message, reply, me._users[b"netops"])
    answer = me._open(message, me._users[b"netops"]).pdu
    assert answer == notification()._replace(tag=RESPONSE)


@pytest.mark.parametrize(("time", "timely"), [(100, True), (250, True), (251, False), (0, True)])
def test_an_inform_is_timely_within_150_seconds_of_our_clock(time: int, timely: bool) -> None:
    said = judged(spoken(notification(), time=100), time=time)
    assert (said["result"] == "inform") is timely
    if not timely:
        message, _ = reported(said)
        assert message.flags == v3.AUTH  # its time may be believed


@pytest.mark.parametrize("boots", [0, 2, 4, 2**31 - 1])
def test_an_inform_of_another_boot_is_not_timely(boots: int) -> None:
    assert judged(spoken(notification(), level=1, boots=boots), level="authNoPriv")["reason"] == (
        "not_in_window"
    )


@pytest.mark.parametrize("tag", [GET, RESPONSE, REPORT])
def test_other_pdus_are_no_notifications(tag: int) -> None:
    assert judged(spoken(notification(tag)))["reason"] == "not_a_notification"


def test_a_trap_must_come_of_its_senders_engine_and_an_inform_of_ours() -> None:
    assert judged(spoken(notification(TRAP2)))["reason"] == "wrong_engine"


@pytest.mark.parametrize("junk", [b"", b"\x30", b"\x30\x80", b"\x30\x03\x02\x01\x03", b"\xff" * 60])
def test_junk_is_malformed(junk: bytes) -> None:
    assert judged(junk)["reason"] == "malformed"
