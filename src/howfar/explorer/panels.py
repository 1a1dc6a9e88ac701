"""The parts of the page: from what is chosen to what is shown."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import marimo as mo

from howfar.charts.alternatives import increments_of_alternatives
from howfar.charts.attention import attention_arcs, attention_by_distance
from howfar.charts.glyphs import visible
from howfar.charts.picture import Picture
from howfar.charts.rows import Cells
from howfar.charts.theme import Theme
from howfar.charts.what_if import gap_changes, loss_changes, prediction_changes
from howfar.errors import TextError
from howfar.explorer.inference import Inference
from howfar.explorer.what_if import Edit
from howfar.text.spans import token_bytes
from howfar.tracing import Trace


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

    def tokens_of(self, cell: int) -> tuple[int, int]:
        """First token and token past the last of a cell."""
        stop = int(self.cells.end_tokens[cell])
        return stop - int(self.cells.num_tokens[cell]), stop


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
    return mo.callout(mo.Html(f"<p role='alert'>{html.escape(str(error).capitalize())}.</p>"), kind="warn")


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
        name: For the file's name.
        picture: The picture.
        heading: What stands above it.
    """

    name: str
    picture: Picture
    heading: str = ""


def what_if_pictures(inference: Inference, document: Document, edit: Edit, theme: Theme) -> tuple[str, list[Shown]]:
    """What an edit changes: a sentence and its pictures.

    Raises:
        NoIncrementsError: The model has none to edit.
    """
    import polars as pl

    cells = document.cells
    result = inference.what_if(document.model, document.trace.text, edit)
    predictions = result.predictions(inference.tokenizer(document.model)).with_columns(
        label=pl.col("bytes").map_elements(token_label, return_dtype=pl.String)
    )
    losses = result.losses(cells).with_columns(label=pl.col("bytes").map_elements(token_label, return_dtype=pl.String))
    gaps = result.gaps(cells)
    gaps = gaps.with_columns(label=pl.Series(cells.labels).gather(gaps["cell"]))
    in_all = float(losses["change"].sum())
    best = predictions.sort("before", descending=True)["label"][0]
    best_after = predictions.sort("after", descending=True)["label"][0]
    said = (
        f"The loss of the {len(losses)} tokens that follow changes by <b id='loss-change'>{in_all:+.4f}</b> nats in all. "
        f"The likeliest next token is <b>{html.escape(best)}</b>"
        + (f" before and <b>{html.escape(best_after)}</b> after." if best_after != best else ", before and after.")
    )
    pictures = [Shown("predictions", prediction_changes(predictions, theme=theme), "What comes next")]
    if len(losses):
        pictures.append(Shown("losses", loss_changes(losses, theme=theme), "Loss on each token that follows"))
    pictures.append(Shown("gaps", gap_changes(gaps, theme=theme), "Every gap, in every layer"))
    return said, pictures


def attention_pictures(
    inference: Inference, document: Document, at: int, layer: int, theme: Theme
) -> tuple[str, list[Shown]]:
    """What the selected character looks back at: a sentence and its pictures."""
    cell = document.selected(at)
    token = document.tokens_of(cell)[1] - 1
    attention = inference.attention(document.model, document.trace.text, token)
    weights = attention.weights[attention.layers.index(layer)]
    arguments: Any = (document.cells, layer, token, weights, attention.passage.first)
    mark = float(weights[:, 0].mean()) if attention.passage.first < 0 else 0.0
    said = f"Of what layer {layer} reads here, {mark:.0%} is the beginning of the text, {weights[:, -1].mean():.0%} the character itself."
    return said, [
        Shown("attention-arcs", attention_arcs(*arguments, theme=theme), f"Layer {layer}, head by head"),
        Shown("attention-distance", attention_by_distance(*arguments, theme=theme), "Weight against distance"),
    ]


def context_pictures(inference: Inference, document: Document, token: int, theme: Theme) -> tuple[Any, list[Shown]]:
    """How a token's increment ranks: a table and its picture.

    Raises:
        NoIncrementsError: The model has none.
    """
    import polars as pl

    alternatives = inference.alternatives(document.model, document.trace.text, token)
    labels = [token_label(data) for data in token_bytes(inference.tokenizer(document.model), alternatives.token_ids.tolist())]
    candidates = pl.concat(
        pl.DataFrame(
            {
                "layer": [layer] * len(labels),
                "label": labels,
                "increment": increments,
                "is_here": alternatives.token_ids == alternatives.token_id,
            }
        )
        for layer, increments in zip(alternatives.layers, alternatives.increments.mean(axis=1), strict=True)
    )
    return alternatives, [Shown("context", increments_of_alternatives(candidates, theme=theme), "")]


def chart(picture: Picture, on_change: Callable[[Any], None] | None = None) -> Any:
    """A picture as a marimo element."""
    return mo.ui.altair_chart(picture.chart, chart_selection=False, legend_selection=False, on_change=on_change)
