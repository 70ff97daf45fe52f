"""Mail to care, through a real SMTP server."""

from __future__ import annotations

import asyncio
import email
import email.policy
import socket
from datetime import timedelta
from email.message import EmailMessage

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from bss_bridge.canonical import canonical
from bss_bridge.settings import SmtpSinkSettings
from bss_bridge.sinks.mail import mail
from bss_bridge.sinks.smtp import SmtpSink
from bss_bridge.translate import Route, Translator
from netopsd.core.outcome import Notice
from netopsd.errors import Refused, TryLater
from netopsd.ports import Message
from tests.bss_bridge.peers import mailbox
from tests.bss_bridge.world import T0, contract, customer, down, message, outage, violated

CARE = Route(sink="care", topics=("care.*",), digest_from=5)


def sink(port: int, **changes: object) -> SmtpSink:
    said: dict[str, object] = {
        "name": "care",
        "host": "127.0.0.1",
        "port": port,
        "tls": "none",
        "sender": "noc@isp.example",
        "to": ["care@isp.example"],
        "timeout_s": 2,
    }
    return SmtpSink(SmtpSinkSettings.model_validate(said | changes))


def notices(*said: Notice) -> list[Message]:
    return Translator([contract()], [CARE], [customer()])(said)


def read(raw: bytes) -> EmailMessage:
    made = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(made, EmailMessage)
    return made


def part(made: EmailMessage, kind: str) -> str:
    body = made.get_body((kind,))
    assert body is not None
    return str(body.get_content())


def test_care_gets_a_readable_mail_in_plain_text_and_html() -> None:
    with mailbox() as box:
        for said in notices(violated()):
            asyncio.run(sink(box.port).deliver(said))
        (raw,) = box.mails
    made = read(raw)
    assert made["Subject"] == "Fjord AS: SLA of Fibre Bergen broken in 2026-11"
    assert (made["From"], made["To"]) == ("noc@isp.example", "care@isp.example")
    for kind in ("plain", "html"):
        text = part(made, kind)
        assert "A credit of NOK 149.00 comes with the bill of 2026-11-30" in text
        assert "kari@fjord.example" in text
        assert "2026-11-23T11:00:00+01:00" in text
    assert raw.endswith(b"\r\n")


def test_every_mail_of_an_incident_hangs_in_one_thread() -> None:
    ended = down(what="ended", outage=outage(ends=T0 + timedelta(hours=1)))
    with mailbox() as box:
        for said in notices(down(), violated(), ended, down("s2", outage=outage("s2"))):
            asyncio.run(sink(box.port).deliver(said))
        made = [read(raw) for raw in box.mails]
    assert len({one["References"] for one in made[:3]}) == 1
    assert made[3]["References"] != made[0]["References"]
    assert len({one["Message-ID"] for one in made}) == 4


def test_a_repeat_carries_the_same_message_id() -> None:
    (said,) = notices(down())
    with mailbox() as box:
        asyncio.run(sink(box.port).deliver(said))
        asyncio.run(sink(box.port).deliver(said))
        first, second = box.mails
    assert read(first)["Message-ID"] == read(second)["Message-ID"]


def test_five_hundred_customers_are_one_mail() -> None:
    many = [down(f"s{n}", customer=f"c{n}", service_name=f"Line {n}") for n in range(500)]
    with mailbox() as box:
        for said in notices(*many):
            asyncio.run(sink(box.port).deliver(said))
        (raw,) = box.mails
    text = part(read(raw), "plain")
    assert "500 services of 500 customers down because of one cause: fibre cut at Voss." in text


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        ("451 try again", TryLater),
        ("452 full", TryLater),
        ("421 going away", TryLater),
        ("554 spam", Refused),
        ("550 no", Refused),
        ("530 authentication required", TryLater),
        ("534 mechanism too weak", TryLater),
        ("535 credentials invalid", TryLater),
        ("538 encryption required", TryLater),
    ],
)
def test_the_servers_word_decides(reply: str, error: type[Exception]) -> None:
    with mailbox() as box:
        box.data_reply = reply
        with pytest.raises(error, match=reply[:3]):
            asyncio.run(sink(box.port).deliver(notices(down())[0]))


def test_only_who_was_not_reached_is_tried_again() -> None:
    (said,) = notices(down())
    with mailbox() as box:
        mailer = sink(box.port, to=["a@isp.example", "b@isp.example"])
        box.rcpt_replies["b@isp.example"] = "450 busy"
        with pytest.raises(TryLater, match=r"b@isp\.example: 450"):
            asyncio.run(mailer.deliver(said))
        box.rcpt_replies.clear()
        asyncio.run(mailer.deliver(said))
        assert box.recipients == [["a@isp.example"], ["b@isp.example"]]


def test_a_recipient_nobody_knows_is_refused() -> None:
    with mailbox() as box:
        box.rcpt_replies["care@isp.example"] = "550 no such user"
        with pytest.raises(Refused, match="550 no such user"):
            asyncio.run(sink(box.port).deliver(notices(down())[0]))


def test_a_server_that_does_not_know_us_may_another_time() -> None:
    """A password that ran out is no fault of the mails: they wait until it is mended."""
    (said,) = notices(down())
    with mailbox() as box:
        mailer = sink(box.port)
        box.mail_reply = "530 5.7.0 authentication required"
        with pytest.raises(TryLater, match="530"):
            asyncio.run(mailer.deliver(said))
        box.mail_reply = "250 OK"
        box.rcpt_replies["care@isp.example"] = "530 5.7.1 authentication required"
        with pytest.raises(TryLater, match="530"):
            asyncio.run(mailer.deliver(said))
        box.rcpt_replies.clear()
        asyncio.run(mailer.deliver(said))
        assert len(box.mails) == 1


def test_nobody_listening_is_tried_later() -> None:
    with pytest.raises(TryLater):
        asyncio.run(sink(1).deliver(notices(down())[0]))


def test_a_server_that_says_nothing_is_tried_later() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(TryLater):
        asyncio.run(sink(silent.getsockname()[1], timeout_s=0.2).deliver(notices(down())[0]))


def test_no_mail_goes_out_in_clear_where_tls_is_wanted() -> None:
    with mailbox() as box:
        with pytest.raises(TryLater, match="STARTTLS"):
            asyncio.run(sink(box.port, tls="starttls").deliver(notices(down())[0]))
        assert not box.mails


def test_markup_and_line_breaks_from_the_network_do_nothing() -> None:
    evil = "<script>alert(1)</script>\r\nBcc: all@isp.example\x1b[31m\u202e"
    said = notices(down(service_name=evil, cause=evil, outage=outage()))[0]
    with mailbox() as box:
        asyncio.run(sink(box.port).deliver(said))
        made = read(box.mails[0])
        assert box.recipients == [["care@isp.example"]]
    assert made["Bcc"] is None
    assert "<script>" not in part(made, "html")
    assert "&lt;script&gt;" in part(made, "html")
    assert "\x1b" not in part(made, "plain")


HEADERS = {
    *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
    *("MIME-Version", "Content-Type"),
}
PIECES = ("=?", "?=", "utf-8", "?q?", "?b?", "=0d=0a", "_", ":", " ", "x", "é", "Bcc", "\r\n", "=")
FORGED = "=?utf-8?q?x=0d=0aReply-To:_evil@x.example=0d=0a=0d=0aPay_to_account_4711?="


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@example(FORGED)
@example(f"Fjord AS: {FORGED} is down")
@example("x" + FORGED.replace("=?", "=\0?", 1))
@example("=?utf-8?b?eA0KUmVwbHktVG86IGV2aWxAeC5leGFtcGxlDQoNClBheQ==?=")
def test_no_name_of_a_service_writes_a_header_or_the_body(name: str) -> None:
    body = canonical({"event": {"careNotice": {"subject": name}}})
    made = read(mail(message(body=body), "a@b.c", ["d@e.f"]).as_bytes())
    assert set(made.keys()) == HEADERS
    assert made.get_content_type() == "multipart/alternative"


def test_what_has_no_form_for_care_is_still_a_mail() -> None:
    made = mail(message(body='{"event":{"x":{"a":[1,true,null,{"b":"c"}]}}}'), "a@b.c", ["d@e.f"])
    assert made["Subject"] == "test.message"
    assert "a 2: yes" in part(made, "plain")


@settings(max_examples=100, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.text() | st.integers(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_any_body_is_a_mail_or_refused(content: object) -> None:
    for body in (canonical({"event": content}), canonical({"event": {"careNotice": content}})):
        try:
            made = mail(message(body=body), "a@b.c", ["d@e.f"])
        except Refused:
            continue
        read(made.as_bytes())


@pytest.mark.parametrize("body", ["", "null", "[]", "{}", '{"event":{}}', "[" * 100_000])
def test_no_mail_can_be_made_of_nonsense(body: str) -> None:
    with pytest.raises(Refused):
        mail(message(body=body), "a@b.c", ["d@e.f"])
