"""The panels below the picture: for each shown text, numbers, charts and tables. The page puts them into words."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePath
from typing import Any

import numpy as np
import polars as pl

from howfar.charts.alternatives import increments_of_alternatives
from howfar.charts.attention import attention_arcs, attention_by_distance, gazes
from howfar.charts.picture import Picture
from howfar.charts.rows import Cells, check_selection
from howfar.charts.spacing import SpacingPicture, spacing
from howfar.charts.what_if import MOST_TOKENS, gap_changes, loss_changes, prediction_changes
from howfar.errors import ConfigError
from howfar.explorer.inference import Inference
from howfar.explorer.labels import shortest, token_label, with_labels
from howfar.explorer.moved import effects_of, moved_content
from howfar.explorer.question import Question
from howfar.explorer.what_if import Effects
from howfar.measures.contexts.ranks import corpus_ranks
from howfar.reading import Trace
from howfar.text.spans import token_bytes

ROWS_OF_A_PAGE = 20


@dataclass(frozen=True, eq=False)
class Document:
    """A text as one model reads it, and the selected place.

    Attributes:
        inference: The models.
        question: What the page asks.
        number: Of the text, from 0.
        contexts: The table that ranks increments in a corpus.
    """

    inference: Inference
    question: Question
    number: int = 0
    contexts: pl.DataFrame | None = None

    @property
    def model(self) -> str:
        """The model's name."""
        return self.question.readings[self.number][0]

    @cached_property
    def trace(self) -> Trace:
        """The text's trace."""
        return self.inference.trace(*self.question.readings[self.number])

    @cached_property
    def effects(self) -> Effects | None:
        """What the moved steps change; None if none is moved, as when two readings are compared."""
        return None if len(self.question.readings) > 1 else effects_of(self.inference, self.question)

    @cached_property
    def moved(self) -> Trace:
        """The text's trace with the moved steps, as the picture shows them."""
        return self.trace if self.effects is None else self.effects.moved

    @cached_property
    def cells(self) -> Cells:
        """The pieces of text that are drawn and can be selected."""
        return Cells.of(self.trace)

    @property
    def at(self) -> int:
        """The selected cell."""
        return self.question.cell(self.number, self.cells)

    @property
    def name(self) -> str:
        """Its name in headings and files."""
        models = {model for model, _ in self.question.readings}
        return ("first text", "second text")[self.number] if len(models) < len(self.question.readings) else self.model


@dataclass(frozen=True, eq=False)
class Panel:
    """A view of a document.

    Attributes:
        said: Numbers and labels for the page's sentences.
        pictures: Charts, by the first part of their files' names.
        table: Rows of text, its columns' names first.
        saved: Tables to save, by suffix.
    """

    said: dict[str, Any]
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    table: list[list[str]] | None = None
    saved: Mapping[str, Callable[[], bytes]] = field(default_factory=dict)


def what_if(document: Document) -> Panel:
    """What the edit changes; if there is no edit, what the model expects next."""
    cells, theme = document.cells, document.question.theme
    text = document.trace.text
    after = document.inference.what_if(document.model, text, document.question.edit(cells, document.at))
    predictions = pl.DataFrame(
        [(number, token_label(data), one, other) for number, (data, one, other) in enumerate(after.characters)],
        schema=["token_id", "label", "before", "after"],
        orient="row",
    )
    said: dict[str, Any] = {"label": cells.labels[document.at], "isMoved": not after.edit.is_none}
    result = document.effects
    if result is None:
        return Panel(said, {"predictions": prediction_changes(predictions.drop("after"), theme=theme)})
    pictures = {"predictions": prediction_changes(predictions, theme=theme)}
    losses, edited = with_labels(result.losses(cells), cells), result.first_cell(cells)
    gaps = result.gaps(cells)
    gaps = gaps.with_columns(label=pl.Series(cells.labels).gather(gaps["cell"]))
    likeliest = [predictions.sort(side, descending=True)["label"][0] for side in ("before", "after")]
    other_gaps = gaps.filter((pl.col("cell") != edited) & (pl.col("change") != 0))
    said |= {
        "nats": float(losses["change"].sum()),
        "numFollowing": losses["cell"].n_unique(),
        "where": {
            "noun": cells.noun,
            "first": edited,
            "selected": document.at,
            "isPart": result.is_part(losses, cells),
        },
        "likeliest": likeliest,
        "first": f"the first {MOST_TOKENS} {cells.token_noun}s" if len(losses) > MOST_TOKENS else "",
        "hasOtherGaps": not other_gaps.is_empty(),
    }
    if len(losses):
        pictures["losses"] = loss_changes(losses, theme=theme)
    if not other_gaps.is_empty():
        pictures["gaps"] = gap_changes(gaps, edited, theme=theme)
    return Panel(said, pictures)


def attention(document: Document) -> Panel:
    """What the selected character attends to: in each head of a layer, or in all layers if none is chosen.

    Raises:
        ConfigError: The model does not have the layer.
    """
    cells, layer, theme = document.cells, document.question.layer, document.question.theme
    check_selection(document.trace, layer, None)
    token = cells.token_spans[document.at][1] - 1
    edit = document.question.edit(cells, document.at)
    found = document.inference.attention(document.model, document.trace.text, token, edit)
    rows = gazes(document.moved, found.layers, found.weights, layer)
    weights = np.stack([row.weights for row in rows]).mean(axis=0)
    arguments = (cells, rows, token, found.passage.start - 1)
    return Panel(
        {
            "label": cells.labels[document.at],
            "layer": layer,
            "unit": cells.token_noun,
            "own": float(weights[-1]),
            "mark": None if found.passage.start else float(weights[0]),
            "isMoved": document.effects is not None,
        },
        {
            "attention": attention_arcs(*arguments, theme=theme),
            "attention-by-distance": attention_by_distance(*arguments, theme=theme),
        },
    )


def numbers(document: Document) -> Panel:
    """The table behind the picture: all of it, a page at a time, or one cell's rows."""
    question, table = document.question, document.moved.table()
    if question.only:
        first, stop = document.cells.token_spans[document.at]
        table = table.filter(pl.col("token").is_between(first, stop, closed="left"))
    readable = table.with_columns(pl.col("bytes").bin.encode("hex").str.to_uppercase())
    ordered = readable
    if question.sort is not None and question.sort[0] in table.columns:
        ordered = readable.sort(question.sort[0], descending=question.sort[1], maintain_order=True)
    pages = -(-len(table) // ROWS_OF_A_PAGE)
    page = min(question.page, pages - 1)
    shown = ordered.slice(page * ROWS_OF_A_PAGE, ROWS_OF_A_PAGE)
    rows = [[shortest(one) if isinstance(one, float) else str(one) for one in row] for row in shown.rows()]
    return Panel(
        {
            "numRows": len(table),
            "page": page,
            "numPages": pages,
            "sort": question.sort,
            "isMoved": document.effects is not None,
        },
        table=[table.columns, *rows],
        saved={
            "csv": lambda: b"\xef\xbb\xbf" + readable.write_csv().encode(),  # the mark tells Excel that it is UTF-8
            "parquet": lambda: _parquet(table),
        },
    )


def context(document: Document) -> Panel:
    """How an increment ranks among the increments that other tokens would have in its place.

    Raises:
        NoIncrementsError: The model has no increments.
    """
    first, stop = document.cells.token_spans[document.at]
    token = min(first + max(1, document.question.part), stop) - 1
    found = document.inference.alternatives(document.model, document.trace.text, token)
    tokenizer = document.inference.tokenizer(document.model)
    names = [token_label(data) for data in token_bytes(tokenizer, found.token_ids.tolist())]
    here = found.token_ids == found.token_id
    candidates = pl.concat(
        pl.DataFrame({"layer": [layer] * len(names), "label": names, "increment": of_layer, "is_here": here})
        for layer, of_layer in zip(found.layers, found.increments.mean(axis=1), strict=True)
    )
    ranks, in_corpus = found.ranks(), contexts_of(document.contexts, document.model)
    if in_corpus is not None:
        own = found.increments[..., int(here.argmax())]
        ranks = ranks.join(corpus_ranks(in_corpus, own, found.layers), on=["layer", "head"])
    said = {
        "label": names[int(here.argmax())],
        "unit": document.cells.token_noun,
        "numOthers": len(names),
        "isAll": found.is_whole_vocabulary,
        "numParts": stop - first,
        "isMoved": document.effects is not None,
    }
    rows = [[f"{one:.4g}" if isinstance(one, float) else str(one) for one in row] for row in ranks.rows()]
    picture = increments_of_alternatives(candidates, theme=document.question.theme)
    return Panel(said, {"context": picture}, [ranks.columns, *rows])


PANELS: dict[str, Callable[[Document], Panel]] = {
    "what-if": what_if,
    "attention": attention,
    "numbers": numbers,
    "context": context,
}


def panel(document: Document, name: str) -> Panel:
    """The panel of a name.

    Raises:
        HowFarError: There is none of this name, or none of this document.
    """
    if name not in PANELS:
        raise ConfigError(f"there is no panel {name[:40]!r}; the panels are {', '.join(PANELS)}")
    return PANELS[name](document)


def spacing_of(inference: Inference, question: Question) -> SpacingPicture:
    """The picture itself, with the moved steps, for a file."""
    traces = [inference.trace(*reading) for reading in question.readings]
    view = question.view
    own = spacing(
        traces[0],
        beside=traces[1] if len(traces) > 1 else None,
        scale=view.scale,
        colour=view.colour,
        rows=view.rows,
        theme=question.theme,
    )
    if len(traces) > 1:
        return own
    content = moved_content(effects_of(inference, question), question, own.content)
    return SpacingPicture(content, own.view, width=own.width, theme=own.theme)


def contexts_of(table: pl.DataFrame | None, model: str) -> pl.DataFrame | None:
    """The rows of a table of `howfar.measures.contexts` that are of a model, by its name in the explorer."""
    if table is None:
        return None
    named = [name for name in table["model"].unique() if PurePath(name).name == model]
    own = table.filter(pl.col("model").is_in(named))
    return None if own.is_empty() else own


def _parquet(table: pl.DataFrame) -> bytes:
    buffer = io.BytesIO()
    table.write_parquet(buffer)
    return buffer.getvalue()
