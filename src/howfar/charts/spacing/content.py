"""The data of a spacing picture: plain numbers and words, the same for Python and for a page's script.

A picture has slots, from left to right. A slot holds one character or token of each text; if two texts are aligned, it
may be empty in one of them. If one text is read by two models, a token stands in the slot in which it ends. Numbers
are rounded before drawing, so that both drawings use the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGITS = 5  # significant digits: a hundredth of a percent of a step


@dataclass(frozen=True, eq=False)
class Text:
    """One text, by slot; empty slots have no label and no tokens.

    Attributes:
        noun: The word for what a slot holds: `character` or `token`.
        unit: The word for a token of its model: `byte` or `token`.
        labels: The drawn text of each slot; spaces are spaces.
        codes: Code points of characters that are drawn differently, by slot.
        tokens: int64 `[slot]`: tokens of the character, which is its step with plain positions.
        kinds: int64 `[slot]`: index into `howfar.charts.spacing.kinds.KINDS`.
        surprisal_nats: float64 `[slot]`: of the character given all before it.
        entropy_nats: float64 `[slot]`: of the prediction after the character.
    """

    noun: str
    unit: str
    labels: list[str]
    codes: dict[int, str]
    tokens: NDArray[np.int64]
    kinds: NDArray[np.int64]
    surprisal_nats: NDArray[np.float64]
    entropy_nats: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Steps:
    """One row of a picture.

    Attributes:
        name: For example `layer 3`.
        text: Index of its text.
        mean: Mean increment of a token, in positions.
        gaps: float64 `[slot]`: distance of each character from the one before it, in positions.
        is_plain: Whether it shows plain positions.
        difference: float64 `[slot]`: how much longer the step is than the one it is compared with, both per token and
            over the means of their rows; None without a comparison, NaN if there is nothing to compare with. Where two
            models divide the text unlike, of the whole stretch between the ends that both have.
        parts: The steps of a gap's tokens, in positions, by slot; for characters of several tokens, the first twelve.
    """

    name: str
    text: int
    mean: float
    gaps: NDArray[np.float64]
    is_plain: bool = False
    difference: NDArray[np.float64] | None = None
    parts: dict[int, list[float]] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Content:
    """Everything that a picture shows.

    Attributes:
        title: One line.
        captions: Sentences about this text, from its numbers.
        description: The picture in words.
        noun: The word for what a slot holds: that of its texts, or `piece` where theirs differ.
        unit: The word for a token of the models: `byte`, or `token` where some are of several bytes.
        right_to_left: Whether positions grow to the left.
        shared_mean: Mean increment over all layers, also those that are not shown, in positions.
        texts: One text, or two aligned ones.
        rows: From top to bottom, the plain one first.
        is_one_text: Whether two texts are the same, read by two models: an empty slot then is a part of the next
            token of its text.
        moves: Steps that a reader has multiplied, with their factors: by `layer:slot`, where the layer may be `all`.
        plain: The layer that advances by plain +1 instead of its own steps, which may be `all`; None for none.
    """

    title: str
    captions: list[str]
    description: str
    noun: str
    unit: str
    right_to_left: bool
    shared_mean: float
    texts: list[Text]
    rows: list[Steps]
    is_one_text: bool = True
    moves: dict[str, float] = field(default_factory=dict)
    plain: str | None = None

    @property
    def is_pause(self) -> list[bool]:
        """By slot, whether a panel or line should preferably end after it: at whitespace."""
        return [label[-1:] in (" ", "⏎") for label in self.texts[0].labels]

    def __len__(self) -> int:
        return len(self.texts[0].labels)

    def json(self) -> dict[str, Any]:
        """The content as plain values, for the script."""
        return {
            "title": self.title,
            "captions": self.captions,
            "description": self.description,
            "noun": self.noun,
            "unit": self.unit,
            "rightToLeft": self.right_to_left,
            "sharedMean": self.shared_mean,
            "isOneText": self.is_one_text,
            "texts": [
                {
                    "noun": text.noun,
                    "unit": text.unit,
                    "labels": text.labels,
                    "codes": text.codes,
                    "tokens": text.tokens.tolist(),
                    "kinds": text.kinds.tolist(),
                    "surprisal": text.surprisal_nats.tolist(),
                    "entropy": text.entropy_nats.tolist(),
                }
                for text in self.texts
            ],
            "rows": [
                {
                    "name": row.name,
                    "text": row.text,
                    "mean": row.mean,
                    "gaps": row.gaps.tolist(),
                    "isPlain": row.is_plain,
                    "difference": None
                    if row.difference is None
                    else [None if np.isnan(value) else value for value in row.difference.tolist()],
                    "parts": row.parts,
                }
                for row in self.rows
            ],
            "moves": self.moves,
            "plain": self.plain,
        }


def rounded(values: NDArray[Any]) -> NDArray[np.float64]:
    """Round to as many digits as a picture can show."""
    return np.array([float(f"{value:.{_DIGITS}g}") for value in values.tolist()])
