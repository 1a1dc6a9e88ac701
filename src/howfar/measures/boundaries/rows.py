"""From scores of gaps to the rows of the table of `boundaries`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from howfar.errors import NotMeasurableError
from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.boundaries.scores import Score
from howfar.measures.statistics import Additions, Studentised, or_none, roc_auc
from howfar.measures.tables import Row, table

if TYPE_CHECKING:
    import polars as pl

AUC, WITHIN, GAIN = "auc", "auc within", "auc gain"


def auc_rows(scores: Sequence[Score], gaps: Gaps, **options: Any) -> list[Row]:
    """Rows of scores with the same folds: their AUC, and their AUC among gaps after the same character or token."""
    values = np.stack([score.values for score in scores])
    instability = np.array([score.instability for score in scores])
    folds = [] if scores[0].folds is None else [scores[0].folds]
    rows: list[Row] = []
    for quantity, strata in ((AUC, folds), (WITHIN, [*folds, gaps.previous])):
        try:
            estimates = roc_auc(values, gaps.is_boundary, gaps.documents, strata=strata, **options)
        except NotMeasurableError as error:
            if quantity == AUC:
                raise
            rows += [score.row(quantity) | {"note": f"not measurable: {error}"} for score in scores]
            continue
        estimates = estimates.widened(instability * np.square(estimates.error))
        compared = _compared(gaps) if quantity == WITHIN else np.ones(len(gaps), dtype=bool)
        rows += estimate_rows(quantity, scores, estimates, gaps, compared, null=0.5)
    return rows


def gain_rows(scores: Sequence[Score], additions: Additions, gaps: Gaps, **options: Any) -> list[Row]:
    """Rows of how much increments raise the AUC of a model, compared with permuted increments."""
    gains = additions.gains(gaps.is_boundary, gaps.documents, **options)
    return estimate_rows(GAIN, scores, gains, gaps, np.ones(len(gaps), dtype=bool), null=0.0)


def estimate_rows(
    quantity: str,
    scores: Sequence[Score],
    estimates: Studentised,
    gaps: Gaps,
    compared: NDArray[np.bool_],
    *,
    null: float,
) -> list[Row]:
    """A row for each score; increments also get simultaneous intervals over all layers, heads and places."""
    low, high = estimates.low, estimates.high
    rows = [
        score.row(quantity)
        | {"value": float(estimates.value[index])}
        | {"low": or_none(low[index]), "high": or_none(high[index])}
        | {"num_gaps": int(compared.sum()), "num_boundaries": int((compared & gaps.is_boundary).sum())}
        | {"n": estimates.num_documents}
        for index, score in enumerate(scores)
    ]
    family = [index for index, score in enumerate(scores) if score.scored_at is not None]
    if family:
        together = estimates[np.array(family)].simultaneous(null)
        for place, index in enumerate(family):
            rows[index] |= {
                "low_together": or_none(together.low[place]),
                "high_together": or_none(together.high[place]),
                "p_together": or_none(together.p_value[place]),
            }
    return rows


def table_of(rows: Sequence[Row], target: str, gaps: Gaps) -> pl.DataFrame:
    """The table of `boundaries`."""
    unseen = f"{gaps.num_unseen} gaps inside tokens are left out" if gaps.num_unseen else None
    return table(
        ({"target": target, "note": unseen} | row for row in rows),
        *((str, "target quantity score scored_at"), (int, "layer head")),
        *((float, "value low high low_together high_together p_together"), (int, "num_gaps num_boundaries n")),
    )


def _compared(gaps: Gaps) -> NDArray[np.bool_]:
    """Gaps that share the character or token before them with a gap of the other class; bool `[gap]`."""
    which = np.unique(gaps.previous, return_inverse=True)[1]
    num, positive = np.bincount(which), np.bincount(which, gaps.is_boundary)
    return np.asarray(((positive > 0) & (positive < num))[which])
