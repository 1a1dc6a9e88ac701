"""One visitor's page, and what a test does in it."""

import time

from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.svg import Drawing, View

PATIENCE = 120_000  # milliseconds, for a machine that has much else to do
OURS = ("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:")


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
        self.page.wait_for_selector(".howfar-live[data-revision]")
        self.page.wait_for_selector("#selection")
        self.page.wait_for_selector("#link")

    @property
    def picture(self):
        return self.page.locator(".howfar-live").first

    @property
    def description(self):
        return self.picture.get_attribute("aria-label")

    @property
    def selection(self):
        return self.page.locator("#selection").inner_text()

    @property
    def text(self):
        return self.page.get_by_role("textbox", name="Text")

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
        before = self.picture.get_attribute("data-revision")
        self.text.fill(text)
        self.until(lambda: self.picture.get_attribute("data-revision") != before, "the picture did not change")

    def click_cell(self, trace, row, cell):
        """Click a character of a text that stands in one panel, where the layout puts it."""
        width = self.picture.evaluate("picture => picture.clientWidth")
        drawing = Drawing(content_of(trace), View(rows="all"), width)
        panel = self.picture.locator(".panel").first.bounding_box()
        self.page.mouse.click(panel["x"] + drawing.layout.letters[row, cell], panel["y"] + drawing.middles[row])

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
