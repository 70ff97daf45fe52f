"""SNMPv3's security: RFC 3414's own examples, every bit guarded, and engines that lie."""

import pytest

from collectors.snmp_codec.ber import tlv
from collectors.snmp_codec.message import GET, REPORT, RESPONSE
from simulators import usm
from simulators.scenario import User
from simulators.wire import NULL, name, number, oid, varbind
from tests.simulators.world import World

ENGINE = bytes.fromhex("000000000000000000000002")
ME = User(
    name="me", auth="SHA-256", auth_key="auth-pass-1", privacy="AES-128", privacy_key="priv-pass"
)
SCENARIO = """
[[user]]
name = "me"
auth = "SHA-256"
auth_key = "auth-pass-1"
privacy = "AES-128"
privacy_key = "priv-pass"
[[device]]
name = "d{n}"
address = "127.0.5.1"
count = 2
user = "me"
engine_id = "8000000001020304"
ports = 1
"""


def request(world: World, engine: tuple[bytes, int, int] | None = None, number_: int = 9) -> bytes:
    engine = engine or usm.clocks(world.device("d1"), world.now)
    binds = tlv(0x30, varbind(name(oid("1.3.6.1.2.1.1.5.0")), NULL))
    pdu = tlv(GET, number(number_) + number(0) + number(0) + binds)
    flags = usm.level(ME) | usm.REPORTABLE
    return usm.sealed(ME, engine, number_, flags, usm.scope(engine[0], pdu))


def heard(world: World, data: bytes) -> tuple[int, usm.Parts, bytes]:
    """PDU tag, parts and scoped PDU of the answer."""
    (answer,) = world.raw("d1", data)
    parts = usm.take_apart(answer.data)
    scoped = usm.opened(parts, ME)
    tag = REPORT if bytes((REPORT,)) in scoped[:60] and b"d1" not in scoped else RESPONSE
    return tag, parts, scoped


def stat(scoped: bytes) -> int:
    """Which usmStats counter a report is about."""
    return next(n for n in range(1, 7) if name((*usm.STATS, n, 0)) in scoped)


def test_keys_are_those_of_rfc_3414_appendix_a3() -> None:
    md5 = usm.localised("MD5", "maplesyrup", ENGINE)
    assert md5.hex() == "526f5eed9fcce26f8964c2930787d82b"
    sha = usm.localised("SHA-1", "maplesyrup", ENGINE)
    assert sha.hex() == "6695febc9288e36282235fc7151f128497b38f3f"


def test_an_authentic_request_is_answered_in_kind() -> None:
    world = World(SCENARIO)
    tag, parts, scoped = heard(world, request(world))
    assert tag == RESPONSE
    assert parts.flags == usm.AUTH | usm.PRIV
    assert b"d1" in scoped


def test_no_bit_of_a_request_can_be_turned_unnoticed() -> None:
    world = World(SCENARIO)
    data = request(world)
    for bit in range(len(data) * 8):
        turned = bytearray(data)
        turned[bit // 8] ^= 1 << bit % 8
        world.raw("d1", bytes(turned))
    assert world.device("d1").responses == 0


def test_another_time_is_answered_with_an_authentic_report() -> None:
    world = World(SCENARIO)
    engine_id, boots, time_s = usm.clocks(world.device("d1"), world.now)
    tag, parts, scoped = heard(world, request(world, (engine_id, boots, time_s + 151)))
    assert (tag, stat(scoped), parts.flags) == (REPORT, usm.TIME, usm.AUTH)
    assert (parts.boots, parts.time_s) == (boots, time_s)
    tag, _, scoped = heard(world, request(world, (engine_id, boots + 1, time_s)))
    assert (tag, stat(scoped)) == (REPORT, usm.TIME)
    assert heard(world, request(world, (engine_id, boots, time_s + 150)))[0] == RESPONSE


def test_the_wrong_engine_is_told_the_right_one() -> None:
    world = World(SCENARIO)
    tag, parts, scoped = heard(world, request(world, (ENGINE, 0, 0)))
    assert (tag, stat(scoped), parts.flags) == (REPORT, usm.ENGINE, 0)
    assert parts.engine_id == bytes.fromhex("8000000001020304")


def test_a_reboot_is_seen_in_boots_and_time() -> None:
    world = World(SCENARIO)
    world.move(3)
    old = usm.clocks(world.device("d1"), world.now)
    world.do("reboot", device="d1")
    new = usm.clocks(world.device("d1"), world.now)
    assert (new[1], new[2]) == (old[1] + 1, 0)
    assert heard(world, request(world, old))[0] == REPORT


def test_two_devices_may_share_an_engine() -> None:
    world = World(SCENARIO)
    assert world.device("d1").engine_id == world.device("d2").engine_id


@pytest.mark.parametrize(
    "mode", ["not_in_time_window", "boots_back", "time_frozen", "engine_id_changes"]
)
def test_engines_that_lie(mode: str) -> None:
    world = World(SCENARIO)
    before = usm.clocks(world.device("d1"), world.now)
    world.do("lie", device="d1", mode=mode)
    seen = []
    for n in range(3):
        tag, parts, scoped = heard(world, request(world, before, number_=n + 1))
        seen.append((tag, stat(scoped) if tag == REPORT else 0, parts.engine_id, parts.time_s))
        world.move(10)
    if mode == "not_in_time_window":
        assert {(tag, why) for tag, why, _, _ in seen} == {(REPORT, usm.TIME)}
    elif mode == "engine_id_changes":
        assert len({engine_id for _, _, engine_id, _ in seen}) == 3
    elif mode == "time_frozen":
        assert {time_s for _, _, _, time_s in seen} == {4711}
    else:
        boots = {usm.clocks(world.device("d1"), world.now)[1], before[1]}
        assert min(boots) < before[1]
