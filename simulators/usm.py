"""SNMPv3's user-based security as an agent needs it (RFC 3412, 3414, 3826, 7860).

Own code rather than a library's, so that tests of the house meet an independent peer and a
device can lie about its engine. Key extension for AES-192/256: draft-blumenthal (as net-snmp), or
Reeder's with the suffix -C.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from hashlib import new as new_hash
from typing import TYPE_CHECKING

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from collectors.snmp_codec.ber import DecodeError, Tag, header, signed, tlv
from collectors.snmp_codec.message import REPORT
from simulators.scenario import User
from simulators.wire import COUNTER32, name, number, octets, oid, varbind

if TYPE_CHECKING:
    from simulators.device import Device

HASHES = {
    "MD5": ("md5", 12),
    "SHA-1": ("sha1", 12),
    "SHA-224": ("sha224", 16),
    "SHA-256": ("sha256", 24),
    "SHA-384": ("sha384", 32),
    "SHA-512": ("sha512", 48),
}
AUTH, PRIV, REPORTABLE = 1, 2, 4
WINDOW_S = 150
STATS = oid("1.3.6.1.6.3.15.1.1")
LEVEL, TIME, USER, ENGINE, DIGEST, DECRYPT = 1, 2, 3, 4, 5, 6  # usmStats…, RFC 3414 section 5

Users = Mapping[str, User]


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """A v3 message taken apart; `mac_at` is where its authentication parameters stand."""

    message_id: int
    flags: int
    engine_id: bytes
    boots: int
    time_s: int
    user: str
    mac: bytes
    mac_at: int
    salt: bytes
    payload: bytes  # the scoped PDU, encrypted or not, as an element


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An authentic request and what its answer must repeat."""

    message_id: int
    flags: int
    user: User
    context: bytes  # contextEngineID and contextName, as elements
    tag: int
    request_id: bytes
    tail: bytes


@lru_cache(maxsize=1024)
def localised(algorithm: str, password: str, engine_id: bytes) -> bytes:
    """Return the key of `password` for one engine (RFC 3414 appendix A.2)."""
    return _localise(algorithm, _stretched(algorithm, password.encode()), engine_id)


def _localise(algorithm: str, key: bytes, engine_id: bytes) -> bytes:
    return new_hash(HASHES[algorithm][0], key + engine_id + key, usedforsecurity=False).digest()


@lru_cache(maxsize=256)
def _stretched(algorithm: str, password: bytes) -> bytes:
    whole = password * (1048576 // len(password) + 1)
    return new_hash(HASHES[algorithm][0], whole[:1048576], usedforsecurity=False).digest()


@lru_cache(maxsize=1024)
def privacy_key(user: User, engine_id: bytes) -> bytes:
    """Return the AES key of a user for one engine, extended where the hash is too short."""
    size = int(user.privacy[4:7]) // 8
    key = part = localised(user.auth, user.privacy_key, engine_id)
    while len(key) < size:
        if user.privacy.endswith("-C"):  # Reeder: the key so far is the next password
            part = _localise(user.auth, _stretched(user.auth, part), engine_id)
        else:
            part = new_hash(HASHES[user.auth][0], key, usedforsecurity=False).digest()
        key += part
    return key[:size]


def _cipher(user: User, parts: tuple[bytes, int, int, bytes]) -> Cipher[CFB]:
    engine_id, boots, time_s, salt = parts
    start = boots.to_bytes(4, "big") + time_s.to_bytes(4, "big") + salt
    return Cipher(algorithms.AES(privacy_key(user, engine_id)), CFB(start))


def take_apart(data: bytes) -> Parts:
    """Return the parts of a v3 message (RFC 3412 section 6, 3414 section 2.4).

    Raises DecodeError.
    """
    _, at, end = header(data, 0, len(data))
    _, at = _element(data, at, end, Tag.INTEGER)
    start, at = _element(data, at, end, Tag.SEQUENCE)
    message_id, start = _integer(data, start, at)
    _, start = _integer(data, start, at)
    flags, start = _element(data, start, at, Tag.OCTET_STRING)
    model, _ = _integer(data, start, at)
    if model != 3 or start != flags + 1:
        raise DecodeError("not the user-based security model")
    start, payload = _element(data, at, end, Tag.OCTET_STRING)
    start, stop = _element(data, start, payload, Tag.SEQUENCE)
    engine, start = _element(data, start, stop, Tag.OCTET_STRING)
    engine_id = data[engine:start]
    boots, start = _integer(data, start, stop)
    time_s, start = _integer(data, start, stop)
    user, start = _element(data, start, stop, Tag.OCTET_STRING)
    name_of_user = data[user:start].decode("utf-8", "replace")
    mac_at, mac_end = _element(data, start, stop, Tag.OCTET_STRING)
    salt_at, salt_end = _element(data, mac_end, stop, Tag.OCTET_STRING)
    return Parts(
        message_id=message_id,
        flags=data[flags],
        engine_id=engine_id,
        boots=boots,
        time_s=time_s,
        user=name_of_user,
        mac=data[mac_at:mac_end],
        mac_at=mac_at,
        salt=data[salt_at:salt_end],
        payload=data[payload:end],
    )


def _element(data: bytes, at: int, end: int, tag: int) -> tuple[int, int]:
    found, start, stop = header(data, at, end)
    if found != tag:
        raise DecodeError(f"tag {found:#x} instead of {int(tag):#x}")
    return start, stop


def _integer(data: bytes, at: int, end: int) -> tuple[int, int]:
    start, stop = _element(data, at, end, Tag.INTEGER)
    return signed(data[start:stop]), stop


def authentic(data: bytes, parts: Parts, user: User, engine_id: bytes) -> bool:
    """Return whether the message carries the right digest (RFC 3414 section 6.3.2)."""
    size = HASHES[user.auth][1]
    if len(parts.mac) != size:
        return False
    blank = data[: parts.mac_at] + bytes(size) + data[parts.mac_at + size :]
    return hmac.compare_digest(_mac(user, engine_id, blank), parts.mac)


def _mac(user: User, engine_id: bytes, blank: bytes) -> bytes:
    algorithm, size = HASHES[user.auth]
    key = localised(user.auth, user.auth_key, engine_id)
    return hmac.digest(key, blank, algorithm)[:size]


def opened(parts: Parts, user: User) -> bytes:
    """Return the scoped PDU, an element, decrypted where it was not plain. Raises DecodeError."""
    if not parts.flags & PRIV:
        return parts.payload
    start, stop = _element(parts.payload, 0, len(parts.payload), Tag.OCTET_STRING)
    if len(parts.salt) != 8 or not 0 <= parts.boots < 2**31 or not 0 <= parts.time_s < 2**31:
        raise DecodeError("no salt, or clocks out of range")
    key = (parts.engine_id, parts.boots, parts.time_s, parts.salt)
    return _cipher(user, key).decryptor().update(parts.payload[start:stop])


def sealed(
    user: User, engine: tuple[bytes, int, int], message_id: int, flags: int, scoped: bytes
) -> bytes:
    """Return a whole v3 message around `scoped`, secured as `flags` say.

    `engine` is the authoritative engine's id, boots and time.
    """
    engine_id, boots, time_s = engine
    salt = b""
    if flags & PRIV:
        salt = message_id.to_bytes(8, "big")
        key = (engine_id, boots, time_s, salt)
        scoped = octets(_cipher(user, key).encryptor().update(scoped))
    size = HASHES[user.auth][1] if flags & AUTH else 0
    clocks = octets(engine_id) + number(boots) + number(time_s) + octets(user.name)
    marked = b"\xa5" * size
    security = octets(tlv(Tag.SEQUENCE, clocks + octets(marked) + octets(salt)))
    head = number(message_id) + number(65507) + octets(bytes((flags,))) + number(3)
    front = number(3) + tlv(Tag.SEQUENCE, head)
    whole = tlv(Tag.SEQUENCE, front + security + scoped)
    if not size:
        return whole
    before = len(whole) - len(scoped) - size - len(octets(salt))
    blank = whole[:before] + bytes(size) + whole[before + size :]
    return whole[:before] + _mac(user, engine_id, blank) + whole[before + size :]


def level(user: User) -> int:
    """Return the flags of the most secure messages a user can exchange."""
    return (AUTH if user.auth else 0) | (PRIV if user.privacy else 0)


def scope(engine_id: bytes, pdu: bytes) -> bytes:
    """Return the scoped PDU of the default context."""
    return tlv(Tag.SEQUENCE, octets(engine_id) + octets(b"") + pdu)


def open_request(device: Device, data: bytes, now: float, users: Users) -> Asked | bytes:
    """Return the authentic request in `data`, or the report that answers it, or b"" for silence.

    RFC 3414 section 3.2. Raises DecodeError.
    """
    parts = take_apart(data)
    engine_id, boots, time_s = clocks(device, now)
    report = partial(_report, device, parts, (engine_id, boots, time_s))
    if parts.engine_id != engine_id:
        return report(ENGINE, None)
    user = users.get(parts.user)
    if user is None or user.name != device.said.user:
        return report(USER, None)
    secured = parts.flags & (AUTH | PRIV)
    if secured != level(user):
        return report(LEVEL, None)
    if secured & AUTH:
        if not authentic(data, parts, user, engine_id):
            return report(DIGEST, None)
        late = abs(parts.time_s - time_s) > WINDOW_S or parts.boots != boots
        if late or device.lie == "not_in_time_window":
            return report(TIME, user)
    return _request(parts, user, report)


def _request(
    parts: Parts, user: User, report: Callable[[int, User | None], bytes]
) -> Asked | bytes:
    try:
        scoped = opened(parts, user)
        start, stop = _element(scoped, 0, len(scoped), Tag.SEQUENCE)
        _, at = _element(scoped, start, stop, Tag.OCTET_STRING)
        _, at = _element(scoped, at, stop, Tag.OCTET_STRING)
        tag, inner, end = header(scoped, at, stop)
        _, after = _element(scoped, inner, end, Tag.INTEGER)
    except DecodeError:
        if parts.flags & PRIV:
            return report(DECRYPT, user)
        raise
    return Asked(
        message_id=parts.message_id,
        flags=parts.flags & (AUTH | PRIV),
        user=user,
        context=scoped[start:at],
        tag=tag,
        request_id=scoped[inner:after],
        tail=scoped[after:end],
    )


def clocks(device: Device, now: float) -> tuple[bytes, int, int]:
    """Return (engine id, boots, time) as the device states them; some lies live here."""
    engine_id, boots, time_s = device.engine_id, device.boots, device.engine_time(now)
    if device.lie == "engine_id_changes":
        engine_id += bytes((device.requests + device.refused & 255,))
        device.refused += 1
    elif device.lie == "boots_back":
        boots = max(0, boots - 1 - device.requests % 2)
    elif device.lie == "time_frozen":
        time_s = 4711
    return engine_id, boots, time_s


def _report(
    device: Device, parts: Parts, engine: tuple[bytes, int, int], stat: int, user: User | None
) -> bytes:
    """Return a Report PDU with the counter `stat`; b"" where none is wanted."""
    device.refused += 1
    if not parts.flags & REPORTABLE:
        return b""
    device.reports[stat] = device.reports.get(stat, 0) + 1
    counter = number(device.reports[stat], COUNTER32)
    binds = tlv(Tag.SEQUENCE, varbind(name((*STATS, stat, 0)), counter))
    pdu = tlv(REPORT, number(0) + number(0) + number(0) + binds)
    flags = AUTH if user and user.auth else 0
    speaker = user or User.model_construct(name=parts.user, auth="", privacy="")
    return sealed(speaker, engine, parts.message_id, flags, scope(device.engine_id, pdu))


def seal_answer(device: Device, asked: Asked, pdu: bytes, now: float) -> bytes:
    """Return the message that carries the answer to `asked`."""
    engine = clocks(device, now)
    scoped = tlv(Tag.SEQUENCE, asked.context + pdu)
    return sealed(asked.user, engine, asked.message_id, asked.flags, scoped)
