"""Templates: typed inputs, nothing unescaped, nothing reached that was not given."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from collectors.netconf.errors import BadRequest
from collectors.netconf.templates import Template, TemplateFile, differences
from tests.collectors.netconf.orders import shipped

SCOPE = {
    "service": "vpn", "device": "r1", "name": "Acme", "operation": "replace",
    "port": "p1", "vlan": 7, "rate": 0,
}  # fmt: skip
SVC = "urn:netopsd:yang:service"


def made(text: str, **more: object) -> Template:
    said = {"owned": f'<services xmlns="{SVC}"/>', "keys": {"service": "id"}, **more}
    return Template(name="t", spec=TemplateFile.model_validate(said), text=text)


def test_the_shipped_template_renders_what_it_says() -> None:
    template = shipped()
    assert template.expected(template.config(SCOPE)) == [
        "services/service[id=vpn]/description = Acme",
        "services/service[id=vpn]/id = vpn",
        "services/service[id=vpn]/port = p1",
        "services/service[id=vpn]/rate = 0",
        "services/service[id=vpn]/vlan = 7",
    ]
    assert template.expected(template.config({**SCOPE, "operation": "remove"})) == []
    assert template.places("r1", {"port": "p/1", "vlan": "7"}) == (["r1/p/1"], ["r1/p/1"])


@given(st.text(st.characters(min_codepoint=32, exclude_categories=("Cs",)), max_size=40))
def test_whatever_a_name_says_it_is_text_on_the_device(name: str) -> None:
    template = shipped()
    if any(ord(c) in (0xFFFE, 0xFFFF) for c in name):
        return
    config = template.config({**SCOPE, "name": name})
    (said,) = config.iter(f"{{{SVC}}}description")
    assert (said.text or "") == name.replace("\x85", said.text or "") or "\x85" in name
    assert len(list(config.iter(etree.Element))) == 8


@pytest.mark.parametrize(
    "text",
    [
        "{{ ''.__class__.__mro__ }}",
        "{{ service.__init__.__globals__ }}",
        "{{ nobody_gave_this }}",
        "<a>{{ vlan / 0 }}</a>",
        "<open>",
        "{% for i in range(10**7) %}xxxxxxxxxx{% endfor %}",
        '<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>',
    ],
)
def test_a_template_that_does_not_behave_is_an_error_in_words(text: str) -> None:
    with pytest.raises(BadRequest, match="template t"):
        made(text).config(SCOPE)


@pytest.mark.parametrize(
    ("spec", "said", "ok"),
    [
        ({"kind": "integer", "min": 1, "max": 4094}, "4094", True),
        ({"kind": "integer", "min": 1, "max": 4094}, "0", False),
        ({"kind": "integer"}, "7.0", False),
        ({"kind": "integer"}, "٧", False),
        ({"kind": "integer"}, "9" * 19, False),
        ({"kind": "boolean"}, "true", True),
        ({"kind": "boolean"}, "True", False),
        ({"pattern": "[a-z]+"}, "abc", True),
        ({"pattern": "[a-z]+"}, "abc\n", False),
        ({"one_of": ["gold", "silver"]}, "tin", False),
        ({}, "two\nlines", False),
        ({}, "nul\0", False),
        ({}, "x" * 256, False),
        ({}, "half \ud800", False),
    ],
)
def test_inputs_are_of_their_kind(spec: dict[str, object], said: str, ok: bool) -> None:
    template = made("", input=[{"name": "x", **spec}])
    if ok:
        template.values({"x": said})
        return
    with pytest.raises(ValueError, match="x "):
        template.values({"x": said})


def test_an_input_that_is_missing_says_what_it_is_for() -> None:
    with pytest.raises(ValueError, match="port is missing: the customer's port"):
        shipped().values({"vlan": "7"})


def test_what_was_saved_is_put_back_as_a_whole_entry() -> None:
    saved = f'<services xmlns="{SVC}"><service><id>vpn</id><vlan>7</vlan></service></services>'
    config = shipped().restoring(saved)
    (entry,) = config.iter(f"{{{SVC}}}service")
    operation = "{urn:ietf:params:xml:ns:netconf:base:1.0}operation"
    assert entry.get(operation) == "replace"


def test_differences_are_told_line_by_line_and_by_how_many() -> None:
    assert differences(["a", "b", "b"], ["a", "b", "c"]) == ("- b", "+ c")
    assert differences(["a"], ["a"]) == ()
