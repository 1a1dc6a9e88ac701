"""From boundaries to the rows of the table of `segmentation`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.segmentation.words import Array, Words
from howfar.measures.statistics import Estimate, or_none, ratio
from howfar.measures.tables import Row, table

if TYPE_CHECKING:
    import polars as pl

SURPRISING = 0.9
"""Tokens at or above this quantile of surprisal count as surprising."""
ENRICHMENT = "boundary enrichment"
BOUNDARIES = 0
"""Index of what was chosen for the F1 of boundaries, not of words."""
UNITS = {"sentences": "sentence"}
"""By target, the name of a unit that is not a word."""


@dataclass(frozen=True)
class Entry:
    """The boundaries that a contestant places."""

    score: str  # its name
    scored_at: str | None  # the token whose value is the score, if it is a token's
    probabilities: Sequence[Array]  # for the F1 of boundaries and for that of words: of a boundary, `[gap]`
    chosen: Sequence[str | None]  # for each, the names of the scores that were chosen

    @classmethod
    def same(cls, score: str, probabilities: Array) -> Entry:
        """An entry without choices, so both F1s are of the same boundaries."""
        return cls(score, None, (probabilities, probabilities), (None, None))


def rows_of(entries: Sequence[Entry], gaps: Gaps, words: Words, *, seed: int) -> list[Row]:
    """A row for each contestant and quantity; the others are compared with the first."""
    compared: list[Row] = []
    others: list[Row] = []
    for which, kind in enumerate(("boundary", "word")):
        counts = [words.counts(entry.probabilities[which]) for entry in entries]
        right, found, true = (
            np.stack([of_entry[f"{kind} {what}"] for of_entry in counts]) for what in ("right", "found", "true")
        )
        options: dict[str, Any] = {"seed": seed, "limits": (0.0, 1.0)}
        f1 = ratio(2 * right, found + true, **options)
        compared += _with_gains(list(_rows(f"{kind} F1", which, entries, f1)), f1)
        others += _rows(f"{kind} precision", which, entries, ratio(right, found, **options))
        others += _rows(f"{kind} recall", which, entries, ratio(right, true, **options))
    gold = [*entries, Entry.same("gold", gaps.is_boundary.astype(np.float64))]
    enriched = _rows(ENRICHMENT, BOUNDARIES, gold, _enrichment(gold, gaps, words, seed))
    return [*compared, *enriched, *others]


def missing(reasons: Mapping[str, str]) -> Iterator[Row]:
    """Rows that name the contestants that are left out, and why."""
    for score, reason in reasons.items():
        yield {"quantity": "boundary F1", "score": score, "note": f"{score} left out: {reason}"}


def table_of(rows: Sequence[Row], target: str, gaps: Gaps) -> pl.DataFrame:
    """The table of `segmentation`."""
    common = {"target": target, "num_gaps": len(gaps), "num_boundaries": int(gaps.is_boundary.sum())}
    if gaps.num_unseen:
        common |= {"note": f"{gaps.num_unseen} gaps inside tokens are left out"}
    unit = UNITS.get(target, "word")
    named = (row | {"quantity": row["quantity"].replace("word", unit)} for row in rows)
    return table(
        (common | row for row in named),
        (str, "target quantity score scored_at chosen"),
        *((float, "value low high gain gain_low gain_high gain_p rate"), (int, "num_gaps num_boundaries n")),
    )


def _rows(quantity: str, which: int, entries: Sequence[Entry], estimates: Estimate) -> Iterator[Row]:
    for index, entry in enumerate(entries):
        row: Row = {"quantity": quantity, "score": entry.score, "scored_at": entry.scored_at}
        row |= {"chosen": entry.chosen[which], "rate": float(entry.probabilities[which].mean())}
        row |= estimates[index].row() | {"n": estimates.num_documents}
        if row["value"] is None:
            row["note"] = f"not measurable: {entry.score} places no boundary"
        yield row


def _with_gains(rows: Sequence[Row], f1: Estimate) -> Iterator[Row]:
    """Add to each row the difference of its F1 from the first row's; intervals and p-values are simultaneous."""
    gains = f1[1:] - f1[:1]
    together = gains.simultaneous(0.0)
    yield rows[0]
    for index, row in enumerate(rows[1:]):
        ends = {"gain_low": together.low[index], "gain_high": together.high[index], "gain_p": together.p_value[index]}
        row |= {"gain": float(gains.value[index])} | {name: or_none(value) for name, value in ends.items()}
        if not together.low[index] > 0:
            where = f" at the {row['scored_at']}" if row["scored_at"] else ""
            row["note"] = f"{row['score']}{where} does not beat {rows[0]['score']} in {row['quantity']}"
        yield row


def _enrichment(entries: Sequence[Entry], gaps: Gaps, words: Words, seed: int) -> Estimate:
    """The share of surprising gaps that is cut, divided by the share of all gaps that is cut."""
    is_surprising = gaps.surprisal >= np.quantile(gaps.surprisal, SURPRISING)
    num = len(words.num_given)

    def share_cut(mask: Array) -> Estimate:
        cut = np.stack([np.bincount(gaps.documents, entry.probabilities[BOUNDARIES] * mask, num) for entry in entries])
        of_all = np.broadcast_to(np.bincount(gaps.documents, mask, num), cut.shape)
        return ratio(cut, of_all, seed=seed, limits=(0.0, 1.0))

    return share_cut(is_surprising.astype(np.float64)) / share_cut(np.ones(len(gaps)))
