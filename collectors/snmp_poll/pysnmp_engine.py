"""Any version by pysnmp: the plain alternative, for a device the other engines do not please.

Slow (some thousand values a second) and not for hostile networks: one malformed datagram can hold
the event loop for 0.2 s. Its engine object is shared by all its sessions.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Sequence
from typing import Any

from pyasn1.error import PyAsn1Error
from pysnmp.error import PySnmpError
from pysnmp.hlapi.v3arch import asyncio as hlapi

from collectors.snmp_codec.message import Pdu, VarBind
from collectors.snmp_poll.engine import Values, Walked
from collectors.snmp_poll.narrow import Reply, TextPlan, fetch, text_plan
from collectors.snmp_poll.plan import Wanted
from collectors.snmp_poll.settings import Auth, Credentials, Priv, SnmpPollSettings, Target
from collectors.snmp_poll.stats import Counts
from collectors.snmp_poll.walk import Walk
from netopsd.core.model import Blind
from netopsd.errors import CannotLook
from netopsd.ports import Clock

SYS_UPTIME = "1.3.6.1.2.1.1.3.0"
LARGEST_REQUEST = 60
_AUTH = {
    None: hlapi.USM_AUTH_NONE,
    Auth.MD5: hlapi.USM_AUTH_HMAC96_MD5,
    Auth.SHA_1: hlapi.USM_AUTH_HMAC96_SHA,
    Auth.SHA_224: hlapi.USM_AUTH_HMAC128_SHA224,
    Auth.SHA_256: hlapi.USM_AUTH_HMAC192_SHA256,
    Auth.SHA_384: hlapi.USM_AUTH_HMAC256_SHA384,
    Auth.SHA_512: hlapi.USM_AUTH_HMAC384_SHA512,
}
_PRIV = {
    (None, "blumenthal"): hlapi.USM_PRIV_NONE,
    (None, "cisco"): hlapi.USM_PRIV_NONE,
    (Priv.AES_128, "blumenthal"): hlapi.USM_PRIV_CFB128_AES,
    (Priv.AES_128, "cisco"): hlapi.USM_PRIV_CFB128_AES,
    (Priv.AES_192, "blumenthal"): hlapi.USM_PRIV_CFB192_AES_BLUMENTHAL,
    (Priv.AES_192, "cisco"): hlapi.USM_PRIV_CFB192_AES,
    (Priv.AES_256, "blumenthal"): hlapi.USM_PRIV_CFB256_AES_BLUMENTHAL,
    (Priv.AES_256, "cisco"): hlapi.USM_PRIV_CFB256_AES,
}
# What pysnmp says where credentials do not fit (RFC 3414 section 3.2).
_REFUSALS = ("user", "digest", "decrypt", "authenticat", "securitylevel", "security level")


def _auth(credentials: Credentials) -> Any:
    if credentials.version != "3":
        secret = credentials.community
        community = secret.get_secret_value() if secret else ""
        return hlapi.CommunityData(community, mpModel=0 if credentials.version == "1" else 1)
    auth, priv = credentials.auth_key, credentials.priv_key
    return hlapi.UsmUserData(
        credentials.user,
        authKey=auth.get_secret_value() if auth else None,
        privKey=priv.get_secret_value() if priv else None,
        authProtocol=_AUTH[credentials.auth],
        privProtocol=_PRIV[credentials.priv, credentials.key_expansion],
    )


def _bind(told: Any) -> VarBind:
    """Return pysnmp's (name, value) as ours."""
    name, value = told
    tags = value.tagSet
    tag = int(tags[len(tags) - 1].tagClass | tags[len(tags) - 1].tagId) if len(tags) else 5
    if tag in (0x02, 0x41, 0x42, 0x43, 0x46, 0x47):
        return VarBind(str(name), tag, int(value))
    if tag in (0x04, 0x44):
        return VarBind(str(name), tag, bytes(value))
    if tag in (0x06, 0x40):
        return VarBind(str(name), tag, value.prettyPrint())
    return VarBind(str(name), tag, None)


class PysnmpSession:
    """One device through pysnmp."""

    def __init__(
        self,
        target: Target,
        settings: SnmpPollSettings,
        counts: Counts,
        clock: Clock,
        engine: Any,
    ) -> None:
        self._target = target
        self._settings = settings
        self._counts = counts
        self._clock = clock
        self._engine = engine
        self._auth = _auth(target.credentials)
        self._transport: Any = None

    def plan(self, wanted: Wanted, most: int) -> TextPlan:
        return text_plan(wanted, min(most, LARGEST_REQUEST))

    def _silent(self) -> CannotLook:
        where = f"{self._target.address} port {self._target.port}"
        return CannotLook(self._target.name, Blind.UNREACHABLE, f"no answer from {where}")

    async def _at(self) -> Any:
        if self._transport is None:
            target, settings = self._target, self._settings
            kind = hlapi.UdpTransportTarget
            try:
                if ipaddress.ip_address(target.address.partition("%")[0]).version == 6:
                    kind = hlapi.Udp6TransportTarget
            except ValueError:
                pass
            try:
                self._transport = await kind.create(
                    (target.address, target.port),
                    timeout=target.timeout_s or settings.timeout_s,
                    retries=settings.retries if target.retries is None else target.retries,
                )
            except (PySnmpError, OSError) as error:
                raise CannotLook(target.name, Blind.UNREACHABLE, str(error)) from error
        return self._transport

    async def _call(self, command: Any, *numbers: int, oids: Sequence[str]) -> Pdu | None:
        """Return the answer, None where none came. CannotLook where the user was refused."""
        transport = await self._at()
        binds = [hlapi.ObjectType(hlapi.ObjectIdentity(oid)) for oid in oids]
        context = hlapi.ContextData()
        self._counts.sent += 1
        try:
            said, status, index, told = await command(
                self._engine, self._auth, transport, context, *numbers, *binds, lookupMib=False
            )
            if said is not None:
                self._refused(str(said))
                self._counts.timeouts += 1
                return None
            self._counts.received += 1
            answer = tuple(_bind(each) for each in told)
        except (PySnmpError, PyAsn1Error, ValueError, OverflowError, OSError) as error:
            self._counts.decode_errors += 1
            raise CannotLook(self._target.name, Blind.MALFORMED, str(error)[:200]) from error
        return Pdu(0xA2, 0, int(status), int(index), answer)

    def _refused(self, said: str) -> None:
        if any(word in said.replace("_", "").lower() for word in _REFUSALS):
            user = self._target.credentials.user
            raise CannotLook(self._target.name, Blind.REJECTED, f"SNMPv3 user {user}: {said}")

    async def probe(self) -> None:
        """Return where sysUpTime is answered, be it with an error; CannotLook where not."""
        if await self._call(hlapi.get_cmd, oids=[SYS_UPTIME]) is None:
            raise self._silent()

    async def get(self, plan: TextPlan) -> Values:
        """Return what could be read. CannotLook where no answer came."""
        values = await fetch(plan, self._ask, self._clock)
        if values is None:
            raise self._silent()
        self._counts.varbinds += len(plan.oids) - len(values.wrong)
        return values

    async def _ask(self, oids: Sequence[str]) -> Reply | None:
        pdu = await self._call(hlapi.get_cmd, oids=oids)
        if pdu is None:
            return None
        return Reply(
            {bind.oid: (bind.tag, bind.value) for bind in pdu.varbinds},
            pdu.error_status,
            pdu.error_index,
        )

    async def walk(self, columns: Sequence[str], repetitions: int) -> Walked:
        """Return the instances of each column, interleaved; bounded as ours are."""
        bulk = self._target.credentials.version != "1"
        walk = Walk(columns, repetitions, self._settings.walk_varbinds, bulk)
        self._counts.walks += 1
        until = asyncio.get_running_loop().time() + self._settings.walk_max_s
        heard = False
        while oids := walk.asking():
            if bulk:
                pdu = await self._call(hlapi.bulk_cmd, 0, walk.asking_repetitions, oids=oids)
            else:
                pdu = await self._call(hlapi.next_cmd, oids=oids)
            if pdu is None:
                if not heard:
                    raise self._silent()
                walk.stop("timeout")
            elif pdu.error_status:
                heard = True
                walk.refused(pdu)
            else:
                heard = True
                walk.take(pdu.varbinds)
            if asyncio.get_running_loop().time() > until:
                walk.stop("the walk took too long")
        result = walk.result()
        for reason in result.errors.values():
            self._counts.walk_error(reason)
        return result

    def together(self, plan: TextPlan) -> None:
        """Return None: each device has a session, and is asked, by itself."""

    async def close(self) -> None:
        self._transport = None
