"""Who may do what: every route, every role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

OPEN, READ, ACT = "open", "read", "act"
EXPECTED = {
    ("GET", "/"): OPEN,
    ("GET", "/docs"): OPEN,
    ("GET", "/assets/{name}"): OPEN,
    ("GET", "/openapi.json"): OPEN,
    ("GET", "/health"): OPEN,
    ("GET", "/ready"): OPEN,
    ("GET", "/metrics"): READ,
    ("GET", "/api/v1/alarms"): READ,
    ("GET", "/api/v1/alarms/history"): READ,
    ("GET", "/api/v1/alarms/{key:alarm}"): READ,
    ("POST", "/api/v1/alarms/{key:alarm}/ack"): ACT,
    ("POST", "/api/v1/alarms/{key:alarm}/unack"): ACT,
    ("POST", "/api/v1/alarms/{key:alarm}/shelve"): ACT,
    ("POST", "/api/v1/alarms/{key:alarm}/unshelve"): ACT,
    ("GET", "/api/v1/tickets"): READ,
    ("GET", "/api/v1/tickets/{id}"): READ,
    ("POST", "/api/v1/tickets/{id}/notes"): ACT,
    ("POST", "/api/v1/tickets/{id}/status"): ACT,
    ("GET", "/api/v1/sla"): READ,
    ("GET", "/api/v1/usage"): READ,
    ("GET", "/api/v1/devices"): READ,
    ("GET", "/api/v1/orders"): READ,
    ("GET", "/api/v1/orders/{id}"): READ,
    ("POST", "/api/v1/orders"): ACT,
    ("POST", "/api/v1/orders/compare"): ACT,
    ("POST", "/api/v1/orders/{id}/cancel"): ACT,
    ("POST", "/api/v1/orders/{id}/hold"): ACT,
    ("POST", "/api/v1/orders/{id}/resume"): ACT,
    ("GET", "/api/v1/outbox"): READ,
    ("POST", "/api/v1/outbox/{id}/retry"): ACT,
    ("POST", "/api/v1/outbox/{id}/park"): ACT,
}
# who asks: (token, address) → what is refused to them, with which status, reading closed | open
NOBODY_HERE = ("", "127.0.0.1")
NOBODY_ELSEWHERE = ("", "192.0.2.7")
READER = ("reader-token-0001", "192.0.2.7")
OPERATOR = ("operator-token-0001", "192.0.2.7")
STRANGER = ("some-other-token-1", "127.0.0.1")
REFUSED: dict[tuple[tuple[str, str], bool], dict[str, int]] = {
    (NOBODY_HERE, False): {ACT: 401},
    (NOBODY_HERE, True): {READ: 401, ACT: 401},
    (NOBODY_ELSEWHERE, False): {READ: 401, ACT: 401},
    (NOBODY_ELSEWHERE, True): {READ: 401, ACT: 401},
    (READER, False): {READ: 401, ACT: 401},  # there is no such token then
    (READER, True): {ACT: 403},
    (OPERATOR, False): {},
    (OPERATOR, True): {},
    (STRANGER, False): {READ: 401, ACT: 401},
    (STRANGER, True): {READ: 401, ACT: 401},
}


def routes(app: Any) -> set[tuple[str, str]]:
    return {
        (method, str(route.path))
        for route in iter_route_contexts(app.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }


def test_every_route_is_in_the_table_and_the_table_names_only_routes(site: Any) -> None:
    assert routes(site.app) == set(EXPECTED)


@pytest.mark.parametrize(("who", "reader_configured"), REFUSED)
def test_every_cell_of_role_and_route(
    make_site: Callable[..., Any],
    tokens: tuple[Any, ...],
    who: tuple[str, str],
    reader_configured: bool,
) -> None:
    site = make_site(tokens=tokens if reader_configured else tokens[1:])
    token, client = who
    for (method, path), level in EXPECTED.items():
        real = path.replace("{key:alarm}", "a/b!c").replace("{id}", "1").replace("{name}", "x")
        answer = site.ask(method, real, token=token, client=client, json={})
        expected = REFUSED[who, reader_configured].get(level)
        if expected is None:
            assert answer.status_code not in (401, 403), (method, path)
        else:
            assert answer.status_code == expected, (method, path)
            assert ("www-authenticate" in answer.headers) == (expected == 401)


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_a_method_nobody_thought_of_needs_an_operator(site: Any, method: str) -> None:
    for path in ("/", "/health", "/api/v1/alarms", "/nowhere"):
        assert site.ask(method, path).status_code == 401


def test_a_path_nobody_thought_of_needs_a_reader(site: Any) -> None:
    assert site.ask("GET", "/nowhere", client="192.0.2.7").status_code == 401
    assert site.ask("GET", "/nowhere").status_code == 404


@pytest.mark.parametrize(
    "header",
    ["operator-token-0001", "Basic YTpi", "Bearer", "Bearer ", "Bearer a b", "Bearer " + "x" * 600],
)
def test_what_is_not_one_bearer_token_is_refused(site: Any, header: str) -> None:
    answer = site.ask("GET", "/api/v1/alarms", headers={"authorization": header})
    assert answer.status_code == 401


@pytest.mark.parametrize("host", ["netops.example", "127.0.0.1.nip.io", "localhost@x", "", "a/b"])
def test_a_name_that_is_not_ours_is_refused(site: Any, host: str) -> None:
    assert site.ask("GET", "/api/v1/alarms", headers={"host": host}).status_code in (400, 421)


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:9280", "127.0.0.1:9280", "[::1]:9280", "192.0.2.1"]
)
def test_addresses_and_localhost_are_ours(site: Any, host: str) -> None:
    assert site.ask("GET", "/health", headers={"host": host}).status_code == 200


def test_a_configured_name_is_ours(make_site: Callable[..., Any]) -> None:
    site = make_site(hosts=("NetOps.example",))
    assert site.ask("GET", "/health", headers={"host": "netops.example:80"}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"origin": "https://evil.example"},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ],
)
def test_a_page_from_elsewhere_cannot_act(site: Any, headers: dict[str, str]) -> None:
    answer = site.ask(
        "POST", "/api/v1/outbox/7/retry", token="operator-token-0001", headers=headers
    )
    assert answer.status_code == 403
    assert site.beliefs.retried == []


def test_a_page_of_our_own_can_act(site: Any) -> None:
    answer = site.ask(
        "POST", "/api/v1/outbox/7/retry", token="operator-token-0001",
        headers={"origin": "http://localhost", "sec-fetch-site": "same-origin"},
    )  # fmt: skip
    assert answer.status_code == 204


@pytest.mark.parametrize("path", ["/", "/health", "/api/v1/alarms", "/nowhere", "/docs"])
def test_every_answer_carries_the_security_headers(site: Any, path: str) -> None:
    for client in ("127.0.0.1", "192.0.2.7"):
        headers = site.ask("GET", path, client=client).headers
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self';")
        assert "require-trusted-types-for 'script'" in policy
        assert "unsafe" not in policy
        assert not [name for name in headers if name.startswith("access-control-")]
