"""A picture as a web page: one file that needs no network, with its own copy of the drawing library.

The page's script (in `page.html`) chooses a layout by the screen's width and a theme by the reader's preference, draws
the parts of a long picture as they are scrolled to, and lets the keyboard choose a character.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import resources
from subprocess import DEVNULL, PIPE, Popen
from typing import TYPE_CHECKING, Any

from howfar.charts.theme import COLOURS, config

if TYPE_CHECKING:
    from howfar.charts.picture import Picture

_EXPORT = "window.vegaEmbed = vegaEmbed;"
_processes: list[Popen[bytes]] = []


def html(picture: Picture) -> str:
    """Give the page of a picture."""
    spec = picture.chart.to_dict()
    content: dict[str, Any] = {
        "description": picture.description,
        "themes": {theme: {"config": config(theme), "colours": COLOURS[theme]} for theme in COLOURS},
        "pages": None,
    }
    del spec["config"]
    if picture.pages is not None:
        del spec["datasets"]
        content["pages"] = [
            {
                "width": page.width,
                "title": page.title,
                "sheets": [{"height": sheet.height, "datasets": sheet.datasets} for sheet in page.sheets],
            }
            for page in picture.pages()
        ]
    template = resources.files("howfar.charts").joinpath("page.html").read_text(encoding="utf-8")
    before_library, between, after_content = (
        part for half in template.split("{{ library }}") for part in half.split("{{ content }}")
    )
    return "".join((before_library, library(), between, script_json({**content, "spec": spec}), after_content))


@contextmanager
def library_in_advance() -> Iterator[None]:
    """Bundle the drawing library in a process beside this one, while the block finds out what to draw.

    Bundling takes a second or more, and would hold up all threads of this process.
    """
    code = f"import sys, vl_convert; sys.stdout.buffer.write(vl_convert.javascript_bundle({_EXPORT!r}).encode())"
    with Popen([sys.executable, "-c", code], stdin=DEVNULL, stdout=PIPE, stderr=DEVNULL) as process:
        _processes.append(process)
        try:
            yield
        finally:
            _processes.remove(process)
            process.kill()


@cache
def library() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which puts `vegaEmbed` on the window."""
    if _processes:
        bundle, _ = _processes[-1].communicate()
        if bundle and not _processes[-1].returncode:
            return bundle.decode()
    import vl_convert

    return str(vl_convert.javascript_bundle(_EXPORT))


def script_json(content: dict[str, Any]) -> str:
    """Write JSON that may stand inside a script element, whatever the text in it."""
    text = json.dumps(content, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
