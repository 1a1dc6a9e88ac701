"""One visitor's page, and what a test does in it; and a session without a browser that sends what a page does."""

import functools
import json
import threading
import time
from contextlib import ExitStack, contextmanager
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit
from urllib.request import Request, urlopen
from uuid import uuid4

from websockets.sync.client import connect

from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.svg import Drawing, View

PATIENCE = 120_000  # milliseconds, for a machine that has much else to do
KEPT_HEADERS = ("content-type", "cookie", "origin", "marimo-server-token")
OURS = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")


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
        socket: The address of its connection.
        typed: Address, headers and body of its latest request that changed a value.
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
        self.socket = self.typed = None
        self.page.on("websocket", lambda socket: setattr(self, "socket", socket.url))
        self.page.on("request", self._keep_typed)
        self.page.goto(address, wait_until="commit")
        if wait:
            self.wait()

    def _keep_typed(self, request):
        if request.url.endswith("/set_ui_element_value"):
            self.typed = request.url, request.all_headers(), request.post_data

    def wait(self):
        """Wait for the picture and what belongs to it."""
        self.page.wait_for_selector(".howfar-live[data-revision]")
        self.page.wait_for_selector(".selection")
        self.page.wait_for_selector("#link")

    @property
    def picture(self):
        return self.page.locator(".howfar-live").first

    @property
    def description(self):
        return self.picture.get_attribute("aria-label")

    @property
    def selection(self):
        return self.page.locator(".selection").inner_text()

    @property
    def text(self):
        return self.page.get_by_role("textbox", name="Text", exact=True)

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
        drawing = Drawing(content_of(trace), View(rows="all"), width)
        return left + drawing.layout.letters[row, cell], top + drawing.middles[row]

    def show(self, view, sign):
        """Turn to a view, and wait for what tells that it is there."""
        self.page.get_by_role("tab", name=view).click()
        self.sees(sign)

    def sees(self, text):
        """Wait for words on the page; marimo keeps a second, hidden copy of some."""
        self.page.get_by_text(text).filter(visible=True).first.wait_for()

    def save(self, name, kind, folder):
        """Save a picture or table as a file."""
        with self.page.expect_download() as download:
            self.page.locator(f'.save[data-name="{name}"]').get_by_role("link", name=kind).click()
        path = folder / download.value.suggested_filename
        download.value.save_as(path)
        return path


class Session:
    """A visitor without a browser, who opens what a page opened and types what a page typed, by the same requests.

    Args:
        socket: The address of the page's connection.
        typed: Address, headers and body of the request by which it typed last.
        text: What it typed.
    """

    def __init__(self, socket, typed, text):
        name = f"s_{uuid4().hex[:6]}"
        self.text, self._said = text, ""
        self._address, headers, body = typed
        self._body = json.loads(body)
        kept = {header: headers[header] for header in KEPT_HEADERS}
        self._headers = {**kept, "marimo-session-id": name}
        own = socket.replace(parse_qs(urlsplit(socket).query)["session_id"][0], name)
        cookie = {"Cookie": headers["cookie"], "Origin": headers["origin"]}
        self._until_closed = ExitStack()
        self._socket = self._until_closed.enter_context(
            connect(own, additional_headers=cookie, max_size=None, max_queue=None, proxy=None)
        )
        self.until("characters,", "there is no picture")

    def type(self, words):
        """Type words behind the text, a request for each key; gives the whole text."""
        for key in "".join(words):
            self.text += key
            body = json.dumps({**self._body, "values": [self.text]}).encode()
            with urlopen(Request(self._address, body, self._headers), timeout=PATIENCE / 1000) as answer:
                answer.read()
        return self.text

    def until(self, sign, what):
        """Wait until the server has sent some words since the session began."""
        until = time.monotonic() + PATIENCE / 1000
        while sign not in self._said:
            assert time.monotonic() < until, what
            self._said += str(self._socket.recv(timeout=PATIENCE / 1000))

    def close(self):
        self._until_closed.close()
