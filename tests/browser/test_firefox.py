"""The live page in Debian's Firefox: PyTorch's numbers, no other host, typing without a server, and a phone's width."""

import shutil

import pytest

from browser.firefox import Firefox
from browser.test_live import CONTENT, HOSTILE, assert_pytorchs, random_texts
from browser.visiting import served

FIREFOX = shutil.which("firefox-esr") or shutil.which("firefox")
REVISION = "document.documentElement.dataset.revision"


@pytest.fixture(scope="module")
def firefox(tmp_path_factory):
    if FIREFOX is None:
        pytest.skip("there is no Firefox; apt-get install firefox-esr")
    browser = Firefox(FIREFOX, tmp_path_factory.mktemp("firefox"))
    yield browser
    browser.close()


@pytest.fixture(scope="module")
def opened(firefox, site_folder):
    """The page, opened at a phone's width from a server that is gone by the time of the tests."""
    firefox.resize(390, 800)
    with served(site_folder) as address:
        firefox.goto(address)
        firefox.wait_for_function(f"() => {REVISION}")
    yield firefox
    assert [request for request in firefox.requests if not request.startswith((address, "data:", "blob:"))] == []
    assert firefox.errors == []


def test_numbers_are_pytorchs(opened, model):
    for text in random_texts()[:10]:
        assert_pytorchs(opened.evaluate(CONTENT, text), model, text)


def test_typing_needs_no_server(opened):
    opened.evaluate("() => { const text = document.getElementById('text'); text.focus(); text.select(); }")
    before = opened.evaluate(f"() => {REVISION}")
    opened.type(HOSTILE)
    opened.wait_for_function(f"before => {REVISION} !== before", before)
    opened.wait_for_function("() => handle.drawing.content.texts[0].labels.join('').startsWith('</script><img')")
    assert opened.evaluate("() => document.getElementsByTagName('img').length") == 0


def test_it_fits_a_phone(opened):
    assert opened.evaluate("() => document.documentElement.scrollWidth") <= 390
