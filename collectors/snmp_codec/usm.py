"""Keys, digests and ciphers of SNMPv3's User-based Security Model (RFC 3414, RFC 3826, RFC 7860).

For those who ask and those who are told. Whoever calls decides what is believed, and in which order
it is checked (RFC 3414 section 3).
"""

from __future__ import annotations

import hashlib
import hmac
from functools import lru_cache

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms
from cryptography.hazmat.primitives.ciphers.modes import ECB

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
BLOCK = 16  # octets, of AES
SALT_OCTETS = 8  # RFC 3826 section 3.1.2.1
STRETCHED = 1 << 20  # octets of repeated passphrase (RFC 3414 section A.2)


class Keys:
    """One user's keys at one engine, with what is made of them once and kept.

    `auth` is the hash; without it there is no authentication, without `priv_key` no privacy.
    A context of a cipher costs more than a packet's encryption. CFB's only state is the last block
    of ciphertext, so one context can begin anew: it is brought to take the next message's first
    block, the IV, for that. Messages are padded to whole blocks and the padding is not sent.
    """

    __slots__ = ("_decryptor", "_encryptor", "_hmac", "_last", "_one_block", "auth", "kept")

    def __init__(self, auth: str = "", auth_key: bytes = b"", priv_key: bytes = b"") -> None:
        self.auth = auth
        self.kept = KEPT[auth] if auth else 0  # octets of msgAuthenticationParameters
        self._hmac = hmac.new(auth_key, digestmod=auth) if auth else None
        self._last = bytes(BLOCK)  # the latest block of ciphertext, as `_encryptor` has it
        self._encryptor: CipherContext | None = None
        self._decryptor: CipherContext | None = None
        self._one_block: CipherContext | None = None
        if priv_key:
            aes = algorithms.AES(priv_key)
            self._one_block = Cipher(aes, ECB()).encryptor()  # of one block at a time
            self._encryptor = Cipher(aes, CFB(self._last)).encryptor()
            self._decryptor = Cipher(aes, CFB(self._last)).decryptor()

    def mac(self, blank: bytes) -> bytes:
        """Return the digest of a message whose authentication parameters are zeros."""
        assert self._hmac is not None, "a user without authentication"
        made = self._hmac.copy()
        made.update(blank)
        return made.digest()[: self.kept]

    def authentic(self, data: bytes, at: int, auth: bytes) -> bool:
        """Return whether `auth`, which stands at `at` in `data`, is its digest."""
        size = len(auth)
        blank = b"".join((data[:at], bytes(size), data[at + size :]))
        return hmac.compare_digest(self.mac(blank), auth)

    def encrypt(self, plain: bytes, moment: tuple[int, int], salt: bytes) -> bytes:
        """Return `plain` encrypted. `moment` is the authoritative engine's boots and time."""
        assert self._encryptor is not None and self._one_block is not None, "no privacy"
        size, start = len(plain), int.from_bytes(_iv(moment, salt), "big")
        feedback = int.from_bytes(self._one_block.update(self._last), "big")
        first = (start ^ feedback).to_bytes(BLOCK, "big")  # becomes the IV as it is encrypted
        made = self._encryptor.update(first + plain + bytes(-size % BLOCK))
        self._last = made[-BLOCK:]
        return made[BLOCK : BLOCK + size]

    def decrypt(self, secret: bytes, moment: tuple[int, int], salt: bytes) -> bytes:
        """Return `secret` decrypted; with other keys than it was made with, octets of no sense.

        `salt` is of eight octets.
        """
        assert self._decryptor is not None, "no privacy"
        size = len(secret)
        made = self._decryptor.update(_iv(moment, salt) + secret + bytes(-size % BLOCK))
        return made[BLOCK : BLOCK + size]


def _iv(moment: tuple[int, int], salt: bytes) -> bytes:
    """Return the initialization vector: boots, time, salt (RFC 3826 section 3.1.2.1)."""
    return moment[0].to_bytes(4, "big") + moment[1].to_bytes(4, "big") + salt


NO_KEYS = Keys()


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
        return Keys(auth, key)
    wide = KEY_OCTETS[priv]
    secret = part = localized(auth, master(auth, priv_key.encode()), engine_id)
    while len(secret) < wide:
        if priv.endswith("c"):  # Reeder: the last part is the next passphrase
            part = localized(auth, master(auth, part), engine_id)
        else:
            part = _digest(auth, secret)
        secret += part
    return Keys(auth, key, secret[:wide])


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
