"""Contestants that read the residual stream: dissimilarity of neighbouring states, and probes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.boundaries.probes import PROBES, hidden_states
from howfar.measures.segmentation.choosing import Contestant, Folds, decide, several
from howfar.measures.segmentation.words import Words
from howfar.measures.statistics import ProbeKind, fit_probe
from howfar.reading import Trace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DISSIMILARITY = "dissimilarity of residual states"


def read_states(
    model: PreTrainedModel, gaps: Gaps, tokenizer: PreTrainedTokenizerBase
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Read the residual states at the gaps of all documents.

    Returns:
        The state that enters each layer at the first token after each gap, `[layer, gap, width]`, divided by its root
        mean square; and 1 minus the cosine similarity of the states after and before the gap, `[place, layer, gap]`.
        The state before is that of the last token; the places are the first token and the last token of the unit after.

    Source:
        Hwang, Wang & Gu 2025, "Dynamic chunking for end-to-end hierarchical sequence modeling" (its router uses this
        dissimilarity of projected states).
    """
    num_layers, width = len(gaps.traces[0].layers), model.get_input_embeddings().weight.shape[1]
    states = np.empty((num_layers, len(gaps), width), dtype=np.float16)
    dissimilarity = np.empty((2, num_layers, len(gaps)), dtype=np.float32)
    texts = list(gaps.by_text())
    places = [(first := gaps.tokens[gap], first - 1, _last_tokens(trace, first)) for trace, gap in texts]
    tokens = [np.unique(np.concatenate(of_text)) for of_text in places]
    found = hidden_states(model, [trace for trace, _ in texts], tokens, tokenizer)
    begin = 0
    for (_, members), wanted, read in zip(texts, places, tokens, strict=True):
        of_text = found[:, begin : begin + len(read)]
        begin += len(read)
        after, before, last = (of_text[:, np.searchsorted(read, token)].astype(np.float32) for token in wanted)
        states[:, members] = after
        for place, state in enumerate((after, last)):  # vectors have a mean square of 1
            dissimilarity[place][:, members] = 1 - (state * before).mean(axis=-1)
    return states, dissimilarity


def dissimilarities(
    dissimilarity: NDArray[np.float32], gaps: Gaps, folds: Folds, names: dict[str, str]
) -> list[Contestant]:
    """Dissimilarity of the states on both sides of a gap, one contestant per place; the layer is chosen."""
    layers = [f"layer {layer}" for layer in gaps.traces[0].layers]
    return [
        several(DISSIMILARITY, list(zip(layers, values, strict=True)), folds, scored_at=names[place])
        for place, values in zip(("first_token", "whole_unit"), dissimilarity.astype(np.float64), strict=True)
    ]


def probes(
    states: NDArray[np.float16], gaps: Gaps, words: Words, folds: Folds, *, num_neurons: int, seed: int = 0
) -> tuple[Contestant, Contestant]:
    """A linear probe of each layer, and an MLP probe of the layer whose linear probe was best."""
    layers = gaps.traces[0].layers
    linear = Contestant(
        PROBES["linear"],
        [[f"layer {layer}" for layer in layers]] * folds.num,
        [
            np.stack([_probed(of_layer, gaps, folds, fold, "linear", num_neurons, seed) for of_layer in states])
            for fold in range(folds.num)
        ],
        is_fitted=True,
    )
    _, best = decide(linear, words, folds, "boundary")
    mlp = Contestant(
        PROBES["mlp"],
        [[f"layer {layers[index]}"] for index in best],
        [_probed(states[index], gaps, folds, fold, "mlp", num_neurons, seed)[None] for fold, index in enumerate(best)],
        is_fitted=True,
    )
    return linear, mlp


def _probed(
    states: NDArray[np.float16], gaps: Gaps, folds: Folds, fold: int, kind: ProbeKind, num_neurons: int, seed: int
) -> NDArray[np.float64]:
    """Scores of all gaps by a probe that was fitted neither to a fold nor to the one that chooses its threshold."""
    fitted = folds.fitted(fold)
    features = states.astype(np.float32)
    probe = fit_probe(features[fitted], gaps.is_boundary[fitted], kind=kind, num_neurons=num_neurons, seed=seed)
    return probe(features)


def _last_tokens(trace: Trace, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """The last tokens of the units that begin at the tokens `first`."""
    ends = np.array([unit.end_token for unit in trace.units])
    return ends[np.searchsorted(ends, first, "right")] - 1
