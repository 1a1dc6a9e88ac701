"""Probes of the residual stream: how well increments could tell boundaries, because their networks read it too.

A linear probe is not an upper bound, because the increments' networks have a hidden layer; a probe with a hidden layer
of the same width is the fair comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.boundaries.scores import Score, auc_rows
from howfar.measures.documents import spread_evenly
from howfar.measures.statistics import ProbeKind, probe_scores
from howfar.measures.tables import Row
from howfar.positions import increments_of
from howfar.reading import Trace
from howfar.reading.reader import Reader

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

PROBES: dict[ProbeKind, str] = {
    "linear": "linear probe of the residual stream",
    "mlp": "MLP probe of the residual stream",
}
MAX_VALUES = 250_000_000
"""The most numbers of hidden states that are kept: 500 MB in half precision. Further gaps are not probed."""


def probe_rows(
    model: PreTrainedModel, gaps: Gaps, tokenizer: PreTrainedTokenizerBase, kind: ProbeKind, *, seed: int = 0
) -> list[Row]:
    """Rows of a probe of the residual stream that enters each layer, at the first token after each gap.

    If there is memory for a part of the gaps only, these are spread evenly over all documents.

    Raises:
        NotMeasurableError: The documents are too few, or the gaps of some folds are of one class.
    """
    width = model.get_input_embeddings().weight.shape[1]
    chosen = np.zeros(len(gaps), dtype=bool)
    chosen[spread_evenly(len(gaps), most_gaps(model, len(gaps.traces[0].layers)))] = True
    probed = gaps.among(chosen)
    traces, members = zip(*probed.by_text(), strict=True)
    states = hidden_states(model, traces, [probed.tokens[of_text] for of_text in members], tokenizer)
    options: dict[str, Any] = {"kind": kind, "seed": seed}
    options["num_neurons"] = increments_of(model).config.hidden_size or width // 4
    scores = []
    for layer, of_layer in zip(gaps.traces[0].layers, states, strict=True):
        found = probe_scores(of_layer.astype(np.float32), probed.is_boundary, probed.documents, **options)
        scores.append(Score.fitted(PROBES[kind], found, layer=layer))
    return auc_rows(scores, probed, seed=seed)


def most_gaps(model: PreTrainedModel, num_layers: int) -> int:
    """The most gaps whose hidden states fit in memory."""
    return int(MAX_VALUES // (num_layers * model.get_input_embeddings().weight.shape[1]))


def hidden_states(
    model: PreTrainedModel,
    traces: Sequence[Trace],
    tokens: Sequence[NDArray[np.int64]],
    tokenizer: PreTrainedTokenizerBase,
) -> NDArray[np.float16]:
    """The residual stream that enters each layer with positions, at ascending `tokens` of each document.

    Returns:
        float16 `[layer, wanted token, width]`, in the order of the documents; each vector is divided by its root mean
        square, as the increments' networks do.
    """
    reader = Reader(model, tokenizer, context=traces[0].context, overlap=traces[0].overlap, mark=traces[0].mark)
    windows = [
        window
        for number, trace in enumerate(traces)
        for window in reader.cover(np.append(reader.mark, trace.token_ids), number)
    ]
    starts = np.cumsum([0, *map(len, tokens)])
    width = model.get_input_embeddings().weight.shape[1]
    states = np.empty((len(reader.layers), starts[-1], width), dtype=np.float16)
    for reading in reader.read(windows, "residuals"):
        for row, window in enumerate(reading.windows):
            wanted = tokens[window.document] + 1  # the mark is token 0 of the document
            first, last = np.searchsorted(wanted, (window.kept_from, window.stop))
            place = starts[window.document] + np.arange(first, last)
            columns = torch.from_numpy(wanted[first:last] - window.start)
            for index, entering in enumerate(reading.residuals.values()):
                states[index, place] = _normalised(entering[row, columns.to(entering.device)]).cpu().numpy()
    return states


def _normalised(vectors: Tensor) -> Tensor:
    vectors = vectors.float()
    return (vectors / vectors.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-6)).half()
