"""Keys typed into a page in Chromium, and how long each takes to its picture; for the benchmarks of pages."""

from __future__ import annotations

import statistics
from typing import Any

TEXT = ("The old lighthouse keeper, Anna Berg, had not spoken to anyone since Tuesday. 清晨的北京下着小雨。 " * 4)[:199]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
_WATCH_CLICKS = """() => {
  window.clicked = []; window.changed = {};
  document.addEventListener("click", () => { window.clicked.push(performance.now()); window.changed = {}; }, true);
}"""
_WATCH_CHANGE = """(element, name) => {
  const note = () => requestAnimationFrame(() => { window.changed[name] = performance.now(); });
  new MutationObserver(note).observe(element, { childList: true, subtree: true, characterData: true });
}"""
_WATCH = """
(element, attribute) => {
  window.keys = []; window.drawn = [];
  document.addEventListener("keydown", () => window.keys.push(performance.now()), true);
  new MutationObserver(() => requestAnimationFrame(() => window.drawn.push(performance.now())))
    .observe(element, { attributes: true, attributeFilter: [attribute] });
}
"""


def watch(page: Any, selector: str, attribute: str) -> None:
    """Note the time of each key, and of the frame after each change of an element's attribute."""
    page.locator(selector).first.evaluate(_WATCH, attribute)


def key_to_picture(page: Any, box: str, keys: int, pause: float, place: str) -> list[float]:
    """Milliseconds from each key to the frame after its picture, typing in a box where the key `place` leads to."""
    page.locator(box).first.press(place)
    taken = []
    for number in range(keys):
        page.evaluate("() => { window.keys.length = window.drawn.length = 0 }")
        page.keyboard.type("abcdefghij"[number % 10])
        page.wait_for_function("() => window.drawn.length > 0")
        taken.append(page.evaluate("() => window.drawn[0] - window.keys[0]"))
        page.keyboard.press("Backspace")
        page.wait_for_timeout(pause * 1000)
    return taken


def click_to_change(page: Any, picture: str, clicks: int, pause: float, changes: dict[str, str]) -> dict[str, float]:
    """Median milliseconds from a click on a character to the frame after the last change that it leads to.

    Args:
        page: Playwright's page.
        picture: Selector of the picture.
        clicks: Number of clicks, each on another character.
        pause: Seconds between them.
        changes: Selectors of what is watched, by a name.
    """
    page.evaluate(_WATCH_CLICKS)
    for name, selector in changes.items():
        page.locator(selector).first.evaluate(_WATCH_CHANGE, name)
    taken: dict[str, list[float]] = {name: [] for name in changes}
    row = page.locator(f"{picture} .panel").first.bounding_box()
    for number in range(clicks):
        page.evaluate("() => { window.clicked.length = 0; window.changed = {} }")
        page.mouse.click(row["x"] + 150 + 31 * (number % 20), row["y"] + 55)
        page.wait_for_timeout(pause * 1000)
        times = page.evaluate("() => [window.clicked[0], window.changed]")
        for name, when in times[1].items():
            taken[name].append(when - times[0])
    return {name: statistics.median(times) for name, times in taken.items() if times}


def summary(taken: list[float]) -> dict[str, float]:
    """The median and the ninth decile, under the names that the benchmarks print."""
    return {
        "key_to_picture_ms": statistics.median(taken),
        "key_to_picture_ms_p90": statistics.quantiles(taken, n=10)[-1],
    }
