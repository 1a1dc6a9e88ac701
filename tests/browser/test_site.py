"""The documentation site: each page on a phone and on a desk, in the light and in the dark."""

import shutil
import subprocess
from pathlib import Path

import pytest

from browser.visiting import Visit, served

CHECKOUT = Path(__file__).parents[2]
SIZES = ({"width": 1440, "height": 900}, {"width": 390, "height": 844})
FOLDERS = ("how-to", "reference", "contributing")


def build(folder):
    """Build the site in a copy of the checkout, and move it to a folder."""
    copy = folder.with_name("checkout")
    for name in ("docs", "src", "tools"):
        shutil.copytree(CHECKOUT / name, copy / name, dirs_exist_ok=True)
    shutil.copy(CHECKOUT / "zensical.toml", copy)
    built = subprocess.run(["bash", copy / "tools" / "build_site.sh"], capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    (copy / "site").rename(folder)


@pytest.fixture(scope="session")
def documentation(built_once):
    pytest.importorskip("zensical")
    return built_once("documentation", build)


@pytest.fixture(scope="session")
def pages(documentation):
    """The site's address, and the paths of its pages below it."""
    found = sorted(str(page.parent.relative_to(documentation)) for page in documentation.rglob("index.html"))
    with served(documentation) as address:
        yield address, [f"{page}/" if page != "." else "" for page in found]


@pytest.mark.parametrize("folder", ["", *FOLDERS])
def test_pages_open_in_both_themes_and_sizes(chromium, pages, folder):
    address, paths = pages
    mine = [path for path in paths if path.startswith(FOLDERS) == bool(folder) and path.startswith(folder)]
    assert len(mine) >= 3
    with chromium.new_context() as context:
        visit = Visit(context, address, wait=False)
        for path in mine:
            visit.page.goto(address + path, wait_until="load")
            backgrounds = set()
            for scheme, palette in (("light", "default"), ("dark", "slate")):
                visit.page.emulate_media(color_scheme=scheme)
                visit.page.wait_for_selector(f"body[data-md-color-scheme={palette}]")  # a script follows the system
                for size in SIZES:
                    visit.page.set_viewport_size(size)
                    assert visit.page.evaluate("document.documentElement.scrollWidth <= innerWidth"), (path, size)
                backgrounds.add(visit.page.evaluate("getComputedStyle(document.body).backgroundColor"))
            assert len(backgrounds) == 2, path
            assert visit.page.locator("h1").count() == 1, path
            for image in visit.page.locator("article img").all():
                image.scroll_into_view_if_needed()
                visit.until(lambda shown=image: shown.evaluate("image => image.naturalWidth") > 0, path)
            assert (visit.errors, visit.foreign) == ([], []), path


def test_a_picture_of_the_home_page_answers_the_pointer(chromium, pages):
    with chromium.new_context(viewport=SIZES[0]) as context:
        visit = Visit(context, pages[0], wait=False)
        picture = visit.page.frame_locator("iframe").first
        picture.locator(".panel").first.hover()
        assert picture.locator(".readout b").count() == 1
        assert (visit.errors, visit.foreign) == ([], [])
