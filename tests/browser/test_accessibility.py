"""axe-core finds nothing serious in what people open: a saved page, the live page and the explorer, light and dark."""

import time

import pytest

import howfar
from browser.visiting import PATIENCE

SERIOUS = ("serious", "critical")
THEMES = pytest.mark.parametrize("theme", ["light", "dark"])
VIEWS = {"Attention": "Weight by distance", "Context": "The step that", "Numbers": "columns"}
TEXT = "Ada wrote 图书馆 in it. "


def findings(page):
    """What is serious, in a line each: the rule, and the elements that break it."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [f"{one['id']}: {node['html'][:400]}" for one in found for node in one["nodes"] if one["impact"] in SERIOUS]


def settled(page):
    """What is still serious when the page has come to rest."""
    until = time.monotonic() + PATIENCE / 1000
    while (found := findings(page)) and time.monotonic() < until:
        page.wait_for_timeout(500)
    return found


@THEMES
def test_the_saved_page(chromium, model, tmp_path, theme):
    howfar.spacing(howfar.trace(model, TEXT)).save(tmp_path / "picture.html")
    with chromium.new_context(offline=True, color_scheme=theme) as context:
        page = context.new_page()
        page.goto((tmp_path / "picture.html").as_uri())
        page.get_by_text("All numbers as a table").click()
        page.wait_for_selector("tbody tr")
        page.focus(".picture")
        page.keyboard.press("ArrowRight")
        assert findings(page) == []


@THEMES
def test_the_live_page(chromium, site, theme):
    with chromium.new_context(color_scheme=theme) as context:
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(site)
        page.wait_for_selector("html[data-revision]")
        assert findings(page) == []


@THEMES
def test_the_explorer(visit, theme):
    page = visit(color_scheme=theme)
    found = {"What if": settled(page.page)}
    for view, sign in VIEWS.items():
        page.show(view, sign)
        found[view] = settled(page.page)
    assert not any(found.values()), found
