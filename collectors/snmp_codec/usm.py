"""Keys, digests and ciphers of SNMPv3's User-based Security Model (RFC 3414, RFC 3826, RFC 7860).

For those who ask and those who are told. No sockets and no state: whoever calls decides what is
believed, and in which order it is checked (RFC 3414 section 3).
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from functools import lru_cache

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from collectors.snmp_codec.v3 import AUTH, PRIV, MessageV3, encode_v3, size_of

KEPT = {  # octets of the HMAC that are sent (RFC 3414 section 6, RFC 7860 section 4)
    "md5": 12,
    "sha1": 12,
    "sha224": 16,
    "sha256": 24,
    "sha384": 32,
    "sha512": 48,
}
# Octets of the key: RFC 3826, and the two ways to make a longer one than the digest gives:
# draft-blumenthal-aes-usm-04 (net-snmp), and with "c" draft-reeder-snmpv3-usm-3desede (Cisco).
KEY_OCTETS = {"aes128": 16, "aes192": 24, "aes256": 32, "aes192c": 24, "aes256c": 32}
SALT_OCTETS = 8  # RFC 3826 section 3.1.2.1
STRETCHED = 1 << 20  # octets of repeated passphrase (RFC 3414 section A.2)


@dataclass(frozen=True, slots=True)
class Keys:
    """One user's keys at one engine; `auth` is the hash, `aes` None where there is no privacy."""

    auth: str
    auth_key: bytes
    aes: algorithms.AES | None

    @property
    def kept(self) -> int:
        """Octets of msgAuthenticationParameters; 0 without authentication."""
        return KEPT[self.auth] if self.auth else 0

    def mac(self, blank: bytes) -> bytes:
        """Return the digest of a message whose authentication parameters are zeros."""
        return hmac.digest(self.auth_key, blank, self.auth)[: KEPT[self.auth]]

    def authentic(self, data: bytes, at: int, auth: bytes) -> bool:
        """Return whether `auth`, which stands at `at` in `data`, is its digest."""
        size = len(auth)
        blank = b"".join((data[:at], bytes(size), data[at + size :]))
        return hmac.compare_digest(self.mac(blank), auth)

    def encrypt(self, plain: bytes, moment: tuple[int, int], salt: bytes) -> bytes:
        """Return `plain` encrypted. `moment` is the authoritative engine's boots and time."""
        return self._cipher(moment, salt).encryptor().update(plain)

    def decrypt(self, secret: bytes, moment: tuple[int, int], salt: bytes) -> bytes:
        """Return `secret` decrypted; with other keys than it was made with, octets of no sense.

        ValueError where `salt` is not of eight octets.
        """
        return self._cipher(moment, salt).decryptor().update(secret)

    def _cipher(self, moment: tuple[int, int], salt: bytes) -> Cipher[CFB]:
        """RFC 3826 section 3.1.2.1: the first block is boots, time and salt."""
        assert self.aes is not None, "a user without privacy"
        boots, time = moment
        return Cipher(self.aes, CFB(boots.to_bytes(4, "big") + time.to_bytes(4, "big") + salt))


NO_KEYS = Keys("", b"", None)


@lru_cache(maxsize=256)
def master(auth: str, passphrase: bytes) -> bytes:
    """Return Ku of a passphrase (RFC 3414 section A.2). Takes milliseconds: remembered."""
    times = STRETCHED // len(passphrase) + 1
    return _digest(auth, (passphrase * times)[:STRETCHED])


def localized(auth: str, ku: bytes, engine_id: bytes) -> bytes:
    """Return Kul, the key at one engine (RFC 3414 section 2.6)."""
    return _digest(auth, ku + engine_id + ku)


def keys(auth: str, auth_key: str, priv: str, priv_key: str, engine_id: bytes) -> Keys:
    """Return a user's keys at an engine. `auth` "" is a user without keys, `priv` "" without AES.

    Passphrases are of at least one octet. KeyError where there is no such algorithm.
    """
    if not auth:
        return NO_KEYS
    key = localized(auth, master(auth, auth_key.encode()), engine_id)
    if not priv:
        return Keys(auth, key, None)
    wide = KEY_OCTETS[priv]
    secret = part = localized(auth, master(auth, priv_key.encode()), engine_id)
    while len(secret) < wide:
        if priv.endswith("c"):  # Reeder: the last part is the next passphrase
            part = localized(auth, master(auth, part), engine_id)
        else:
            part = _digest(auth, secret)
        secret += part
    return Keys(auth, key, algorithms.AES(secret[:wide]))


def _digest(auth: str, data: bytes) -> bytes:
    return hashlib.new(auth, data, usedforsecurity=False).digest()


def sealed(message: MessageV3, keys: Keys) -> bytes:
    """Return the octets of `message`, encrypted and signed as its flags say (RFC 3414 section 3.1).

    Its `scoped` is plain, its `auth` of no matter, its `priv` the salt where it has privacy.
    """
    scoped = message.scoped
    if message.flags & PRIV:
        scoped = keys.encrypt(scoped, (message.boots, message.time), message.priv)
    kept = keys.kept if message.flags & AUTH else 0
    whole = encode_v3(message._replace(scoped=scoped, auth=bytes(kept)))
    if not kept:
        return whole
    behind = size_of(len(message.priv)) + (
        size_of(len(scoped)) if message.flags & PRIV else len(scoped)
    )
    at = len(whole) - behind - kept
    return b"".join((whole[:at], keys.mac(whole), whole[at + kept :]))
