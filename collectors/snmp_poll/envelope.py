"""The envelope of SNMPv3 messages by its shape: requests put together, answers taken apart.

A poller has the same talk with the same engine all the time, so all of an envelope but msgID, time,
digest, salt and contents is what it was last time, and is compared or copied rather than encoded.
`snmp_codec.v3` reads and writes the rest, and is what this must agree with.
"""

from __future__ import annotations

from collectors.snmp_codec import usm
from collectors.snmp_codec.ber import Tag, integer, tlv
from collectors.snmp_codec.v3 import AUTH, MAX_SIZE, PRIV, REPORTABLE, USM, MessageV3
from collectors.snmp_poll.parse import inside

_ID_OCTETS = 4  # of the msgIDs we send (`udp.SMALLEST_ID`)
_NO_SALT = tlv(Tag.OCTET_STRING, b"")
_SALT = bytes((Tag.OCTET_STRING, usm.SALT_OCTETS))


class Front:
    """How requests begin that one user sends to one engine at one level in one second."""

    __slots__ = ("_after", "_before", "_keys", "_level", "moment")

    def __init__(
        self, keys: usm.Keys, whom: tuple[int, bytes, bytes], moment: tuple[int, int]
    ) -> None:
        """`whom` is level, engine id and user, `moment` the engine's boots and time."""
        level, engine_id, user = whom
        self.moment = moment
        self._keys = keys
        self._level = level
        kept = keys.kept if level & AUTH else 0
        salt = usm.SALT_OCTETS if level & PRIV else 0
        rest = (
            integer(MAX_SIZE) + tlv(Tag.OCTET_STRING, bytes((level | REPORTABLE,))) + integer(USM)
        )
        self._before = (
            integer(3)
            + bytes((Tag.SEQUENCE, 2 + _ID_OCTETS + len(rest)))
            + bytes((Tag.INTEGER, _ID_OCTETS))
        )
        whole = tlv(
            Tag.OCTET_STRING,
            tlv(
                Tag.SEQUENCE,
                tlv(Tag.OCTET_STRING, engine_id)
                + integer(moment[0])
                + integer(moment[1])
                + tlv(Tag.OCTET_STRING, user)
                + tlv(Tag.OCTET_STRING, bytes(kept))
                + tlv(Tag.OCTET_STRING, bytes(salt)),
            ),
        )
        self._after = rest + whole[: len(whole) - kept - 2 - salt]

    def message(self, message_id: int, scoped: bytes, salt: bytes) -> bytes:
        """Return the message around `scoped`, encrypted and signed as the level says."""
        keys, level = self._keys, self._level
        if level & PRIV:
            secret = keys.encrypt(scoped, self.moment, salt)
            behind = _SALT + salt + tlv(Tag.OCTET_STRING, secret)
        else:
            behind = _NO_SALT + scoped
        before = self._before + message_id.to_bytes(_ID_OCTETS, "big") + self._after
        if not level & AUTH:
            return tlv(Tag.SEQUENCE, before + behind)
        kept = keys.kept
        whole = tlv(Tag.SEQUENCE, before + bytes(kept) + behind)
        at = len(whole) - len(behind) - kept
        return b"".join((whole[:at], keys.mac(whole), whole[at + kept :]))


# What differs from answer to answer: time, where the digest stands, the digest, the salt, and
# `scoped` as in MessageV3.
Parts = tuple[int, int, bytes, bytes, bytes]


class Envelope:
    """The envelope of the last answer that was believed, without what differs."""

    __slots__ = ("_after", "_auth", "_between", "_front", "_priv", "_time", "boots")

    def __init__(self, message: MessageV3, data: bytes, span: tuple[int, int]) -> None:
        """Learn from an answer and its octets; `span` is where the contents of its msgID stand."""
        user = tlv(Tag.OCTET_STRING, message.user)
        time_end = message.auth_at - 2 - len(user)
        self.boots = message.boots
        self._auth = len(message.auth)
        self._priv = bool(message.flags & PRIV)
        self._time = (message.time.bit_length() + 8) // 8
        self._after = user + bytes((Tag.OCTET_STRING, self._auth))
        self._between = data[span[1] : time_end - self._time]
        self._front = data[inside(data, 0)[0] : span[0]]

    def parts(self, data: bytes, span: tuple[int, int]) -> Parts | None:
        """Return the parts of an answer just like the last one; None where it is another.

        `span` is where the contents of its msgID stand. Raises IndexError where it is cut off.
        """
        start, end = span
        at, stop = inside(data, 0)
        size = len(data)
        if stop != size or start - at != len(self._front) or not data.startswith(self._front, at):
            return None
        if not data.startswith(self._between, end):
            return None
        at = end + len(self._between)
        time_at, at = at, at + self._time
        if not data.startswith(self._after, at) or data[time_at] & 0x80:
            return None
        auth_at = at + len(self._after)
        at = auth_at + self._auth
        salt = b""
        if self._priv:
            at += 2 + usm.SALT_OCTETS
            salt = data[at - usm.SALT_OCTETS : at]
            scoped_at, stop = inside(data, at, Tag.OCTET_STRING)
            alike = data.startswith(_SALT, at - len(_SALT) - usm.SALT_OCTETS)
        else:
            scoped_at = at + 2
            _, stop = inside(data, scoped_at)
            alike = data.startswith(_NO_SALT, at)
        if stop != size or not alike:
            return None
        time = int.from_bytes(data[time_at : time_at + self._time], "big")
        auth = data[auth_at : auth_at + self._auth]
        return time, auth_at, auth, salt, data[scoped_at:]
