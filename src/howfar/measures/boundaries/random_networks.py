"""What increment networks with random weights mark: a control for what training taught a model's own.

A network reads vectors from which boundaries can be read in most directions. So increments may mark boundaries although
training did not make them do so. Here networks of the same shape with random weights read the same tokens. Only
increments that mark boundaries better than nearly all of these owe it to their training.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from howfar.measures.boundaries.gaps import Gaps
from howfar.measures.boundaries.probes import hidden_states, most_gaps
from howfar.measures.boundaries.scores import AUC, INCREMENT, PLACES, WITHIN, Array, gaps_compared
from howfar.measures.statistics import auc_alone
from howfar.measures.statistics.resampling import numbered
from howfar.measures.tables import Row
from howfar.positions import Increments, increments_of
from howfar.positions.network import IncrementNetwork

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

NUM_NETWORKS = 100
LEVEL = 0.05
NOT_TRAINED = "need not be due to training: of networks with random weights, at least 5% mark boundaries as well"
MAX_GAPS = 5_000
"""About how many gaps random networks read; if there are more, whole documents are left out, evenly."""

LEAST_SPREAD = 0.01
"""Of the AUCs of a place: where networks read the same vector at all gaps compared, AUCs differ only by rounding."""


def compare_with_random(
    rows: Sequence[Row],
    model: PreTrainedModel,
    gaps: Gaps,
    tokenizer: PreTrainedTokenizerBase,
    names: dict[str, str],
    layers: Sequence[int | None],
    *,
    num_networks: int = NUM_NETWORKS,
    seed: int = 0,
) -> None:
    """Add to the rows of increments what random networks have in the same layer and place.

    `random_low` and `random_high` bound the AUCs of 95% of them. `p_random` is the share of networks, of which the
    model's own is one, that are at least as far from 0.5 as the row is. `p_random_together` is the share of draws, of
    one network for each layer, in which any layer, head and place is (max-t; distances are measured in the root mean
    square of all draws at their place).

    Args:
        rows: Of `scores.auc_rows`; those of increments are changed.
        names: From `scores.scored_at`.
        layers: From `layer_names`.
        num_networks: Random networks of each layer.
    """
    increments = increments_of(model)
    if not increments.networks or not num_networks:
        return
    gaps = _some_documents(gaps, most_gaps(model, len(layers)))
    generator = torch.Generator().manual_seed(seed)
    inputs, places = _inputs(model, gaps, tokenizer)
    drawn: dict[tuple[str, str, int | None, int], Array] = {}  # `[network]`
    for layer, vectors in zip(layers, inputs, strict=True):
        networks = [_increments(vectors, increments, generator) for _ in range(num_networks)]
        for place, scores in places.scores(np.stack(networks, axis=1)):
            for quantity, strata in gaps_compared(gaps).items():
                aucs = auc_alone(scores, gaps.is_boundary, strata=strata)
                drawn |= {(quantity, names[place], layer, head): of_head for head, of_head in enumerate(aucs)}
    for quantity in (AUC, WITHIN):
        own = [row for row in rows if row["quantity"] == quantity and row["score"] == INCREMENT and "value" in row]
        _compare(own, [drawn[quantity, row["scored_at"], row["layer"], row["head"]] for row in own])


def _some_documents(gaps: Gaps, most_tokens: int) -> Gaps:
    """Whole documents, spread evenly, with about `MAX_GAPS` gaps, or fewer if memory does not suffice."""
    most = max(1, min(MAX_GAPS, int(most_tokens / (1 + gaps.num_tokens.mean()))))
    return gaps.among(numbered(gaps.documents)[0] % -(-len(gaps) // most) == 0)


def _compare(own: Sequence[Row], drawn: Sequence[Array]) -> None:
    """Fill in the rows of one quantity, except where the documents that were read have nothing to compare."""
    comparable = [number for number, aucs in enumerate(drawn) if np.isfinite(aucs).all()]
    if not comparable:
        return
    aucs = np.stack([drawn[number] for number in comparable])  # [place, network]
    low, high = np.quantile(aucs, (0.025, 0.975), axis=1).tolist()
    values = [own[number]["value"] for number in comparable]
    apart = np.abs(np.column_stack([values, aucs]) - 0.5)  # the model's own is the first draw, treated as any other
    apart /= np.sqrt(np.square(apart).mean(axis=1, keepdims=True)).clip(LEAST_SPREAD)
    farthest = apart.max(axis=0)
    for place, number in enumerate(comparable):
        as_far, any_as_far = apart[place] >= apart[place, 0], farthest >= apart[place, 0]
        own[number] |= {"random_low": low[place], "random_high": high[place]}
        own[number] |= {"p_random": float(as_far.mean()), "p_random_together": float(any_as_far.mean())}
        if own[number]["p_random"] >= LEVEL and _is_apart(own[number]):
            own[number]["note"] = NOT_TRAINED


def _is_apart(row: Row) -> bool:
    """Whether the interval for all layers and places excludes chance."""
    low, high = row["low_together"], row["high_together"]
    return low is not None and not low <= 0.5 <= high


@dataclass(frozen=True)
class _Places:
    """Where the increments of gaps are among those of the tokens that were read."""

    before: NDArray[np.int64]  # `[gap]`
    unit: NDArray[np.int64]  # `[gap, token of the unit after]`
    is_token: NDArray[np.bool_]  # `[gap, token of the unit after]`; units differ in length

    def scores(self, increments: Array) -> Iterator[tuple[str, Array]]:
        """From `[head, network, token]` the scores at each of `PLACES`, `[head, network, gap]`."""
        lead, whole, before = PLACES
        yield lead, increments[..., self.unit[:, 0]]
        yield whole, np.einsum("hngt,gt->hng", increments[..., self.unit], self.is_token)
        yield before, increments[..., self.before]


def _inputs(
    model: PreTrainedModel, gaps: Gaps, tokenizer: PreTrainedTokenizerBase
) -> tuple[Iterable[NDArray], _Places]:
    """What the networks read, `[token, width]` for each layer, and where the tokens of each gap are in it."""
    reach = np.arange(-1, gaps.num_tokens.max())
    is_needed = reach < gaps.num_tokens[:, None]
    tokens = np.where(is_needed, gaps.tokens[:, None] + reach, gaps.tokens[:, None])
    texts = np.broadcast_to(gaps.texts[:, None], tokens.shape)
    (of_text, read), where = np.unique([texts.ravel(), tokens.ravel()], axis=1, return_inverse=True)
    where = where.reshape(tokens.shape)
    places = _Places(where[:, 0], where[:, 1:], is_needed[:, 1:])
    numbers, first = np.unique(of_text, return_index=True)
    traces, tokens_read = [gaps.traces[number] for number in numbers], np.split(read, first[1:])
    if increments_of(model).config.scope == "per_layer":
        return hidden_states(model, traces, tokens_read, tokenizer), places
    ids = np.concatenate([trace.token_ids[of_trace] for trace, of_trace in zip(traces, tokens_read, strict=True)])
    embeddings = model.get_input_embeddings()
    with torch.inference_mode():
        vectors = embeddings(torch.from_numpy(ids).to(embeddings.weight.device)).float().cpu().numpy()
    return [vectors / np.sqrt(np.square(vectors).mean()).clip(1e-6)], places


def _increments(vectors: NDArray, increments: Increments, generator: torch.Generator) -> Array:
    """The increments of a random network, `[head, token]`.

    Its weights have such a scale that the inputs of the hidden units, and of the bound, have a variance near 1, where
    neither is linear.
    """
    network = IncrementNetwork(vectors.shape[1], increments.num_heads, increments.config, normalise=False)
    for layer in (network.hidden, network.output):
        nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
    with torch.inference_mode():
        return network(torch.from_numpy(vectors)[None])[0].numpy()
