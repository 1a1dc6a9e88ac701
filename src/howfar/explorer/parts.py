"""Small parts of the page: words, buttons, tables, and a picture below its heading."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import marimo as mo
import numpy as np
import polars as pl

from howfar.charts.assets import asset
from howfar.charts.glyphs import visible
from howfar.charts.picture import Picture
from howfar.charts.spacing import SpacingPicture
from howfar.explorer.view import View

SAVED_AS = ("html", "svg", "png")
STYLE = asset("explorer/page.css")
LEAST_NATS = 0.005  # smaller changes are ignored, here and beside the picture (charts/spacing/move.js)
CONTINUES = 0b1000_0000  # the first two bits of a byte that continues a character, in UTF-8


def heading() -> mo.Html:
    """A ten-second explanation of the page."""
    return mo.Html(
        f"<style>{STYLE}</style>"
        "<h1 class='howfar'>How far apart does a model think its tokens are?</h1>"
        "<p class='lead'>Each row shows the text as one layer spaces it. The first row is an ordinary model: each step "
        "has the same length. The rows below are layers of a model that has <em>learned</em> how far to step: "
        "<span class='closer'>blue gaps are closer</span>, <span class='farther'>orange ones farther</span> than the "
        "row's average step. Type a text; click a character to see what its position does.</p>"
    )


def sentence(error: Exception) -> mo.Html:
    """An error as one sentence."""
    said = str(error)
    return mo.callout(mo.Html(f"<p role='alert'>{html.escape(said[:1].upper() + said[1:])}.</p>"), kind="warn")


def token_label(data: bytes) -> str:
    """The text of a token: its characters, or its bytes if they are only part of one."""
    if not data:
        return "⟨end⟩"
    if not is_part(data):
        return visible(data.decode())
    begins, ends = data[0] & 0b1100_0000 != CONTINUES, data[-1] & 0b1000_0000 == 0
    written = " ".join(f"{byte:02X}" for byte in data)
    return f"{'' if begins else '…'}{written}{'' if ends else '…'}"


def is_part(data: bytes) -> bool:
    """Whether a token is part of a character."""
    try:
        data.decode()
    except UnicodeDecodeError:
        return True
    return False


def quoted(label: str) -> str:
    """A piece of the text within the page's words."""
    return f"<bdi class='token'>{html.escape(label)}</bdi>"


def effect_in_words(losses: pl.DataFrame, noun: str, *, has_more: bool) -> str:
    """The effect of an edit on the text that follows, in the words of the panel beside the picture, as HTML.

    Args:
        losses: From `WhatIf.losses`.
        noun: The word for a cell of the text.
        has_more: Whether the passage that was read ends before the text.
    """
    nats, num_following = float(losses["change"].sum()), losses["cell"].n_unique()
    if not num_following:
        return "No text follows, so only the next prediction can change."
    becomes = f"{noun} becomes" if num_following == 1 else f"{num_following} {noun}s become"
    if abs(nats) < LEAST_NATS:
        change = f"neither harder nor easier to predict, within {LEAST_NATS} nats in total"
    else:
        size = f"<b id='loss-change'>{float(f'{abs(nats):.2g}'):g}</b>"
        change = f"{'easier' if nats < 0 else 'harder'} to predict, by {size} nats in total"
    return f"The next {becomes} {change}{'; the passage that was read ends there' if has_more else ''}."


def shortest(number: float) -> str:
    """The fewest digits that distinguish a number from all others, of 32 bits if it has 32."""
    single = np.float32(number)
    return str(single if float(single) == number else np.float64(number))


def html_table(table: pl.DataFrame) -> mo.Html:
    """A small plain table."""

    def row(tag: str, values: Iterable[Any]) -> str:
        cells = (f"{value:.4g}" if isinstance(value, float) else html.escape(str(value)) for value in values)
        return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"

    body = "".join(row("td", values) for values in table.rows())
    return mo.Html(f"<table class='howfar'><thead>{row('th', table.columns)}</thead><tbody>{body}</tbody></table>")


def parquet(table: pl.DataFrame) -> bytes:
    """A table as a Parquet file."""
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture of a view.

    Attributes:
        name: For its file name.
        picture: The picture.
        heading: The heading above it.
    """

    name: str
    picture: Picture
    heading: str

    def element(self) -> mo.Html:
        """The picture below its heading, with buttons that save it."""
        head = mo.Html(f"<h3 class='howfar'>{html.escape(self.heading)}</h3>")
        chart: Any = self.picture.chart.properties(
            background="transparent", usermeta={"embedOptions": {"actions": False, "renderer": "svg"}}
        )
        return mo.vstack(
            [
                mo.hstack([head, save_buttons(self.name, lambda: self.picture)], justify="start", gap=1, wrap=True),
                mo.ui.altair_chart(chart, chart_selection=False, legend_selection=False),
            ],
            gap=0.25,
        )


def side_by_side(elements: Iterable[mo.Html]) -> mo.Html:
    """Elements of one width beside each other, or below where there is no room."""
    return mo.Html(f"<div class='side-by-side'>{''.join(f'<div>{element.text}</div>' for element in elements)}</div>")


def save_buttons(name: str, make: Callable[[], Picture | SpacingPicture]) -> mo.Html:
    """Buttons that save a picture; it is drawn when one is pressed."""

    def draw(kind: str) -> Callable[[], bytes]:
        return lambda: make().render(kind)

    return download_buttons(name, {kind: draw(kind) for kind in SAVED_AS})


def download_buttons(name: str, files: dict[str, Callable[[], bytes]]) -> mo.Html:
    """Buttons that save files, by suffix."""
    buttons = [mo.download(make, f"{name}.{kind}", label=kind.upper()) for kind, make in files.items()]
    row = mo.hstack(buttons, justify="start", gap=0.25)
    return mo.Html(f"<div class='save' data-name='{html.escape(name, quote=True)}'>{row.text}</div>")


def link_line(view: View) -> mo.Html:
    """The link that restores the view."""
    link = view.link()
    if link is None:
        return mo.Html("<p>The text is too long for a link; save the picture instead.</p>")
    return mo.Html(f"<p><a id='link' href='{html.escape(link)}'>Link to this view</a></p>")
