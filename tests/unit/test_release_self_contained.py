"""A report loads nothing and runs nothing: by what is allowed, not by what is forbidden."""

import pytest

from server.release.self_contained import POLICY, breaches

PAGE = (
    '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
    f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
    "<style>p {{ color: red }} {style}</style></head><body><p>{body}</p></body></html>"
)


def page(body: str = "", style: str = "") -> str:
    return PAGE.format(body=body, style=style)


def test_a_plain_page_has_no_breach() -> None:
    assert breaches(page("words &lt;script&gt;alert(1)&lt;/script&gt; url(http://x)")) == ()


def test_an_arrow_head_inside_the_page_is_allowed() -> None:
    assert breaches(page('<svg><path d="M0 0" marker-end="url(#head)"/></svg>')) == ()


@pytest.mark.parametrize(
    "body",
    [
        "<script>alert(1)</script>",
        "<SCRIPT SRC=//x></SCRIPT>",
        '<img src="https://example.org/x.png">',
        '<link rel="stylesheet" href="https://example.org/x.css">',
        '<a href="https://example.org">x</a>',
        '<iframe srcdoc="x"></iframe>',
        '<svg><use href="#a"/></svg>',
        '<svg><image href="https://example.org/x.png"/></svg>',
        '<p onclick="alert(1)">x</p>',
        '<p style="background:url(https://example.org)">x</p>',
        '<p style="background:\\75 rl(https://example.org)">x</p>',
        '<svg><path marker-end="url(https://example.org#a)"/></svg>',
        '<form action="https://example.org"></form>',
        '<meta http-equiv="refresh" content="0;url=https://example.org">',
        '<meta name="referrer" content="origin">',
        "<base href='https://example.org'>",
        "<?xml-stylesheet href='x'?>",
        "<style>@import 'https://example.org/x.css'</style>",
    ],
)
def test_what_would_load_or_run_is_named(body: str) -> None:
    assert breaches(page(body))


@pytest.mark.parametrize(
    "style", ["@import 'x.css';", "p { background: url(https://x) }", "p { background: URL( 'x') }"]
)
def test_a_style_sheet_that_loads_is_named(style: str) -> None:
    assert breaches(page(style=style))


def test_a_page_without_the_security_policy_is_named() -> None:
    assert breaches(page().replace("default-src 'none'", "default-src *"))
    assert breaches("<p>words</p>") == ("1: the content security policy is missing",)
