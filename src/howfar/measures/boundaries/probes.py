"""Linear probes of the residual stream: the ceiling of what increments could say, for they read the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.statistics import held_out_scores
from howfar.reading import Trace
from howfar.reading.reader import Reader

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MAX_VALUES = 250_000_000
"""Numbers of hidden states that are kept, in half precision: 500 MB. Documents beyond that are not probed."""


def probe_scores(
    model: PreTrainedModel, gaps: Gaps, tokenizer: PreTrainedTokenizerBase
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Score gaps by a linear probe of what enters each layer at the first token after the gap.

    Args:
        model: A model with increments.
        gaps: The gaps and their documents; no document is both fitted to and scored.
        tokenizer: The model's.

    Returns:
        Scores `[layer, probed gap]`, and which gaps were probed, `[gap]`.
    """
    width = model.get_input_embeddings().weight.shape[1]
    max_gaps = MAX_VALUES // (len(gaps.traces[0].layers) * width)
    last = gaps.documents[min(max_gaps, len(gaps) - 1)]
    probed = gaps.documents < last if max_gaps < len(gaps) else np.ones(len(gaps), dtype=bool)
    documents, first = np.unique(gaps.documents[probed], return_index=True)
    tokens = np.split(gaps.tokens[probed], first[1:])
    states = hidden_states(model, [gaps.traces[number] for number in documents], tokens, tokenizer)
    scores = [
        held_out_scores(of_layer.astype(np.float32), gaps.is_boundary[probed], gaps.documents[probed], probe=True)
        for of_layer in states
    ]
    return np.stack(scores), probed


def hidden_states(
    model: PreTrainedModel,
    traces: Sequence[Trace],
    tokens: Sequence[NDArray[np.int64]],
    tokenizer: PreTrainedTokenizerBase,
) -> NDArray[np.float16]:
    """The residual stream that enters each layer with increments, at some tokens of some documents.

    Args:
        model: A model with increments.
        traces: The documents.
        tokens: The tokens wanted of each document, ascending.
        tokenizer: The model's.

    Returns:
        float16 `[layer, wanted token, width]`, each vector divided by its root mean square, as the increments' networks
        do; in the documents' order.
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
