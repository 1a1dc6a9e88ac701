"""What many visitors, and ill-meaning ones, do to the page."""

from pathlib import Path
from urllib.parse import quote

import pytest

HOSTILE = [
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe> [x](javascript:hacked=1) {{ 7 * 7 }} $x^2$",
    "</p></script><style>* { display: none }</style><marimo-ui-element>",
    "datum.x + width'); window.hacked = 1; (' \" \\u0022 ${window.hacked = 1}",
    "👩‍👩‍👧‍👦🏳️‍🌈 é שלום עולם \u202egnp.exe\u202c مرحبا \u0007\u2028",
]


def test_hostile_text_is_text(visit):
    page = visit()
    for text in HOSTILE:
        page.type_text(text)
        page.until(lambda: page.page.locator("[role=alert]").count() == 0)
        for view, sign in (
            ("Attention", "Weight against distance"),
            ("Context", "among the steps to others"),
            ("Numbers", "10 columns"),
            ("What if", "What the model expects after"),
        ):
            page.show(view, sign)
        page.until(lambda: "of 102" not in page.selection)
        assert page.text.is_visible()
    assert page.page.evaluate("window.hacked") is None
    assert page.page.locator("iframe[srcdoc], p script, p img, p style").count() == 0


def test_a_hostile_link_is_text(visit):
    page = visit(f"&text={quote(HOSTILE[0])}&at=3&utm_source=x&__proto__=y")
    assert page.text.input_value() == HOSTILE[0]
    assert page.page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("query", "sentence"),
    [
        ("&model=/etc/passwd", "this page shows one or two of tiny, other"),
        ("&scale=<script>window.hacked=1</script>", "it must be one of layer-mean, raw, shared"),
        ("&at=-5", "it must be a number from 0 to"),
    ],
)
def test_a_forged_link_is_refused_with_a_sentence(visit, query, sentence):
    page = visit(query)
    assert sentence in page.page.locator("[role=alert]").first.inner_text()
    assert page.page.evaluate("window.hacked") is None


def test_five_megabytes_are_refused_with_a_sentence_and_the_page_goes_on(visit):
    page = visit()
    page.text.fill("x" * 5_000_000)
    page.sees("The text has 5,000,000 characters")
    page.text.fill("short again")
    page.until(lambda: "of 11" in page.selection)
    page.text.fill("")
    page.sees("The text is empty")


def test_twenty_visitors_type_at_once(visit, server):
    visitors = [visit() for _ in range(20)]  # one after the other: see docs/explorer.md
    for word in ("one ", "two ", "three"):
        for number, visitor in enumerate(visitors):
            visitor.text.press("End")
            visitor.page.keyboard.type(f"{word}{'x' * number}")
    for number, visitor in enumerate(visitors):
        text = visitor.text.input_value()
        assert text.endswith(f"one {'x' * number}two {'x' * number}three{'x' * number}")
        visitor.until(lambda: f"of {len(text)}" in visitor.selection, "an update was lost")  # noqa: B023
        visitor.until(lambda: f"{len(text)} characters," in visitor.description, "a picture was lost")  # noqa: B023
    resident = int(Path(f"/proc/{server[0].pid}/statm").read_text().split()[1]) * 4096
    assert resident < 2e9
