"""Contestants that read the residual stream: how unlike neighbouring states are, and probes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.boundaries.probes import MAX_VALUES, PROBES, hidden_states
from howfar.measures.segmentation.choosing import Contestant, Folds, decide, several
from howfar.measures.segmentation.words import Words
from howfar.measures.statistics import ProbeKind, fit_probe
from howfar.reading import Trace

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DISSIMILARITY = "dissimilarity of residual states"


def most_gaps(model: PreTrainedModel, num_layers: int) -> int:
    """How many gaps' states are kept."""
    return int(MAX_VALUES // (num_layers * model.get_input_embeddings().weight.shape[1]))


def by_document(gaps: Gaps) -> Iterator[tuple[Trace, NDArray[np.int64]]]:
    """The documents in order, and the gaps of each."""
    documents, first = np.unique(gaps.documents, return_index=True)
    for number, members in zip(documents.tolist(), np.split(np.arange(len(gaps)), first[1:]), strict=True):
        yield gaps.traces[number], members


def read_states(
    model: PreTrainedModel, gaps: Gaps, tokenizer: PreTrainedTokenizerBase
) -> tuple[NDArray[np.float16], NDArray[np.float32]]:
    """Read the documents once more.

    Returns:
        What enters each layer at the first token behind each gap, `[layer, gap, width]`, each vector divided by its
        root mean square; and 1 minus the cosine of what stands on either side of the gap, `[place, layer, gap]`: the
        state at the first token behind it, and at the last token of the unit behind it, against the token before it.

    Source:
        Hwang, Wang & Gu 2025, "Dynamic chunking for end-to-end hierarchical sequence modeling" (its router learns from
        this signal, of states that it projects).
    """
    num_layers, width = len(gaps.traces[0].layers), model.get_input_embeddings().weight.shape[1]
    states = np.empty((num_layers, len(gaps), width), dtype=np.float16)
    unlike = np.empty((2, num_layers, len(gaps)), dtype=np.float32)
    for documents in _some_at_a_time(gaps, most_gaps(model, num_layers)):
        places = [(first := gaps.tokens[own], first - 1, _last_tokens(trace, first)) for trace, own in documents]
        tokens = [np.unique(np.concatenate(own)) for own in places]
        found = hidden_states(model, [trace for trace, _ in documents], tokens, tokenizer)
        begin = 0
        for (_, members), own, wanted in zip(documents, places, tokens, strict=True):
            of_document = found[:, begin : begin + len(wanted)]
            begin += len(wanted)
            behind, before, last = (of_document[:, np.searchsorted(wanted, place)].astype(np.float32) for place in own)
            states[:, members] = behind
            for place, state in enumerate((behind, last)):  # vectors have a mean square of 1
                unlike[place][:, members] = 1 - (state * before).mean(axis=-1)
    return states, unlike


def dissimilarities(unlike: NDArray[np.float32], gaps: Gaps, folds: Folds, names: dict[str, str]) -> list[Contestant]:
    """How unlike the states on both sides of a gap are, at each place; the layer is chosen."""
    return [
        several(
            DISSIMILARITY,
            [(f"layer {layer}", own) for layer, own in zip(gaps.traces[0].layers, values, strict=True)],
            folds,
            scored_at=names[place],
        )
        for place, values in zip(("first_token", "whole_unit"), unlike.astype(np.float64), strict=True)
    ]


def probes(
    states: NDArray[np.float16], gaps: Gaps, words: Words, folds: Folds, *, num_neurons: int, seed: int = 0
) -> tuple[Contestant, Contestant]:
    """A linear probe of each layer, and one with a hidden layer where the linear one was best."""
    layers = gaps.traces[0].layers
    linear = Contestant(
        PROBES["linear"],
        [[f"layer {layer}" for layer in layers]] * folds.num,
        [
            np.stack([_probed(own, gaps, folds, part, "linear", num_neurons, seed) for own in states])
            for part in range(folds.num)
        ],
        is_fitted=True,
    )
    _, best = decide(linear, words, folds, "boundary")
    mlp = Contestant(
        PROBES["mlp"],
        [[f"layer {layers[index]}"] for index in best],
        [_probed(states[index], gaps, folds, part, "mlp", num_neurons, seed)[None] for part, index in enumerate(best)],
        is_fitted=True,
    )
    return linear, mlp


def _probed(
    states: NDArray[np.float16], gaps: Gaps, folds: Folds, part: int, kind: ProbeKind, num_neurons: int, seed: int
) -> NDArray[np.float64]:
    """Scores of all gaps by a probe that saw neither a part nor the one on which its threshold is chosen."""
    fitted = folds.fitted(part)
    features = states.astype(np.float32)
    return fit_probe(features[fitted], gaps.is_boundary[fitted], kind=kind, num_neurons=num_neurons, seed=seed)(
        features
    )


def _some_at_a_time(gaps: Gaps, most: int) -> Iterator[list[tuple[Trace, NDArray[np.int64]]]]:
    """Documents with at most so many gaps together, or one."""
    waiting: list[tuple[Trace, NDArray[np.int64]]] = []
    num = 0
    for trace, members in by_document(gaps):
        if waiting and num + len(members) > most:
            yield waiting
            waiting, num = [], 0
        waiting.append((trace, members))
        num += len(members)
    if waiting:
        yield waiting


def _last_tokens(trace: Trace, first: NDArray[np.int64]) -> NDArray[np.int64]:
    """The last token of the units that begin at some tokens."""
    ends = np.array([unit.end_token for unit in trace.units])
    return ends[np.searchsorted(ends, first, "right")] - 1
