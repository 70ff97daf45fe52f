"""Service orders over HTTP: TMF641 names in and out, refused in words."""

from __future__ import annotations

from typing import Any

TOKEN = "operator-token-0001"
ORDER: dict[str, Any] = {
    "externalId": "SO-1",
    "serviceOrderItem": [
        {
            "id": "1",
            "action": "add",
            "service": {
                "id": "vpn-acme",
                "serviceSpecification": {"id": "l2vpn"},
                "billingAccount": {"id": "A1"},
                "endpoint": [{"device": "osl-gw1", "port": "ge-0/0/1", "vlan": 7}],
                "contract": {"target": 99.9, "monthly_fee": "490.00"},
            },
        }
    ],
}


def test_an_order_is_placed_in_the_words_of_an_order_file(site: Any) -> None:
    answer = site.ask("POST", "/api/v1/orders", token=TOKEN, json=ORDER)
    assert answer.status_code == 201
    said = answer.json()
    assert (said["id"], said["state"]) == ("SO-1", "inProgress")
    assert said["serviceOrderItem"][0]["supportingResource"] == [{"id": "osl-gw1"}]
    ((document, by),) = site.beliefs.placed
    assert by == "anna"
    assert document == {
        "id": "SO-1",
        "description": "",
        "item": [
            {
                "number": "1", "action": "add", "service": "vpn-acme", "template": "l2vpn",
                "account": "A1",
                "endpoint": [{"device": "osl-gw1", "port": "ge-0/0/1", "vlan": 7}],
                "contract": {"target": 99.9, "monthly_fee": "490.00"},
            }
        ],
    }  # fmt: skip


def test_what_cannot_be_ordered_is_a_conflict_and_says_why(site: Any) -> None:
    bad = {**ORDER, "serviceOrderItem": [{"service": {"id": "taken"}}]}
    answer = site.ask("POST", "/api/v1/orders", token=TOKEN, json=bad)
    assert (answer.status_code, answer.json()["reason"]) == (
        409,
        "service 'taken' is active already",
    )


def test_an_order_with_unknown_words_is_refused(site: Any) -> None:
    answer = site.ask("POST", "/api/v1/orders", token=TOKEN, json={**ORDER, "rush": True})
    assert answer.status_code == 422


def test_an_order_can_be_compared_without_being_placed(site: Any) -> None:
    answer = site.ask("POST", "/api/v1/orders/compare", token=TOKEN, json=ORDER)
    (told,) = answer.json()
    assert (told["device"], told["lines"]) == ("osl-gw1", ["+ vlan = 7"])
    assert site.beliefs.placed == []


def test_one_order_is_shown_with_items_and_notes_and_an_unknown_one_is_not(site: Any) -> None:
    said = site.ask("GET", "/api/v1/orders/SO-1").json()
    assert said["note"][0]["state"] == "acknowledged"
    assert said["serviceOrderItem"][0]["step"] == "waiting"
    assert site.ask("GET", "/api/v1/orders/SO-2").status_code == 404
    assert site.ask("POST", "/api/v1/orders/SO-2/cancel", token=TOKEN, json={}).status_code == 404


def test_whoever_cancels_is_written_down(site: Any) -> None:
    answer = site.ask("POST", "/api/v1/orders/SO-1/cancel", token=TOKEN, json={"note": "wrong"})
    assert answer.status_code == 200
    (said,) = site.beliefs.acts
    assert (said.by, said.order, said.what, said.note) == ("anna", "SO-1", "cancel", "wrong")
