"""Linear probes of the residual stream: the ceiling of what increments could say, for they read the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.statistics import held_out_scores
from howfar.positions import increments_of
from howfar.reading import Trace
from howfar.reading.run import MAX_TOKENS, document_mark
from howfar.reading.windows import batches, cover

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
    decoder, mark = increments_of(model).decoder, document_mark(tokenizer)
    sequences = [np.append(mark, trace.token_ids) for trace in traces]
    windows = [
        window
        for number, trace in enumerate(traces)
        for window in cover(len(trace) + 1, trace.context, trace.overlap, number)
    ]
    starts = np.cumsum([0, *map(len, tokens)])
    width = model.get_input_embeddings().weight.shape[1]
    states = np.empty((len(traces[0].layers), starts[-1], width), dtype=np.float16)
    device = next(model.parameters()).device
    with _entering(model) as entering, torch.inference_mode():
        for batch in batches(windows, MAX_TOKENS):
            token_ids = np.full((len(batch), len(batch[0])), mark)
            for row, window in enumerate(batch):
                token_ids[row, : len(window)] = sequences[window.sequence][window.start : window.stop]
            decoder(input_ids=torch.from_numpy(token_ids).to(device), use_cache=False)
            for row, window in enumerate(batch):
                wanted = tokens[window.sequence] + 1  # the mark is token 0 of the sequence
                first, last = np.searchsorted(wanted, (window.kept_from, window.stop))
                place = starts[window.sequence] + np.arange(first, last)
                columns = torch.from_numpy(wanted[first:last] - window.start).to(device)
                for index, hidden in enumerate(entering.values()):
                    states[index, place] = _normalised(hidden[row, columns]).cpu().numpy()
    return states


def _normalised(vectors: Tensor) -> Tensor:
    vectors = vectors.float()
    return (vectors / vectors.square().mean(dim=-1, keepdim=True).sqrt().clamp_min(1e-6)).half()


@contextmanager
def _entering(model: PreTrainedModel) -> Iterator[dict[int, Tensor]]:
    """What entered each layer with increments in the latest forward pass, by layer."""
    increments = increments_of(model)
    entering: dict[int, Tensor] = {}

    def keep(layer: int) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            entering[layer] = args[0] if args else kwargs["hidden_states"]

        return hook

    handles = [
        increments.layers[layer].register_forward_pre_hook(keep(layer), with_kwargs=True)
        for layer in increments.layer_indices
    ]
    try:
        yield entering
    finally:
        for handle in handles:
            handle.remove()
