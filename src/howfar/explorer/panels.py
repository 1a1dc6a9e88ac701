"""The views of the page: from a visitor's choices to what is shown."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import marimo as mo
import numpy as np
import polars as pl

from howfar.charts.alternatives import increments_of_alternatives
from howfar.charts.attention import attention_arcs, attention_by_distance, gazes
from howfar.charts.rows import Cells, Scale
from howfar.charts.spacing import SpacingPicture, spacing
from howfar.charts.spacing.colours import Colour
from howfar.charts.theme import Theme
from howfar.charts.what_if import MOST_TOKENS, gap_changes, loss_changes, prediction_changes
from howfar.errors import HowFarError, TextError
from howfar.explorer.inference import Inference
from howfar.explorer.parts import (
    Shown,
    download_buttons,
    effect_in_words,
    html_table,
    is_part,
    parquet,
    quoted,
    save_buttons,
    sentence,
    shortest,
    token_label,
)
from howfar.explorer.server import contexts_of
from howfar.explorer.what_if import Edit
from howfar.measures.contexts.ranks import corpus_ranks
from howfar.reading import Trace
from howfar.text.spans import token_bytes


@dataclass(frozen=True, eq=False)
class Document:
    """A text as one model reads it.

    Attributes:
        model: The model's name.
        trace: Its trace.
        name: Its name in headings and files.
    """

    model: str
    trace: Trace
    name: str

    @cached_property
    def cells(self) -> Cells:
        """The pieces of text that are drawn and can be selected."""
        return Cells.of(self.trace)

    def selected(self, at: int) -> int:
        """The selected cell, or the last one if the text has become shorter."""
        return min(at, len(self.cells) - 1)

    def tokens_of(self, cell: int) -> tuple[int, int]:
        """First token and token past the last of a cell, or of the last cell if the text has fewer."""
        return self.cells.token_spans[self.selected(cell)]

    @property
    def file_name(self) -> str:
        """The end of the names of saved files."""
        return self.name.replace(" ", "-")


def read(inference: Inference, models: Sequence[str], text: str, second_text: str = "") -> list[Document]:
    """Trace a text with each model, or two texts with one.

    Raises:
        HowFarError: A text cannot be traced, no model is chosen, or two models and two texts are.
    """
    if not models:
        raise TextError("no model is chosen; choose one or two")
    if not second_text:
        return [Document(model, inference.trace(model, text), model) for model in models]
    if len(models) > 1:
        raise TextError("two models and two texts are four pictures; choose one model, or remove the second text")
    texts = {"first": text, "second": second_text}
    return [Document(models[0], inference.trace(models[0], own), f"{which} text") for which, own in texts.items()]


def selection_line(documents: Sequence[Document], at: int) -> mo.Html:
    """What is selected, in words: in one text, or in each of two."""
    different = [d for d in documents if d.trace.text != documents[0].trace.text]
    said = [_selected_in(one, at, one.name if different else "") for one in documents[: 1 + len(different)]]
    return mo.Html("".join(said))


def _selected_in(document: Document, at: int, name: str) -> str:
    cell = document.selected(at)
    cells = document.cells
    character = cells.texts[cell]
    points = _beginning([f"U+{ord(one):04X}" for one in character], 4)
    data = _beginning([f"{byte:02X}" for byte in character.encode()], 16)
    said = [
        *([name] if name else []),
        f"{cells.noun} {cell + 1:,} of {len(cells):,}",
        f"{points} · bytes {data}",
        f"surprisal {cells.surprisal_nats[cell]:.3f} nats",
        f"entropy after {cells.entropy_nats[cell]:.3f} nats",
    ]
    return (
        f"<p class='selection' role='status' data-cell='{cell}'><bdi>{html.escape(cells.labels[cell])}</bdi>"
        f"{' · '.join(map(html.escape, said))}</p>"
    )


def _beginning(parts: Sequence[str], most: int) -> str:
    return " ".join([*parts[:most], *["…"] * (len(parts) > most)])


def for_each(documents: Sequence[Document], view: Callable[[Document], mo.Html]) -> mo.Html:
    """A view of each document, one below the other; an error message for a document without one."""
    views = []
    for document in documents:
        try:
            views.append(view(document))
        except HowFarError as error:
            views.append(sentence(error))
    return mo.vstack(views, gap=2)


def what_if_view(inference: Inference, document: Document, edit: Edit, theme: Theme) -> mo.Html:
    """What an edit changes; if there is no edit, how to make one."""
    cells, name = document.cells, document.file_name
    result = inference.what_if(document.model, document.trace.text, edit)
    predictions = pl.DataFrame(
        [(number, token_label(data), before, after) for number, (data, before, after) in enumerate(result.characters)],
        schema=["token_id", "label", "before", "after"],
        orient="row",
    )
    losses = with_ticks(_labelled(result.losses(cells), cells), cells)
    edited = int(np.searchsorted(cells.end_tokens, edit.tokens[0], side="right"))
    label = cells.labels[edited]
    next_ones = Shown(
        f"predictions-{name}", prediction_changes(predictions, theme=theme), f"What the model expects after {label}"
    )
    if edit.is_none:
        said = f"Nothing has changed yet: drag a tile of {quoted(label)} in the picture, or the slider here."
        return _view(document, said, [next_ones])
    before, after = (predictions.sort(side, descending=True)["label"][0] for side in ("before", "after"))
    gaps = result.gaps(cells)
    gaps = gaps.with_columns(label=pl.Series(cells.labels).gather(gaps["cell"]))
    effect = effect_in_words(losses, cells.noun, has_more=result.has_more(cells))
    said = f"{effect} Likeliest next: {quoted(before)} before, {quoted(after)} after."
    shown = [next_ones]
    if len(losses):
        which = f"Which of the first {MOST_TOKENS} {cells.token_noun}s" if len(losses) > MOST_TOKENS else "Which"
        heading = f"{which} become harder (up) or easier (down)"
        shown.append(Shown(f"losses-{name}", loss_changes(losses, theme=theme), heading))
    if gaps.filter((pl.col("cell") != edited) & (pl.col("change") != 0)).is_empty():
        said += " No other gap changed."
    else:
        shown.append(Shown(f"gaps-{name}", gap_changes(gaps, edited, theme=theme), "Other gaps that changed"))
    return _view(document, said, shown)


def attention_view(inference: Inference, document: Document, at: int, layer: int | None, theme: Theme) -> mo.Html:
    """What the selected character attends to: in each head of a layer, or in all layers if none is chosen."""
    cells, name = document.cells, document.file_name
    token = document.tokens_of(document.selected(at))[1] - 1
    attention = inference.attention(document.model, document.trace.text, token)
    rows = gazes(document.trace, attention.layers, attention.weights, layer)
    weights = np.stack([row.weights for row in rows]).mean(axis=0)
    of = "all layers, mean over heads" if layer is None else f"layer {layer}, head by head"
    said = f"Attention here ({of}): {weights[-1]:.0%} stays on the selected {cells.token_noun} itself"
    if not attention.passage.start:
        said += f" and {weights[0]:.0%} goes to the mark before the text"
    arguments = (cells, rows, token, attention.passage.start - 1)
    arcs, points = attention_arcs(*arguments, theme=theme), attention_by_distance(*arguments, theme=theme)
    label = cells.labels[document.selected(at)]
    return _view(
        document,
        f"{said}.",
        [
            Shown(f"attention-{name}", arcs, f"What {label} attends to: {of}"),
            Shown(f"attention-by-distance-{name}", points, "Weight by distance, in plain and in learned positions"),
        ],
    )


def numbers_view(document: Document, at: int | None) -> mo.Html:
    """The table behind the picture: all of it, or one cell's rows."""
    table = document.trace.table()
    if at is not None:
        first, stop = document.tokens_of(document.selected(at))
        table = table.filter(pl.col("token").is_between(first, stop, closed="left"))
    readable = table.with_columns(pl.col("bytes").bin.encode("hex").str.to_uppercase())
    files = {
        "csv": lambda: b"\xef\xbb\xbf" + readable.write_csv().encode(),  # the byte-order mark tells Excel it is UTF-8
        "parquet": lambda: parquet(table),
    }
    numbers = [name for name, kind in table.schema.items() if kind.is_float()]
    shown = mo.ui.table(
        readable,
        selection=None,
        page_size=20,
        show_download=False,
        show_column_summaries=False,
        format_mapping=dict.fromkeys(numbers, shortest),
        column_widths={"layer": 65, "head": 65, "token": 75, "token_id": 85, "bytes": 100, "characters": 100},
    )
    head = mo.Html(
        f"<p class='said'><b>{html.escape(document.name)}.</b> Every number behind the picture: increments and "
        "positions as the model uses them, not divided by the row's mean. Click a column's heading to sort.</p>"
    )
    return mo.vstack([head, download_buttons(f"numbers-{document.file_name}", files), shown])


def context_view(inference: Inference, document: Document, at: int, part: int, theme: Theme) -> mo.Html:
    """How an increment ranks among the increments that other tokens would have in its place.

    Args:
        inference: The models.
        document: The text.
        at: The selected cell.
        part: The token within the cell, counted from 1.
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
    noun = document.cells.token_noun
    others = f"every {noun}" if found.is_whole_vocabulary else f"the {len(names)} likeliest {noun}s"
    label = names[int(here.argmax())]
    picture = increments_of_alternatives(candidates, theme=theme)
    said = f"The step that the model would take to {others} here, after the same text. The text has {quoted(label)}."
    shown = Shown(f"context-{document.file_name}", picture, f"The step to {label} among the steps to others")
    ranks, in_corpus = found.ranks(), contexts_of(document.model)
    if in_corpus is not None:
        own = found.increments[..., int(here.argmax())]
        ranks = ranks.join(corpus_ranks(in_corpus, own, found.layers), on=["layer", "head"])
    return _view(document, said, [shown], html_table(ranks))


def save_spacing(documents: Sequence[Document], scale: Scale, colour: Colour, theme: Theme) -> mo.Html:
    """Buttons that save the picture of each text."""

    def make(document: Document) -> Callable[[], SpacingPicture]:
        return lambda: spacing(document.trace, scale=scale, colour=colour, theme=theme)

    rows = []
    for document in documents:
        said = mo.Html(f"Save {html.escape(document.name)}" if len(documents) > 1 else "Save")
        buttons = save_buttons(f"spacing-{document.file_name}", make(document))
        rows.append(mo.hstack([said, buttons], justify="end", align="center", gap=0.5))
    return mo.vstack(rows, gap=0.25)


def _view(document: Document, said: str, shown: Sequence[Shown], *more: mo.Html) -> mo.Html:
    title = mo.Html(f"<p class='said'><b>{html.escape(document.name)}.</b> {said}</p>")
    return mo.vstack([title, *(one.element() for one in shown), *more], gap=1)


def _labelled(losses: pl.DataFrame, cells: Cells) -> pl.DataFrame:
    """Add a label for each token; a token that is part of a character is labelled as such."""
    labels = (
        token_label(data) if not is_part(data) else f"a part of {cells.labels[cell]}"
        for data, cell in losses.select("bytes", "cell").rows()
    )
    return losses.with_columns(label=pl.Series(list(labels), dtype=pl.String))


def with_ticks(losses: pl.DataFrame, cells: Cells) -> pl.DataFrame:
    """Add axis labels: a character with several tokens is labelled at the first of them."""
    characters = pl.Series(cells.labels).gather(losses["cell"])
    return losses.with_columns(tick=pl.when(pl.col("cell").is_first_distinct()).then(characters).otherwise(pl.lit("")))
