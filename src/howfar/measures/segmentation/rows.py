"""From cuts to the rows of the table of `segmentation`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.segmentation.words import Array, Words
from howfar.measures.statistics import Estimate, ratio

if TYPE_CHECKING:
    import polars as pl

SURPRISING = 0.9
"""Quantile of surprisal from which on a token counts as surprising."""
ENRICHMENT = "boundary enrichment"
UNITS = {"sentences": "sentence"}
"""What is cut out, where that is no word."""


@dataclass(frozen=True)
class Entry:
    """What a contestant decided.

    Attributes:
        score: Its name.
        scored_at: The token whose value it is, where it is one.
        chances: For the F1 of boundaries and that of words, `[gap]`: how likely a boundary is put there.
        chosen: For each, what was chosen.
    """

    score: str
    scored_at: str | None
    chances: Sequence[Array]
    chosen: Sequence[str | None]

    @classmethod
    def same(cls, score: str, chances: Array) -> Entry:
        """One that has nothing to choose."""
        return cls(score, None, (chances, chances), (None, None))

    @classmethod
    def everywhere(cls, score: str, num_gaps: int) -> Entry:
        """A cut at every gap."""
        return cls.same(score, np.ones(num_gaps))


def rows_of(entries: Sequence[Entry], gaps: Gaps, words: Words, *, seed: int) -> list[dict[str, Any]]:
    """A row for each contestant and quantity; the first contestant is what others are compared with."""
    compared: list[dict[str, Any]] = []
    others: list[dict[str, Any]] = []
    for which, kind in enumerate(("boundary", "word")):
        counts = [words.counts(entry.chances[which]) for entry in entries]
        right, found, true = (
            np.stack([own[f"{kind} {what}"] for own in counts]) for what in ("right", "found", "true")
        )
        f1 = ratio(2 * right, found + true, seed=seed)
        compared += _with_gains(list(_rows(f"{kind} F1", which, entries, f1)), f1)
        others += _rows(f"{kind} precision", which, entries, ratio(right, found, seed=seed))
        others += _rows(f"{kind} recall", which, entries, ratio(right, true, seed=seed))
    gold = [*entries, Entry.same("gold", gaps.is_boundary.astype(np.float64))]
    enriched = _rows(ENRICHMENT, 1, gold, _enrichment(gold, gaps, words, seed))
    return [*compared, *enriched, *others]


def missing(reasons: Mapping[str, str]) -> Iterator[dict[str, Any]]:
    """Rows of contestants that could not take part, and why."""
    for score, reason in reasons.items():
        yield {"quantity": "boundary F1", "score": score, "note": f"{score} left out: {reason}"}


def table_of(rows: Sequence[dict[str, Any]], target: str, gaps: Gaps) -> pl.DataFrame:
    """The table of `segmentation`."""
    import polars as pl

    common = {"target": target, "num_gaps": len(gaps), "num_boundaries": int(gaps.is_boundary.sum())}
    if gaps.num_unseen:
        common |= {"note": f"{gaps.num_unseen} gaps inside tokens left out"}
    schema: dict[str, Any] = dict.fromkeys(("target", "quantity", "score", "scored_at", "chosen"), pl.String)
    schema |= dict.fromkeys(("value", "low", "high", "gain", "gain_low", "gain_high", "gain_p", "rate"), pl.Float64)
    schema |= dict.fromkeys(("num_gaps", "num_boundaries", "n"), pl.Int64) | {"note": pl.String}
    unit = UNITS.get(target, "word")
    named = [row | {"quantity": row["quantity"].replace("word", unit)} for row in rows]
    return pl.DataFrame([common | row for row in named], schema=schema)


def _rows(quantity: str, which: int, entries: Sequence[Entry], estimates: Estimate) -> Iterator[dict[str, Any]]:
    for index, entry in enumerate(entries):
        row: dict[str, Any] = {"quantity": quantity, "score": entry.score, "scored_at": entry.scored_at}
        row |= {"chosen": entry.chosen[which], "rate": float(entry.chances[which].mean())}
        row |= _numbers(estimates[index], "value", "low", "high") | {"n": estimates.num_documents}
        if row["value"] is None:
            row["note"] = f"not measurable: {entry.score} puts no boundary"
        yield row


def _with_gains(rows: Sequence[dict[str, Any]], f1: Estimate) -> Iterator[dict[str, Any]]:
    """With what each F1 is above that of the first; intervals and p-values hold for all together."""
    gains = f1[1:] - f1[:1]
    together = gains.simultaneous(0.0)
    yield rows[0]
    for index, row in enumerate(rows[1:]):
        ends = {"gain_low": together.low[index], "gain_high": together.high[index], "gain_p": together.p_value[index]}
        row |= {"gain": float(gains.value[index])} | {name: _or_none(value) for name, value in ends.items()}
        if not together.low[index] > 0:
            where = f" at the {row['scored_at']}" if row["scored_at"] else ""
            row["note"] = f"{row['score']}{where} does not beat {rows[0]['score']} in {row['quantity']}"
        yield row


def _enrichment(entries: Sequence[Entry], gaps: Gaps, words: Words, seed: int) -> Estimate:
    """Which share of the surprising gaps is cut, over the share of all gaps that is."""
    is_surprising = gaps.surprisal >= np.quantile(gaps.surprisal, SURPRISING)
    num = len(words.num_given)

    def share(of: Array) -> Estimate:
        cut = [np.bincount(gaps.documents, entry.chances[1] * of, num) for entry in entries]
        return ratio(
            np.stack(cut), np.broadcast_to(np.bincount(gaps.documents, of, num), (len(entries), num)), seed=seed
        )

    return share(is_surprising.astype(np.float64)) / share(np.ones(len(gaps)))


def _numbers(estimate: Estimate, *names: str) -> dict[str, float | None]:
    found = (estimate.value, estimate.low, estimate.high)
    return {name: _or_none(float(value)) for name, value in zip(names, found, strict=True)}


def _or_none(value: float) -> float | None:
    return None if math.isnan(value) else float(value)
