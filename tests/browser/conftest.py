import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
PATIENCE = 60_000  # milliseconds, for a machine that has much else to do
NAMES = ("tiny", "other")


def pytest_collection_modifyitems(config, items):
    if CHROMIUM is None and not os.environ.get("CI"):
        for item in items:
            item.add_marker(pytest.mark.skip(reason="there is no Chromium; apt-get install chromium"))


@pytest.fixture(scope="session")
def model_folders(tmp_path_factory):
    """Two tiny models whose increments vary strongly."""
    from howfar.models.configuration import HowFarConfig
    from howfar.models.modeling import HowFarForCausalLM

    folder = tmp_path_factory.mktemp("models")
    for seed, name in enumerate(NAMES):
        torch.manual_seed(seed)
        config = HowFarConfig(
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            max_position_embeddings=256,
            initializer_range=0.4,
            increments={"start": "random"},
        )
        HowFarForCausalLM(config).save_pretrained(folder / name)
    return [str(folder / name) for name in NAMES]


@pytest.fixture(scope="session")
def server(model_folders, tmp_path_factory):
    """The running explorer: its process and its address, token included."""
    log = tmp_path_factory.mktemp("server") / "log"
    program = "import sys; from howfar.commands.explore import explore; explore(sys.argv[1:], browser=False)"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", program, *model_folders],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # as in the tests, for equal last digits
        )
    try:
        yield process, _address(process, log)
    finally:
        process.terminate()
        process.wait(20)


def _address(process: subprocess.Popen, log: Path) -> str:
    until = time.monotonic() + 120
    while time.monotonic() < until and process.poll() is None:
        address = next((word for word in log.read_text().split() if word.startswith("http://")), None)
        if address:
            return address
        time.sleep(0.2)
    raise AssertionError(f"the explorer did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium, server):
    """Opens the page, and afterwards checks that nothing went wrong in it: see `Visit`."""
    visits = []

    def open_page(query="", **options):
        context = chromium.new_context(viewport={"width": 1280, "height": 1200}, **options)
        visits.append(Visit(context, server[1] + query))
        return visits[-1]

    yield open_page
    for visit in visits:
        visit.page.context.close()
        assert visit.errors == []
        assert visit.foreign == []


class Visit:
    """One visitor's page, and what a test does in it."""

    def __init__(self, context, address):
        self.errors, self.foreign = [], []
        self.page = context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.page.on("console", lambda message: message.type == "error" and self.errors.append(message.text))
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self._is_foreign(request.url) and self.foreign.append(request.url))
        self.page.goto(address)
        self.page.wait_for_selector(".howfar-live[data-revision]")
        self.page.wait_for_selector("#selection")

    @staticmethod
    def _is_foreign(url):
        return not url.startswith(("http://127.0.0.1:", "ws://127.0.0.1:", "data:", "blob:"))

    @property
    def picture(self):
        return self.page.locator(".howfar-live").first

    @property
    def selection(self):
        return self.page.locator("#selection").inner_text()

    def revision(self):
        return int(self.picture.get_attribute("data-revision"))

    def until(self, condition, what=None):
        until = time.monotonic() + PATIENCE / 1000
        while not condition():
            assert time.monotonic() < until, what or "it did not happen"
            self.page.wait_for_timeout(50)

    def type_text(self, text):
        """Replace the text, and wait for its picture."""
        before = self.revision()
        self.page.locator("textarea").first.fill(text)
        self.until(lambda: self.revision() > before, "the picture did not change")

    def show(self, name):
        self.page.get_by_role("tab", name=name).click()
