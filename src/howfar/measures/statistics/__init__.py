"""All statistics of the measures: bootstrap intervals over documents, and tests.

Tokens of one document are not independent, so every interval here resamples whole documents and studentises each
resample. A resample is a row of weights, one per document: how often the document was drawn. A statistic of sums is
then one matrix product for all resamples. Two statistics of the same documents share their resamples, so their
difference is paired.

Everywhere, `documents` `[item]` says in which document an item is, by any integers; `labels` `[item]` are true for the
positive items, or what to predict; `seed` determines everything random; and `options` are passed to `bootstrap`.
"""

from __future__ import annotations

from howfar.measures.choices import ProbeKind
from howfar.measures.statistics.correlations import correlation, rank_correlation
from howfar.measures.statistics.cross_fitting import CrossFitted, divide
from howfar.measures.statistics.discrimination import auc_alone, check_labels, roc_auc
from howfar.measures.statistics.estimate import Estimate
from howfar.measures.statistics.fitting import fit_probe, nested_scores, probe_scores
from howfar.measures.statistics.gains import Additions, Gains
from howfar.measures.statistics.inference import (
    Equivalence,
    equivalence_of_estimate,
    holm,
    over_intervals,
    over_seeds,
    proportion,
    wilcoxon,
)
from howfar.measures.statistics.resampling import (
    bootstrap,
    documents_sum,
    groups_of,
    mean,
    numbered,
    permutation_within,
    ratio,
)
from howfar.measures.statistics.studentised import MIN_DOCUMENTS, Studentised, columns_of, or_none

__all__ = [
    "MIN_DOCUMENTS", "Additions", "CrossFitted", "Equivalence", "Estimate", "Gains", "ProbeKind", "Studentised",
    "auc_alone", "bootstrap", "check_labels", "columns_of", "correlation", "divide", "documents_sum",
    "equivalence_of_estimate", "fit_probe", "groups_of", "holm", "mean", "nested_scores", "numbered", "or_none",
    "over_intervals", "over_seeds", "permutation_within", "probe_scores", "proportion", "rank_correlation", "ratio",
    "roc_auc", "wilcoxon",
]  # fmt: skip
