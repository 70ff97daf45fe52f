"""What SNMPv3 puts around a request to one device and takes off its answer (RFC 3412, RFC 3414).

On our side of this, requests and answers look as SNMPv2c's do: the PDU in a message of an empty
community, so planning, reading and walking are the same code. No sockets here.

Nothing of a message is believed before its digest is right, but for reports that say why the device
does not answer: those only ever give a reason, or an engine id to try.
"""

from __future__ import annotations

import os

from collectors.snmp_codec import usm, v3
from collectors.snmp_codec.ber import DecodeError, Tag, header, tlv
from collectors.snmp_codec.message import GET, REPORT, RESPONSE, Pdu, encode_pdu
from collectors.snmp_codec.v3 import AUTH, PRIV, REPORTABLE, EngineClock, MessageV3
from collectors.snmp_poll.envelope import Envelope, Front
from collectors.snmp_poll.plan import check
from collectors.snmp_poll.request import Verdict
from collectors.snmp_poll.settings import Credentials
from netopsd.core.model import Blind

OPENING = check(1, b"")  # of requests and answers on our side of this module
_USM_STATS = "1.3.6.1.6.3.15.1.1."
_NOT_IN_WINDOW, _UNKNOWN_ENGINE = 2, 4
_REPORTS = {  # what the user reads; RFC 3414 section 5: usmStats
    1: "the device does not let this user speak at this security level",
    _NOT_IN_WINDOW: "the device says our time is wrong, again after it was set by its own",
    3: "the device does not know this user",
    _UNKNOWN_ENGINE: "the device says its engine id is another one, and names the same",
    5: "the device says our digest is wrong: auth or auth_key differ",
    6: "the device could not decrypt what we sent: priv or priv_key differ",
}
_NOT_AUTHENTIC = "answers come that are not authentic"
_RESPONSE = bytes((RESPONSE,))
_OTHER = "answers come of another engine, user, context or security level"
# All but engine ids, user and digest, each header as long as it may be: message (4), version (3),
# global data (21), parameters (4 + 4), engine id (2), boots and time (6 + 6), user (2), digest (2),
# salt (10), secret (4), scoped PDU (4), context (2 + 2). A community message has some of them.
_AROUND = 76
_NO_SCOPE = tlv(Tag.OCTET_STRING, b"") * 2  # contextEngineID and contextName
_SILENT = "the device tells its engine id and no more; priv_key or another key may differ"
_PAST = "answers come from a past boot or time of the device (boots {}, time {} s)"


class Security:
    """One user at one device's engine, which is the authoritative one. Times are monotonic."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._name = credentials.user.encode()
        self._level = (AUTH if credentials.auth else 0) | (PRIV if credentials.priv else 0)
        self._salt = int.from_bytes(os.urandom(usm.SALT_OCTETS), "big")
        self.forget()

    @property
    def overhead(self) -> int:
        """Octets of a datagram around a PDU beyond those of a community message, at most."""
        engine_id = len(self._engine) or v3.LONGEST_ENGINE_ID
        return _AROUND + 2 * engine_id + len(self._name) + self._keys.kept

    def forget(self) -> None:
        """Begin anew: the engine is to be discovered, and its clock to be learnt."""
        self._engine = b""
        self._keys = usm.NO_KEYS
        self._scope = _NO_SCOPE
        self._whom = (0, b"", b"")  # level, engine and user of an answer
        self._clock: EngineClock | None = None  # as authentic messages told it
        self._guess = EngineClock(0, 0, None)  # as discovery told it: to send, never to judge by
        self._front: Front | None = None
        self._envelope: Envelope | None = None
        self._refusal: tuple[Blind, str] | None = None

    def refusal(self) -> tuple[Blind, str] | None:
        """Return why the device does not answer, as far as it said or can be guessed."""
        user = f"SNMPv3 user {self._credentials.user}"
        if self._refusal is not None:
            return self._refusal[0], f"{user}: {self._refusal[1]}"
        if self._engine and self._level & AUTH and self._clock is None:
            return Blind.REJECTED, f"{user}: {_SILENT}"
        return None

    def seal(self, message_id: int, message: bytes, now: float) -> bytes:
        """Return the datagram for a request in an empty community.

        Before the engine is known it is the question for it (RFC 3414 section 4).
        """
        if not self._engine:
            nothing = tlv(Tag.SEQUENCE, _NO_SCOPE + encode_pdu(Pdu(GET, message_id, 0, 0, ())))
            return v3.encode_v3(
                MessageV3(message_id, v3.MAX_SIZE, REPORTABLE, b"", 0, 0, b"", b"", b"", nothing)
            )
        pdu = message[header(message, 0, len(message))[1] + len(OPENING) :]
        boots, time = 0, 0
        if self._level & AUTH:
            clock = self._clock or self._guess
            boots, time = clock.boots, clock.now(now)
        front = self._front
        if front is None or front.moment != (boots, time):
            front = self._front = Front(self._keys, self._whom, (boots, time))
        salt = b""
        if self._level & PRIV:
            self._salt = (self._salt + 1) % 2**64
            salt = self._salt.to_bytes(usm.SALT_OCTETS, "big")
        return front.message(message_id, tlv(Tag.SEQUENCE, self._scope + pdu), salt)

    def open(self, data: bytes, span: tuple[int, int], now: float) -> bytes | Verdict:
        """Return the answer in an empty community, or what became of it (RFC 3414 section 3.2).

        `span` is where the contents of its msgID stand. Raises nothing.
        """
        try:
            told = self._quick(data, span, now) if self._envelope is not None else None
            return self._careful(data, span, now) if told is None else told
        except (DecodeError, IndexError):
            return Verdict.MALFORMED

    def _quick(self, data: bytes, span: tuple[int, int], now: float) -> bytes | Verdict | None:
        """Read an answer whose envelope is the last one's; None where it is another."""
        assert self._envelope is not None
        parts = self._envelope.parts(data, span)
        if parts is None:
            return None
        time, auth_at, auth, salt, scoped = parts
        boots = self._envelope.boots
        if self._level & AUTH:
            if not self._keys.authentic(data, auth_at, auth):
                return self._not_believed(_NOT_AUTHENTIC)
            if not self._timely(boots, time, now):
                return self._not_believed(_PAST.format(boots, time))
        if self._level & PRIV:
            scoped = self._keys.decrypt(scoped, (boots, time), salt)
        return self._answer(scoped)

    def _careful(self, data: bytes, span: tuple[int, int], now: float) -> bytes | Verdict:
        """Read any message. Raises DecodeError."""
        message = v3.decode_v3(data)
        if not self._engine:
            return self._discovered(message, now)
        doubt = self._doubt(message, data, now) if message.flags & AUTH else ""
        if doubt:
            return self._not_believed(doubt)
        scoped = self._opened(message)
        if (message.flags & (AUTH | PRIV), message.engine_id, message.user) == self._whom:
            answer = self._answer(scoped)
            if answer is not None:
                self._envelope = Envelope(message, data, span)
                return answer
        pdu = v3.decode_scoped(scoped).pdu
        if pdu.tag != REPORT:
            return self._not_believed(_OTHER)
        return self._reported(pdu, message, now)

    def _answer(self, scoped: bytes) -> bytes | None:
        """Return the response in a scoped PDU of our context, None where it is none of these."""
        _, at, end = header(scoped, 0, len(scoped))
        inner = at + len(self._scope)
        if not scoped.startswith(self._scope, at) or scoped[inner : inner + 1] != _RESPONSE:
            return None
        self._refusal = None
        return tlv(Tag.SEQUENCE, OPENING + scoped[inner:end])

    def _discovered(self, message: MessageV3, now: float) -> Verdict:
        """Take the engine id from a report (RFC 3414 section 4); its clock is a guess so far."""
        if message.flags & (AUTH | PRIV) or not message.engine_id:
            return Verdict.NOT_BELIEVED
        try:
            if v3.decode_scoped(message.scoped).pdu.tag != REPORT:
                return Verdict.NOT_BELIEVED
        except DecodeError:
            return Verdict.MALFORMED
        told = self._credentials
        auth, priv = told.auth or "", told.priv or ""
        cisco = "c" if told.key_expansion == "cisco" and priv not in ("", "AES-128") else ""
        self._keys = usm.keys(
            auth.lower().replace("-", ""),
            told.auth_key.get_secret_value() if told.auth_key else "",
            priv.lower().replace("-", "") + cisco,
            told.priv_key.get_secret_value() if told.priv_key else "",
            message.engine_id,
        )
        self._engine = message.engine_id
        self._scope = tlv(Tag.OCTET_STRING, self._engine) + tlv(Tag.OCTET_STRING, b"")
        self._guess = EngineClock(message.boots, message.time, now)
        self._whom = (self._level, self._engine, self._name)
        return Verdict.AGAIN

    def _doubt(self, message: MessageV3, data: bytes, now: float) -> str:
        """Return why a message that says it is authentic is not; "" where it is."""
        whose = message.engine_id == self._engine and message.user == self._name
        if not whose or not self._level & AUTH:
            return _OTHER
        if not self._keys.authentic(data, message.auth_at, message.auth):
            return _NOT_AUTHENTIC
        if not self._timely(message.boots, message.time, now):
            return _PAST.format(message.boots, message.time)
        return ""

    def _timely(self, boots: int, time: int, now: float) -> bool:
        """RFC 3414 section 3.2 (7) b, for authentic messages: the other side is authoritative."""
        clock = self._clock
        if boots == v3.MOST_BOOTS:
            return False
        if clock is None:
            self._clock = EngineClock(boots, time, now)
            return True
        return clock.advance(boots, time, now) or not clock.late(boots, time, now)

    def _opened(self, message: MessageV3) -> bytes:
        """Return the scoped PDU. Raises DecodeError. RFC 3414 section 3.2 (8)."""
        if not message.flags & PRIV:
            return message.scoped
        if not self._level & PRIV or len(message.priv) != usm.SALT_OCTETS:
            raise DecodeError("privacy that was not asked for, or no salt")
        return self._keys.decrypt(message.scoped, (message.boots, message.time), message.priv)

    def _not_believed(self, why: str) -> Verdict:
        self._refusal = (Blind.MALFORMED, why)
        return Verdict.NOT_BELIEVED

    def _reported(self, pdu: Pdu, message: MessageV3, now: float) -> Verdict:
        """Take a report. Only an authentic one has set the clock by now."""
        oid = pdu.varbinds[0].oid if pdu.varbinds else ""
        number = oid.removeprefix(_USM_STATS).partition(".")[0]
        stat = int(number) if oid.startswith(_USM_STATS) and len(number) == 1 else 0
        if stat == _NOT_IN_WINDOW and self._level & AUTH:
            if not message.flags & AUTH:
                return self._not_believed(_NOT_AUTHENTIC)
            self._refusal = (Blind.REJECTED, _REPORTS[stat])
            return Verdict.AGAIN
        if stat == _UNKNOWN_ENGINE and message.engine_id != self._engine:
            self.forget()
            return self._discovered(message, now)
        why = _REPORTS.get(stat) or f"the device answers with the report {oid or 'of nothing'}"
        self._refusal = (Blind.REJECTED, why)
        # Of the same engine id: perhaps this request went out before it was known.
        return Verdict.AGAIN if stat == _UNKNOWN_ENGINE else Verdict.REFUSED
