"""What a picture of spacing is drawn from: plain numbers and words, the same for Python and for the script of a page.

A picture has slots, from left to right. A slot holds one character of each text; where two texts are aligned, it may be
empty in one of them. Numbers are rounded before anything is drawn, so that both drawings read the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGITS = 5  # significant ones: a hundredth of a percent of a step


@dataclass(frozen=True, eq=False)
class Text:
    """One text, by slot; empty slots have no label and no tokens.

    Attributes:
        labels: What is drawn in each slot; spaces are spaces.
        codes: Code points of what is drawn otherwise than it is, by slot.
        tokens: int64 `[slot]`: tokens of the character, which is how far plain positions advance over it.
        kinds: int64 `[slot]`: index into `howfar.charts.spacing.kinds.KINDS`.
        surprisal_nats: float64 `[slot]`: of the character given all before it.
        entropy_nats: float64 `[slot]`: of the prediction after the character.
    """

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
        text: Which text it is of.
        mean: Mean increment of a token, in positions.
        gaps: float64 `[slot]`: how far each character lies from the one before it, in positions.
        is_plain: Whether it stands for plain positions.
        difference: float64 `[slot]`: how much longer the step is than the one it is compared with, both by token and
            over the means of their rows; None where there is none, NaN where a slot is empty in one of them.
        parts: The increments that make up a gap, as text, by slot; for characters of several tokens.
    """

    name: str
    text: int
    mean: float
    gaps: NDArray[np.float64]
    is_plain: bool = False
    difference: NDArray[np.float64] | None = None
    parts: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Content:
    """All that a picture shows.

    Attributes:
        title: One line.
        captions: Sentences about this text, from its numbers.
        description: The picture in words.
        noun: What a slot holds: `character` or `token`.
        unit: What the model reads: `byte` or `token`.
        right_to_left: Whether positions grow to the left.
        shared_mean: Mean increment over all rows, in positions.
        texts: One, or two that are aligned.
        rows: From top to bottom, the plain one first.
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

    def __len__(self) -> int:
        return len(self.texts[0].labels)

    def json(self) -> dict[str, Any]:
        """The same as plain values, for the script."""
        return {
            "title": self.title,
            "captions": self.captions,
            "description": self.description,
            "noun": self.noun,
            "unit": self.unit,
            "rightToLeft": self.right_to_left,
            "sharedMean": self.shared_mean,
            "texts": [
                {
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
        }


def rounded(values: NDArray[Any]) -> NDArray[np.float64]:
    """Keep as many digits as a picture can show."""
    return np.array([float(f"{value:.{_DIGITS}g}") for value in values.tolist()])
