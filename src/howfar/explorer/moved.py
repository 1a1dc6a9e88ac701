"""A text with moved steps: one content of the picture for the page and its files."""

from __future__ import annotations

from dataclasses import replace

from howfar.charts.rows import Cells
from howfar.charts.spacing.build import content_of
from howfar.charts.spacing.captions import describe, findings
from howfar.charts.spacing.content import Content
from howfar.explorer.inference import Inference
from howfar.explorer.question import Question
from howfar.explorer.what_if import Effects


def effects_of(inference: Inference, question: Question) -> Effects | None:
    """What the moved steps of a question's text change; None if none is moved."""
    model, text = question.readings[0]
    edit = question.edit(Cells.of(inference.trace(model, text)))
    return None if edit.is_none else inference.effects(model, text, edit)


def moved_content(effects: Effects | None, question: Question, own: Content) -> Content:
    """The content of a picture with the moved steps of its text.

    Args:
        effects: `effects_of` the question.
        question: What the page asks, about one text.
        own: The content with the model's own steps. Rows keep its units, so that moving one step does not make the
            others look shorter; it has words if they are wanted.
    """
    if effects is None:
        return own
    moved = content_of(effects.moved, has_words=False)
    rows = [replace(row, mean=before.mean) for row, before in zip(moved.rows, own.rows, strict=True)]
    factors: dict[str, float] = {}
    for layer, cell, factor in question.moves:
        key = f"{'all' if layer is None else layer}:{cell}"
        if cell < len(own) and (layer is None or any(row.name == f"layer {layer}" for row in rows)):
            factors[key] = factors.get(key, 1.0) * factor
    moved = replace(
        moved,
        rows=rows,
        shared_mean=own.shared_mean,
        moves={key: factor for key, factor in factors.items() if factor != 1.0},
        plain="all" if question.plain == (None,) else str(question.plain[0]) if question.plain else None,
    )
    return replace(moved, captions=findings(moved), description=describe(moved)) if own.captions else moved
