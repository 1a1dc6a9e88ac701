import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from filelock import FileLock

from browser.visiting import PATIENCE, Visit, linked, served
from support.grafts import make_base

CHROMIUM = shutil.which("chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # which is small in a container
]
NAMES = ("tiny", "other")
WINDOW = {"width": 1280, "height": 1200}


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
def model(model_folders):
    import howfar

    return howfar.load(model_folders[0])


@pytest.fixture(scope="session")
def server(model_folders, tmp_path_factory):
    """The running explorer of these models and one of words, which write x after x: its process and its address."""
    log = tmp_path_factory.mktemp("server") / "log"
    words = str(make_base(log.parent / "words"))
    program = """if True:
        import sys
        from howfar.commands.explore import explore
        from howfar.explorer import inference

        inference.sample_character = lambda *_: b"x"  # else a model may end the document at once
        explore(sys.argv[1:], browser=False)
    """
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-u", "-c", program, *model_folders, words],
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, "OMP_NUM_THREADS": "1"},  # as in the tests, for equal last digits
        )
    try:
        yield process, _address(process, log)
    finally:
        process.terminate()
        process.wait(20)
    assert "Traceback" not in log.read_text()


def _address(process: subprocess.Popen, log: Path) -> str:
    until = time.monotonic() + PATIENCE / 1000
    while time.monotonic() < until and process.poll() is None:
        address = next((word for word in log.read_text().split() if word.startswith("http://")), None)
        if address:
            return address
        time.sleep(0.1)
    raise AssertionError(f"the explorer did not start: {log.read_text()}")


@pytest.fixture(scope="session")
def built_once(tmp_path_factory, worker_id):
    """Gives a folder that a function makes, once for all test processes: what takes a while."""

    def built(name, build):
        own = tmp_path_factory.getbasetemp()
        folder = (own if worker_id == "master" else own.parent) / name
        with FileLock(f"{folder}.lock"):
            if not folder.exists():
                build(folder)
        return folder

    return built


@pytest.fixture(scope="session")
def site_folder(model_folders, built_once):
    """A live page with two models."""
    from howfar.live.site import write_site

    return built_once("site", lambda folder: write_site(folder, model_folders))


@pytest.fixture(scope="session")
def site(site_folder):
    """The address of that page."""
    with served(site_folder) as address:
        yield address


@pytest.fixture(scope="session")
def chromium():
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def one_browser(chromium):
    """A browser that keeps the page's scripts from one visit to the next."""
    with chromium.new_context(viewport=WINDOW) as context:
        yield context


@pytest.fixture
def visit(chromium, one_browser, server):
    """Opens the page, and afterwards checks that nothing went wrong in it: see `Visit`."""
    visits, contexts = [], []

    def open_page(link="", *, wait=True, script="", **options):
        if options:
            contexts.append(chromium.new_context(**{"viewport": WINDOW, **options}))
        context = contexts[-1] if options else one_browser
        visits.append(Visit(context, server[1] + linked(link), wait=wait, script=script))
        return visits[-1]

    yield open_page
    for visit in visits:
        visit.page.close()
    for context in contexts:
        context.close()
    for visit in visits:
        assert visit.errors == []
        assert visit.foreign == []


@pytest.fixture(scope="session")
def lasting_page(one_browser, server):
    visit = Visit(one_browser, server[1] + linked({"text": "shared by many tests"}))
    yield visit
    visit.page.close()


@pytest.fixture
def explorer(lasting_page):
    """A page that tests share which replace its text; whoever changes more of it opens one of their own by `visit`."""
    yield lasting_page
    assert lasting_page.errors == []
    assert lasting_page.foreign == []
