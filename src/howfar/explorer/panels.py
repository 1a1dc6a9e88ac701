"""The parts of the page: from what is chosen to what is shown."""

from __future__ import annotations

import html
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import marimo as mo
import polars as pl

from howfar.charts.alternatives import increments_of_alternatives
from howfar.charts.attention import attention_arcs, attention_by_distance
from howfar.charts.glyphs import visible
from howfar.charts.marks import Colour
from howfar.charts.picture import Picture
from howfar.charts.rows import Cells, Scale
from howfar.charts.spacing import spacing
from howfar.charts.theme import Theme
from howfar.charts.what_if import gap_changes, loss_changes, prediction_changes
from howfar.errors import HowFarError, TextError
from howfar.explorer.inference import Inference
from howfar.explorer.view import View
from howfar.explorer.what_if import Edit
from howfar.text.spans import token_bytes
from howfar.tracing import Trace

SAVED_AS = ("html", "svg", "png")


@dataclass(frozen=True, eq=False)
class Document:
    """A text as one model reads it.

    Attributes:
        model: The model's name.
        trace: Its trace.
    """

    model: str
    trace: Trace

    @cached_property
    def cells(self) -> Cells:
        """The text in the pieces that are drawn and selected."""
        return Cells.of(self.trace)

    def selected(self, at: int) -> int:
        """The selected cell, or the last one where the text has become shorter."""
        return min(at, len(self.cells) - 1)

    @cached_property
    def token_spans(self) -> list[tuple[int, int]]:
        """First token and token past the last of each cell."""
        return self.cells.token_spans()

    def tokens_of(self, cell: int) -> tuple[int, int]:
        """First token and token past the last of a cell."""
        return self.token_spans[cell]


def read(inference: Inference, models: Sequence[str], text: str) -> list[Document]:
    """Trace a text with each model.

    Raises:
        HowFarError: The text cannot be traced, or no model is chosen.
    """
    if not models:
        raise TextError("no model is chosen; choose one or two")
    return [Document(model, inference.trace(model, text)) for model in models]


def sentence(error: Exception) -> mo.Html:
    """An error as the one sentence that it is."""
    said = str(error)
    return mo.callout(mo.Html(f"<p role='alert'>{html.escape(said[:1].upper() + said[1:])}.</p>"), kind="warn")


def selection_line(documents: Sequence[Document], at: int) -> mo.Html:
    """What is selected, in words."""
    document = documents[0]
    cell = document.selected(at)
    cells = document.cells
    character = cells.texts[cell]
    points = " ".join(f"U+{ord(one):04X}" for one in character[:4])
    data = character.encode().hex(" ").upper()
    surprisal, entropy = cells.surprisal_nats[cell], cells.entropy_nats[cell]
    said = (
        f"<b style='font-size:1.4em'>{html.escape(cells.labels[cell])}</b> &ensp;"
        f"character {cell + 1} of {len(cells):,} · {points} · bytes {data[:48]} · "
        f"surprisal {surprisal:.3f} nats · entropy of what follows {entropy:.3f} nats"
    )
    return mo.Html(f"<p id='selection' data-cell='{cell}'>{said}</p>")


def token_label(data: bytes) -> str:
    """How a token is written: its characters, or its bytes where they are only a part of one."""
    if not data:
        return "⟨end⟩"
    try:
        return visible(data.decode())
    except UnicodeDecodeError:
        return " ".join(f"{byte:02X}" for byte in data)


@dataclass(frozen=True, eq=False)
class Shown:
    """One picture of a view.

    Attributes:
        name: For the name of its file.
        picture: The picture.
        heading: What stands above it.
    """

    name: str
    picture: Picture
    heading: str

    def get(self) -> Picture:
        """The picture."""
        return self.picture

    @property
    def element(self) -> mo.Html:
        """The picture below its heading."""
        chart = mo.ui.altair_chart(self.picture.chart, chart_selection=False, legend_selection=False)
        return mo.vstack([mo.md(f"#### {self.heading}"), chart], gap=0.25)


def for_each(documents: Sequence[Document], view: Callable[[Document], mo.Html]) -> mo.Html:
    """A view of each document below the other; a sentence in place of one that cannot be."""
    views = []
    for document in documents:
        try:
            views.append(view(document))
        except HowFarError as error:
            views.append(sentence(error))
    return mo.vstack(views, gap=2)


def what_if_view(inference: Inference, document: Document, edit: Edit, theme: Theme) -> mo.Html:
    """What an edit changes.

    Raises:
        NoIncrementsError: The model has no increments to edit.
    """
    cells = document.cells
    result = inference.what_if(document.model, document.trace.text, edit)
    predictions = _labelled(result.predictions(inference.tokenizer(document.model)))
    losses, gaps = _labelled(result.losses(cells)), result.gaps(cells)
    gaps = gaps.with_columns(label=pl.Series(cells.labels).gather(gaps["cell"]))
    before, after = (predictions.sort(side, descending=True)["label"][0] for side in ("before", "after"))
    shown = [Shown("predictions", prediction_changes(predictions, theme=theme), "What comes next")]
    if len(losses):
        shown.append(Shown("losses", loss_changes(losses, theme=theme), "Loss on each token that follows"))
    shown.append(Shown("gaps", gap_changes(gaps, theme=theme), "Every gap of the text, layer by layer"))
    said = (
        f"The loss of the {len(losses)} tokens that follow changes by "
        f"<b id='loss-change'>{losses['change'].sum():+.4f}</b> nats in all. Likeliest next: "
        f"<b>{html.escape(before)}</b> before, <b>{html.escape(after)}</b> after."
    )
    return _view(document, said, shown)


def attention_view(inference: Inference, document: Document, at: int, layer: int | None, theme: Theme) -> mo.Html:
    """What the selected character looks back at, in one layer; the first where none is chosen."""
    token = document.tokens_of(document.selected(at))[1] - 1
    attention = inference.attention(document.model, document.trace.text, token)
    layer = attention.layers[0] if layer is None else layer
    weights = attention.weights[attention.layers.index(layer)]
    arguments: Any = (document.cells, layer, token, weights, attention.passage.first)
    said = f"Of what layer {layer} reads here, {weights[:, -1].mean():.0%} is the selected token itself"
    if attention.passage.first < 0:
        said += f" and {weights[:, 0].mean():.0%} the mark at the beginning of the text"
    return _view(
        document,
        said + " (mean over heads).",
        [
            Shown("attention", attention_arcs(*arguments, theme=theme), f"Layer {layer}, head by head"),
            Shown("attention-by-distance", attention_by_distance(*arguments, theme=theme), "Weight against distance"),
        ],
    )


def numbers_view(document: Document, at: int | None) -> mo.Html:
    """The table behind the picture, all of it or that of one cell."""
    table = document.trace.table()
    if at is not None:
        first, stop = document.tokens_of(document.selected(at))
        table = table.filter(pl.col("token").is_between(first, stop, closed="left"))
    readable = table.with_columns(pl.col("bytes").bin.encode("hex").str.to_uppercase())
    files = {
        "csv": lambda: b"\xef\xbb\xbf" + readable.write_csv().encode(),  # the mark tells Excel that it is UTF-8
        "parquet": lambda: _parquet(table),
    }
    downloads = [
        mo.download(make, f"howfar-{document.model}.{kind}", label=kind.upper()) for kind, make in files.items()
    ]
    shown = mo.ui.table(readable, selection=None, page_size=20, show_download=False, show_column_summaries=False)
    return mo.vstack(
        [mo.Html(f"<b>{html.escape(document.model)}</b>"), shown, mo.hstack(["Save", *downloads], justify="start")]
    )


def context_view(inference: Inference, document: Document, at: int, part: int, theme: Theme) -> mo.Html:
    """How an increment ranks among those that other tokens would have had in its place.

    Args:
        inference: The models.
        document: The text.
        at: The selected cell.
        part: Which of the cell's tokens, counted from 1.
        theme: The charts' theme.

    Raises:
        NoIncrementsError: The model has no increments.
    """
    first, stop = document.tokens_of(document.selected(at))
    token = min(first + part, stop) - 1
    found = inference.alternatives(document.model, document.trace.text, token)
    names = [token_label(data) for data in token_bytes(inference.tokenizer(document.model), found.token_ids.tolist())]
    here = found.token_ids == found.token_id
    candidates = pl.concat(
        pl.DataFrame({"layer": [layer] * len(names), "label": names, "increment": of_layer, "is_here": here})
        for layer, of_layer in zip(found.layers, found.increments.mean(axis=1), strict=True)
    )
    whole = "every token of the vocabulary" if found.is_whole_vocabulary else f"the {len(names)} likeliest tokens"
    picture = increments_of_alternatives(candidates, theme=theme)
    said = (
        f"The increment of <b>{html.escape(names[int(here.argmax())])}</b> here, among those that {whole} would have."
    )
    return _view(document, said, [Shown("context", picture, "In its place")], _html_table(found.ranks()))


def spacing_to_save(documents: Sequence[Document], scale: Scale, colour: Colour, theme: Theme) -> dict[str, Any]:
    """How to make the picture of each text when it is asked for."""

    def make(document: Document) -> Callable[[], Picture]:
        return lambda: spacing(document.trace, scale=scale, colour=colour, theme=theme)

    return {f"spacing-{document.model}": make(document) for document in documents}


def save_buttons(pictures: dict[str, Callable[[], Picture]]) -> mo.Html:
    """Buttons that save pictures, which are drawn when one is pressed."""

    def draw(make: Callable[[], Picture], kind: str) -> Callable[[], bytes]:
        return lambda: make().render(kind)

    rows = [
        mo.hstack(
            [
                mo.Html(f"Save {html.escape(name)}"),
                *(mo.download(draw(make, kind), f"{name}.{kind}", label=kind.upper()) for kind in SAVED_AS),
            ],
            justify="start",
        )
        for name, make in pictures.items()
    ]
    return mo.hstack(rows, justify="start", gap=2, wrap=True)


def link_line(view: View) -> mo.Html:
    """The link that restores what is seen."""
    link = view.link()
    if link is None:
        return mo.md("The text is too long for a link; save the picture instead.")
    return mo.Html(f"<p><a id='link' href='{html.escape(link)}'>Link to all that you see here</a></p>")


def _view(document: Document, said: str, shown: Sequence[Shown], *more: Any) -> mo.Html:
    buttons = save_buttons({f"{one.name}-{document.model}": one.get for one in shown})
    title = mo.Html(f"<p class='said'><b>{html.escape(document.model)}.</b> {said}</p>")
    return mo.vstack([title, *(one.element for one in shown), *more, buttons], gap=1)


def _labelled(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(
        label=pl.Series([token_label(data) for data in table["bytes"].to_list()], dtype=pl.String)
    )


def _html_table(table: pl.DataFrame) -> mo.Html:
    def row(tag: str, values: Iterable[Any]) -> str:
        cells = (f"{value:.4f}" if isinstance(value, float) else html.escape(str(value)) for value in values)
        return (
            "<tr>"
            + "".join(f"<{tag} style='text-align:right;padding:.1em .8em'>{cell}</{tag}>" for cell in cells)
            + "</tr>"
        )

    return mo.Html(f"<table>{row('th', table.columns)}{''.join(row('td', values) for values in table.rows())}</table>")


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()
