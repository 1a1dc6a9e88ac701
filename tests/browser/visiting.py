"""One visitor's page, and what a test does in it; and a visitor without a browser who asks what a page asks."""

import functools
import json
import threading
import time
from contextlib import contextmanager
from http.cookies import SimpleCookie
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import quote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, urlopen

from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.svg import Drawing, View

PATIENCE = 120_000  # milliseconds, for a machine that has much else to do
OURS = ("http://127.0.0.1:", "data:", "blob:")


def linked(state):
    """The end of the address that opens a page with a state, or with text that stands for one."""
    return "#" + quote(state if isinstance(state, str) else json.dumps(state)) if state else ""


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@contextmanager
def served(folder):
    """Serve a folder's files on this machine; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        server.server_close()


class Visit:
    """One visitor's page.

    Attributes:
        page: Playwright's page.
        errors: What went wrong in it.
        foreign: Requests to other hosts.
    """

    def __init__(self, context, address, *, wait=True, script=""):
        self.errors, self.foreign = [], []
        self.page = context.new_page()
        self.page.add_init_script(script)
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: request.url.startswith(OURS) or self.foreign.append(request.url))
        self.page.goto(address, wait_until="commit")
        if wait:
            self.wait()

    def wait(self):
        """Wait for the picture and what belongs to it."""
        self.page.wait_for_selector("html[data-revision]")
        self.page.wait_for_selector("#panels[data-panel]")

    @property
    def picture(self):
        return self.page.locator("#picture .picture")

    @property
    def description(self):
        return self.picture.get_attribute("aria-label")

    @property
    def selection(self):
        return self.page.locator("#place").inner_text()

    @property
    def text(self):
        return self.page.get_by_role("textbox", name="Text", exact=True)

    @property
    def link(self):
        """The state that the page's link would store."""
        return self.page.evaluate("state")

    def pixels(self):
        """The picture as it is drawn."""
        return self.picture.screenshot()

    def until(self, condition, what="it did not happen"):
        until = time.monotonic() + PATIENCE / 1000
        while not condition():
            assert time.monotonic() < until, what
            self.page.wait_for_timeout(50)

    def type_text(self, text):
        """Replace the text, and wait for its picture."""
        before = self.description
        self.text.fill(text)
        self.until(lambda: self.description != before, "the picture did not change")

    def click_cell(self, trace, row, cell):
        """Click a character of a text that stands in one panel, where the layout puts it."""
        self.page.mouse.click(*self._place_of(trace, row, cell))

    def drag_cell(self, trace, row, cell, by):
        """Drag a character of such a text sideways, by so many pixels."""
        x, y = self._place_of(trace, row, cell)
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + by, y, steps=4)
        self.page.mouse.up()

    def _place_of(self, trace, row, cell):
        left, top, width = self.picture.evaluate(  # at once, for a picture may be drawn again at any time
            """picture => {
                const { left, top } = picture.querySelector(".panel").getBoundingClientRect();
                return [left, top, picture.clientWidth];
            }"""
        )
        drawing = Drawing(content_of(trace), View(), width)
        return left + drawing.layout.letters[row, cell], top + drawing.middles[row]

    def show(self, view, sign):
        """Turn to a panel, and wait for what tells that it is there."""
        self.page.get_by_role("tab", name=view).click()
        self.sees(sign)

    def sees(self, text):
        """Wait for words on the page."""
        self.page.get_by_text(text).filter(visible=True).first.wait_for()

    def heading(self, text):
        """Wait for a heading; the words of its buttons stand behind it."""
        self.until(
            lambda: any(said.startswith(text) for said in self.page.locator("#panel h3").all_inner_texts()), text
        )

    def save(self, name, kind, folder):
        """Save a picture or table as a file."""
        with self.page.expect_download() as download:
            self.page.locator(f'.save[data-name="{name}"]').get_by_text(kind, exact=True).click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path


class _NoRedirect(HTTPRedirectHandler):
    def http_error_303(self, request, answer, *_):
        return answer


class Session:
    """A visitor without a browser, who opens the page and asks what it asks.

    Args:
        address: The page's address, token included.
    """

    def __init__(self, address):
        with build_opener(_NoRedirect).open(address, timeout=PATIENCE / 1000) as answer:
            (cookie,) = SimpleCookie(answer.headers["set-cookie"]).values()
        self._host = "http://" + urlsplit(address).netloc
        self._headers = {"Cookie": f"{cookie.key}={cookie.value}", "Content-Type": "application/json"}

    def ask(self, route, **question):
        """The answer to a question."""
        request = Request(f"{self._host}/{route}", json.dumps(question).encode(), self._headers)
        with urlopen(request, timeout=PATIENCE / 1000) as answer:
            return json.loads(answer.read())

    def type(self, text, words):
        """Type words behind a text, a question for each key; gives the whole text and the last answer."""
        for key in words:
            text += key
            answer = self.ask("read", model="tiny", text=text)
        return text, answer
