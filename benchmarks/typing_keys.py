"""Keys typed into a page in Chromium, and how long each takes to its picture; for the benchmarks of pages."""

from __future__ import annotations

import statistics
from typing import Any

TEXT = ("The old lighthouse keeper, Anna Berg, had not spoken to anyone since Tuesday. 清晨的北京下着小雨。 " * 4)[:199]
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync"]
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


def summary(taken: list[float]) -> dict[str, float]:
    """The median and the ninth decile, under the names that the benchmarks print."""
    return {
        "key_to_picture_ms": statistics.median(taken),
        "key_to_picture_ms_p90": statistics.quantiles(taken, n=10)[-1],
    }
