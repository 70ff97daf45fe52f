"""Mail and webhook over TLS: to whom the given authority vouches for, and to nobody else."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from bss_bridge.canonical import digest
from bss_bridge.settings import SmtpSinkSettings, WebhookSinkSettings
from bss_bridge.sinks.smtp import SmtpSink
from bss_bridge.sinks.webhook import WebhookSink
from netopsd.clock import ManualClock
from netopsd.errors import TryLater
from tests.bss_bridge.authority import Authority, authority
from tests.bss_bridge.peers import BillingStub, billing, mailbox
from tests.bss_bridge.world import T0, message

PASSWORD = "a password for the mail server"
SAID = message(body='{"event":{"x":{"a":1}}}')


@pytest.fixture(scope="module")
def trusted(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("trusted"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("stranger"))


# ---- mail


def care(port: int, tls: str, ca_file: Path | None, **more: object) -> SmtpSink:
    said: dict[str, object] = {
        "name": "care", "host": "127.0.0.1", "port": port, "tls": tls, "ca_file": ca_file,
        "sender": "noc@isp.example", "to": ["care@isp.example"], "timeout_s": 5,
    }  # fmt: skip
    return SmtpSink(SmtpSinkSettings.model_validate(said | more))


def listens(tls: str, by: Authority) -> dict[str, Any]:
    """Return how the mail server is to listen; after STARTTLS only where that is its way."""
    if tls == "tls":
        return {"ssl_context": by.server}
    return {"tls_context": by.server, "require_starttls": True}


both = pytest.mark.parametrize("tls", ["starttls", "tls"])


@both
def test_mail_reaches_a_server_the_authority_vouches_for(tls: str, trusted: Authority) -> None:
    with mailbox(**listens(tls, trusted)) as box:
        asyncio.run(care(box.port, tls, trusted.ca_file).deliver(SAID))
        assert box.recipients == [["care@isp.example"]]


@both
@pytest.mark.parametrize("given", ["nothing", "another authority"])
def test_mail_goes_to_no_server_a_stranger_vouches_for(
    tls: str, given: str, trusted: Authority, stranger: Authority
) -> None:
    ca_file = None if given == "nothing" else stranger.ca_file
    with mailbox(**listens(tls, trusted)) as box:
        with pytest.raises(TryLater, match="certificate verify failed"):
            asyncio.run(care(box.port, tls, ca_file).deliver(SAID))
        assert not box.mails


@both
def test_mail_goes_to_no_server_of_another_name(tls: str, tmp_path: Path) -> None:
    other = authority(tmp_path, names=("mail.isp.example", "127.0.0.2"))
    with mailbox(**listens(tls, other)) as box:
        with pytest.raises(TryLater, match=r"not valid for '127\.0\.0\.1'"):
            asyncio.run(care(box.port, tls, other.ca_file).deliver(SAID))
        assert not box.mails


def test_the_password_is_said_after_starttls_only(trusted: Authority) -> None:
    heard: list[tuple[bytes, bytes, bool]] = []

    def judge(
        server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        heard.append((data.login, data.password, session.ssl is not None))
        return AuthResult(success=True)

    how = listens("starttls", trusted)
    with mailbox(**how, authenticator=judge, auth_required=True) as box:
        sink = care(box.port, "starttls", trusted.ca_file, username="noc", password=PASSWORD)
        asyncio.run(sink.deliver(SAID))
        assert len(box.mails) == 1
    assert heard == [(b"noc", PASSWORD.encode(), True)]


# ---- webhook


class NamingLoop(asyncio.SelectorEventLoop):
    """A resolver that knows billing.example: it is this machine."""

    async def getaddrinfo(self, host: Any, port: Any, **how: Any) -> Any:
        if host != "billing.example":
            return await super().getaddrinfo(host, port, **how)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


def posted(by: Authority, ca_file: Path | None, host: str = "127.0.0.1") -> BillingStub:
    """Post one message to a billing system that listens with the certificate of `by`."""

    async def run() -> BillingStub:
        async with billing(tls=by.server) as stub:
            told.append(stub)
            said = {
                "name": "billing", "url": f"https://{host}:{stub.port}/usage", "ca_file": ca_file,
                "secret": "a secret of the right length", "allow": ["127.0.0.0/8"], "timeout_s": 5,
            }  # fmt: skip
            hook = WebhookSink(WebhookSinkSettings.model_validate(said), ManualClock(T0))
            try:
                await hook.deliver(SAID)
            finally:
                await hook.close()
        return stub

    told: list[BillingStub] = []
    with asyncio.Runner(loop_factory=NamingLoop) as runner:
        try:
            return runner.run(run())
        except TryLater:
            assert not told[0].requests, "nothing was said before the certificate was judged"
            raise


def test_a_message_reaches_a_billing_system_the_authority_vouches_for(trusted: Authority) -> None:
    stub = posted(trusted, trusted.ca_file)
    assert stub.booked == {digest(SAID.key): SAID.body.encode()}


def test_a_billing_system_is_known_by_its_name_not_by_its_address(tmp_path: Path) -> None:
    named = authority(tmp_path, names=("billing.example",))
    stub = posted(named, named.ca_file, host="billing.example")
    assert stub.requests[0][1]["host"] == f"billing.example:{stub.port}"
    with pytest.raises(TryLater, match=r"not valid for '127\.0\.0\.1'"):
        posted(named, named.ca_file)


def test_a_certificate_of_the_address_does_not_do_for_the_name(trusted: Authority) -> None:
    with pytest.raises(TryLater, match=r"not valid for 'billing\.example'"):
        posted(trusted, trusted.ca_file, host="billing.example")


@pytest.mark.parametrize("given", ["nothing", "another authority"])
def test_no_message_goes_to_a_billing_system_a_stranger_vouches_for(
    given: str, trusted: Authority, stranger: Authority
) -> None:
    with pytest.raises(TryLater, match="certificate verify failed"):
        posted(trusted, None if given == "nothing" else stranger.ca_file)
