"""What the picture is told: its numbers, what the model expects next, and what it writes. Sentences are the page's."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from howfar.charts.rows import Cells
from howfar.charts.spacing.build import content_of
from howfar.errors import ConfigError
from howfar.explorer.inference import Inference
from howfar.explorer.labels import token_label
from howfar.explorer.moved import effects_of, moved_content
from howfar.explorer.question import Question
from howfar.text.spans import utf16_places


def read(inference: Inference, question: Question) -> dict[str, Any]:
    """The numbers of a picture, with the model's own increments.

    Returns:
        `content`: of one reading, or of two aligned; `ends`: where each cell of the first text ends in it, in
        the page's units (UTF-16); `numTokens` of that text.

    Raises:
        HowFarError: A text cannot be read or drawn.
    """
    traces = [inference.trace(model, text) for model, text in question.readings]
    content = content_of(traces[0], beside=traces[1] if len(traces) > 1 else None, has_words=False)
    ends = utf16_places(traces[0].text)[Cells.of(traces[0]).end_characters]
    return {"content": content.json(), "ends": ends.tolist(), "numTokens": len(traces[0])}


def effects(inference: Inference, question: Question) -> dict[str, Any]:
    """What the moved gaps of a text change.

    Returns:
        `content` with the moved gaps; `losses`, changes of surprisal by cell; `first`, the first cell that is moved
        (None if none is); and `isPart`, as `Effects.is_part` has it.

    Raises:
        HowFarError: The text cannot be read or drawn.
    """
    trace = inference.trace(*question.readings[0])
    found = effects_of(inference, question)
    content = moved_content(found, question, content_of(trace, has_words=False))
    if found is None:
        return {"content": content.json(), "losses": [], "first": None, "isPart": False}
    cells = Cells.of(trace)
    losses, labels = found.losses(cells), content.texts[0].labels
    by_cell = losses.group_by("cell").agg(pl.col("change").sum()).sort("cell")
    return {
        "content": content.json(),
        "losses": [
            {"label": labels[cell] if cell < len(labels) else "⏎", "change": change} for cell, change in by_cell.rows()
        ],
        "first": found.first_cell(cells),
        "isPart": found.is_part(losses, cells),
    }


def expected(inference: Inference, question: Question) -> dict[str, Any]:
    """`expected`: the likeliest next characters after the selected cell, with their probabilities before and after."""
    model, text = question.readings[0]
    cells = Cells.of(inference.trace(model, text))
    result = inference.what_if(model, text, question.edit(cells, question.cell(0, cells)))
    found = [{"label": token_label(data), "before": one, "after": other} for data, one, other in result.characters]
    return {"expected": found}


def written(inference: Inference, question: Question, random: np.random.Generator) -> dict[str, Any]:
    """`next`: a character that the model writes after the text; null at the end of a document.

    Raises:
        ConfigError: Two readings are asked for.
    """
    if len(question.readings) > 1:
        raise ConfigError("a model writes in one text at a time; compare with nothing")
    model, text = question.readings[0]
    cells = Cells.of(inference.trace(model, text))
    data = inference.write_on(model, text, question.edit(cells, len(cells) - 1), random)
    return {"next": data.decode(errors="replace") if data else None}
