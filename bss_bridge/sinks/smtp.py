"""Mail to customer care. At least once: the Message-ID is the same on every attempt."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from email.message import EmailMessage

import aiosmtplib

from bss_bridge.settings import SmtpSinkSettings
from bss_bridge.sinks.mail import mail
from netopsd.errors import Refused, TryLater
from netopsd.ports import Message

# "Authentication required" and its kin (RFC 4954 section 6) are about us, not about the mail.
ABOUT_US = (530, 534, 535, 538)


class SmtpSink:
    """Sends each message to every configured recipient, over a connection of its own.

    Where a server takes some recipients and not others, only the others are tried again.
    """

    def __init__(self, settings: SmtpSinkSettings) -> None:
        self._settings = settings
        self._reached: dict[str, set[str]] = {}  # recipients by key, of mails not finished

    async def deliver(self, message: Message) -> None:
        """Return once the server took the mail for every recipient.

        A 5xx about the mail or a recipient is Refused. 4xx, timeouts, trouble before the mail was
        offered (connection, TLS, log-in) and a log-in asked for in any reply are TryLater.
        """
        made = mail(message, self._settings.sender, self._settings.to)
        reached = self._reached.get(message.key, set())
        left = [address for address in self._settings.to if address not in reached]
        refused = await self._send(made, left)
        if not refused:
            self._reached.pop(message.key, None)
            return
        self._reached[message.key] = reached | (set(left) - set(refused))
        why = "; ".join(
            f"{address}: {code} {_short(text)}" for address, (code, text) in refused.items()
        )
        if all(500 <= code < 600 and code not in ABOUT_US for code, _ in refused.values()):
            self._reached.pop(message.key, None)
            raise Refused(why)
        raise TryLater(why)

    async def close(self) -> None:
        """Nothing stays open between mails."""

    async def _send(self, made: EmailMessage, to: Sequence[str]) -> Mapping[str, tuple[int, str]]:
        """Offer the mail; return who was refused it."""
        settings = self._settings
        try:
            client = aiosmtplib.SMTP(
                hostname=settings.host,
                port=settings.port,
                timeout=settings.timeout_s,
                use_tls=settings.tls == "tls",
                start_tls=settings.tls == "starttls",
                tls_context=self._tls(),
                username=settings.username or None,
                password=settings.password.get_secret_value() or None,
            )
            async with client:
                return await self._offer(client, made, to)
        except (aiosmtplib.SMTPException, OSError) as error:
            raise TryLater(f"{settings.host}: {_short(error)}") from error

    async def _offer(
        self, client: aiosmtplib.SMTP, made: EmailMessage, to: Sequence[str]
    ) -> Mapping[str, tuple[int, str]]:
        try:
            refused, _ = await client.send_message(
                made, sender=self._settings.sender, recipients=to
            )
        except aiosmtplib.SMTPRecipientsRefused as all_of_them:
            return {one.recipient: (one.code, one.message) for one in all_of_them.recipients}
        except aiosmtplib.SMTPResponseException as error:
            return dict.fromkeys(to, (error.code, error.message))
        return {address: (reply.code, reply.message) for address, reply in refused.items()}

    def _tls(self) -> ssl.SSLContext | None:
        if self._settings.tls == "none":
            return None
        ca_file = self._settings.ca_file
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)


def _short(error: object) -> str:
    """A server's words, printable and bounded."""
    text = str(error) or type(error).__name__
    return ascii(text)[1:-1][:300]
