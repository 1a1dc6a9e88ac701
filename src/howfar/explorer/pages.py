"""The page's files, and what the page is told when it opens. The page itself is that of `howfar live`."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from howfar.charts.assets import asset, render
from howfar.charts.spacing.page import script, styles
from howfar.explorer.inference import Inference
from howfar.live.site import SCRIPTS, STYLES, characters, scripts
from howfar.text.examples import EXAMPLES, selected_in
from howfar.text.spans import utf16_places

OPENING_FACTOR = 4.0  # of the selected gap in an example, so that it opens with a visible change
OWN_SCRIPTS = ("panels.js", "server.js")

_SCRIPT, _STYLE = "text/javascript", "text/css"
FILES: dict[str, tuple[Callable[[], str], str]] = {
    "spacing.js": (lambda: script(moving=True), _SCRIPT),
    "characters.js": (cache(characters), _SCRIPT),
    **{name: (lambda name=name: asset(f"live/page/{name}"), _SCRIPT) for name in SCRIPTS},  # type: ignore[misc]
    **{name: (lambda name=name: asset(f"explorer/page/{name}"), _SCRIPT) for name in OWN_SCRIPTS},  # type: ignore[misc]
    "login.js": (lambda: asset("explorer/page/login.js"), _SCRIPT),
    "spacing.css": (lambda: styles(moving=True), _STYLE),
    "live.css": (lambda: asset("live/page/live.css"), _STYLE),
    "panels.css": (lambda: asset("explorer/page/panels.css"), _STYLE),
}
"""What is served beside the page: how it is made, and its type."""


@cache
def page() -> str:
    """The page."""
    named = [f"assets/{name}" for name in (*STYLES, "panels.css")]
    return render("explorer/page/index.html", styles=named, scripts=[f"assets/{name}" for name in scripts(OWN_SCRIPTS)])


@cache
def login(is_wrong: bool) -> str:
    """The page that asks for the token."""
    return render("explorer/page/login.html", is_wrong=is_wrong)


def folder(inference: Inference, most_characters: int) -> dict[str, Any]:
    """What the page has: models with their layers, examples, and the length of a text."""
    first = inference.names[0]
    return {
        "models": [{"name": name, "layers": list(inference.layers(name))} for name in inference.names],
        "examples": [
            {
                "name": name,
                "text": text,
                "model": first,
                "character": int(utf16_places(text)[selected_in(name)]),
                "edits": {f"all:{selected_in(name)}": OPENING_FACTOR},
            }
            for name, text in EXAMPLES.items()
        ],
        "most": most_characters,
        "about": f"Models: {', '.join(inference.names)}. Everything is loaded from this server, which reads what you "
        "type and keeps the latest texts in memory only.",
    }
