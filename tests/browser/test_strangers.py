"""What many visitors, and ill-meaning ones, do to the page."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest

from browser.visiting import Session

NUM_VISITORS, NUM_PAGES = 20, 2  # of the visitors so many have a browser, which does no more for the server

HOSTILE = [
    "<script>window.hacked = 1</script><img src=x onerror='window.hacked = 1'>",
    "<iframe srcdoc='<script>parent.hacked = 1</script>'></iframe> [x](javascript:hacked=1) {{ 7 * 7 }} $x^2$",
    "</p></script><style>* { display: none }</style><marimo-ui-element>",
    "datum.x + width'); window.hacked = 1; (' \" \\u0022 ${window.hacked = 1}",
    "👩‍👩‍👧‍👦🏳️‍🌈 é שלום עולם \u202egnp.exe\u202c مرحبا \u0007\u2028",
]
SLOW_FIRST_KEY = """
const send = window.fetch.bind(window);
let isFirst = true;
window.fetch = async (resource, options) => {
  if ((resource.url ?? resource).includes("set_ui_element_value") && window.typing && isFirst) {
    isFirst = false;
    await new Promise(done => setTimeout(done, 1000));
  }
  return send(resource, options);
};
document.addEventListener("keydown", event => { window.typing ||= event.key === "x" }, true);
"""
FIRST_CONNECTION_BREAKS = """
const connections = () => Number(sessionStorage.connections ?? 0);
window.WebSocket = class extends WebSocket {
  constructor(...address) {
    super(...address);
    sessionStorage.connections = connections() + 1;
    if (connections() === 1) this.addEventListener("open", () => this.close());
  }
};
"""


def test_hostile_text_is_text(visit):
    page = visit()
    for text in HOSTILE:
        page.type_text(text)
        page.until(lambda: page.page.locator("[role=alert]").count() == 0)
        for view, sign in (
            ("Attention", "Weight by distance"),
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
        ("&scale=<script>window.hacked=1</script>", "it must be one of layer-mean, raw, shared, contrast"),
        ("&at=-5", "it must be a number from 0 to"),
    ],
)
def test_a_forged_link_is_refused_with_a_sentence(visit, query, sentence):
    page = visit(query)
    assert sentence in page.page.locator("[role=alert]").first.inner_text()
    assert page.page.evaluate("window.hacked") is None


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


def test_a_page_whose_first_connection_breaks_begins_anew(visit):
    page = visit(script=FIRST_CONNECTION_BREAKS)
    assert page.page.evaluate("sessionStorage.connections") == "3"  # the broken one, the empty one, the new page's
    page.type_text("all is well")


def test_twenty_visitors_come_and_type_at_once(visit, server):
    pages = [visit() for _ in range(NUM_PAGES)]
    pages[0].type_text("Twenty come: ")
    pages[0].until(lambda: pages[0].typed, "the cells are not told")  # after the picture
    opened = pages[0].socket, pages[0].typed, pages[0].text.input_value()
    with ThreadPoolExecutor(NUM_VISITORS) as threads:
        sessions = list(threads.map(lambda _: Session(*opened), range(NUM_VISITORS - NUM_PAGES)))
        typed = [[f"{word}{'x' * number}" for word in ("one ", "two ", "three")] for number in range(NUM_VISITORS)]
        texts = [threads.submit(session.type, words) for session, words in zip(sessions, typed, strict=False)]
        for words in zip(*typed[-NUM_PAGES:], strict=True):
            for page, word in zip(pages, words, strict=True):
                page.text.press("End")
                page.page.keyboard.type(word)
        for session, text in zip(sessions, texts, strict=True):
            length = len(text.result())
            session.until(f"of {length} ", "an update was lost")
            session.until(f"{length} characters,", "a picture was lost")
            session.close()
    for page, words in zip(pages, typed[-NUM_PAGES:], strict=True):
        text = page.text.input_value()
        assert text.endswith("".join(words))
        page.until(lambda: f"of {len(text)}" in page.selection, "an update was lost")  # noqa: B023
        page.until(lambda: f"{len(text)} characters," in page.description, "a picture was lost")  # noqa: B023
    resident = int(Path(f"/proc/{server[0].pid}/statm").read_text().split()[1]) * 4096
    assert resident < 2e9
