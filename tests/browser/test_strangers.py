"""What many visitors, and ill-meaning ones, do to the page."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from browser.visiting import Session

NUM_VISITORS, NUM_PAGES = 20, 2  # of the visitors so many have a browser, which does no more for the server

HOSTILE = [
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe> [x](javascript:hacked=1) {{ 7 * 7 }} $x^2$",
    "</p></script><style>* { display: none }</style><textarea>",
    "datum.x + width'); window.hacked = 1; (' \" \\u0022 ${window.hacked = 1}",
    "👩‍👩‍👧‍👦🏳️‍🌈 é שלום עולם \u202egnp.exe\u202c مرحبا \u0007\u2028",
]
SLOW_FIRST_KEY = """
const send = window.fetch.bind(window);
let isFirst = true;
window.fetch = async (resource, options) => {
  if (resource === "read" && window.typing && isFirst) {
    isFirst = false;
    await new Promise(done => setTimeout(done, 1000));
  }
  return send(resource, options);
};
document.addEventListener("keydown", event => { window.typing ||= event.key === "x" }, true);
"""
CONNECTION_BREAKS = """
const send = window.fetch.bind(window);
window.fetch = (...asked) => window.isBroken ? Promise.reject(new TypeError("Failed to fetch")) : send(...asked);
"""


def test_hostile_text_is_text(visit):
    page = visit()
    for text in HOSTILE:
        page.type_text(text)
        page.until(lambda: not page.page.locator("[role=alert]").is_visible())
        for view, sign in (
            ("Attention", "Weight by distance"),
            ("Context", "The step that the model would take"),
            ("Numbers", "10 columns"),
            ("What if", "What the model expects after"),
        ):
            page.show(view, sign)
        page.until(lambda: "of 102" not in page.selection)
        assert page.text.is_visible()
    assert page.page.evaluate("window.hacked") is None
    assert page.page.locator("iframe[srcdoc], p script, p img, p style").count() == 0


def test_a_hostile_link_is_text(visit):
    page = visit({"text": HOSTILE[0], "slot": 3, "utm_source": "x", "__proto__": {"model": "y"}})
    assert page.text.input_value() == HOSTILE[0]
    assert page.page.evaluate("window.hacked") is None


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ({"model": "/etc/passwd"}, "its model must be one of tiny, other"),
        ({"view": {"scale": "<script>window.hacked=1</script>"}}, "its scale must be one of layer-mean, raw, shared"),
        ({"slot": -5}, "its selected character must be a number from 0"),
        ({"edits": {"all:1": 1e9}}, "its factors of steps must be numbers from 0 to 16"),
        ({"panel": {"name": "<img>"}}, "its panel must be one of what-if, attention, numbers, context"),
        ({"text": "x" * 60_000}, "its text must be text of at most 50,000 characters"),
        ("[1, 2", "The link is damaged; this is the page as it opens."),
    ],
)
def test_a_forged_link_opens_the_page_with_a_sentence(visit, link, sentence):
    page = visit(link)
    assert sentence in page.page.locator("[role=alert]").inner_text()
    assert page.page.evaluate("window.hacked") is None
    page.type_text("The page goes on.")
    assert page.page.locator("[role=alert]").is_hidden()


def test_five_megabytes_are_refused_with_a_sentence_and_the_page_goes_on(explorer):
    page = explorer
    page.text.fill("x" * 5_000_000)
    page.sees("The text has 5,000,000 characters")
    page.text.fill("short again")
    page.until(lambda: "of 11" in page.selection)
    page.text.fill("")
    page.sees("The text is empty")


def test_no_key_overtakes_another(visit):
    page = visit(script=SLOW_FIRST_KEY)
    page.text.press("End")
    page.page.keyboard.type("xyz")
    length = len(page.text.input_value())
    page.until(lambda: f"of {length}" in page.selection, "a key was overtaken")
    page.page.wait_for_timeout(1500)
    assert f"of {length}" in page.selection


def test_a_page_whose_connection_breaks_says_so_and_goes_on(visit):
    page = visit({"text": "all is well", "slot": 1}, script=CONNECTION_BREAKS)
    page.page.evaluate("isBroken = true")
    page.text.fill("nobody hears this")
    page.sees("The server does not answer")
    page.page.evaluate("isBroken = false")
    page.text.fill("well again")
    page.until(lambda: "“well again”" in page.description)


def test_twenty_visitors_come_and_type_at_once(visit, server):
    pages = [visit({"text": "Twenty come: ", "slot": 0}) for _ in range(NUM_PAGES)]
    words = [f"one two three{'x' * number}" for number in range(NUM_VISITORS)]
    with ThreadPoolExecutor(NUM_VISITORS) as threads:
        sessions = list(threads.map(lambda _: Session(server[1]), range(NUM_VISITORS - NUM_PAGES)))
        typed = [threads.submit(one.type, "Twenty come: ", own) for one, own in zip(sessions, words, strict=False)]
        for page, own in zip(pages, words[-NUM_PAGES:], strict=True):
            page.text.press("End")
            page.page.keyboard.type(own)
        for one in typed:
            text, answer = one.result()
            assert "".join(answer["content"]["texts"][0]["labels"]) == text
    for page, own in zip(pages, words[-NUM_PAGES:], strict=True):
        text = page.text.input_value()
        assert text == f"Twenty come: {own}"
        page.until(lambda: f"of {len(text)}" in page.selection, "an update was lost")  # noqa: B023
        page.until(lambda: f"{len(text)} characters," in page.description, "a picture was lost")  # noqa: B023
    resident = int(Path(f"/proc/{server[0].pid}/statm").read_text().split()[1]) * 4096
    assert resident < 2e9
