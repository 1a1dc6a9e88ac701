"""A byte model whose increments are read from tables, so that every number about them is known beforehand.

Its layers add nothing to the residual stream, so a token is recognised in every layer, and each table says how far the
positions advance at which byte.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import IncrementConfig, increments_of
from howfar.positions.network import IncrementNetwork

NUM_TOKENS = 257
Table = Mapping[int, float]
"""Increments by token; 1 where a token is not listed."""


class LookUp(IncrementNetwork):
    """In place of an increment network: from one-hot vectors to the increments in its tables, one for each head."""

    def __init__(self, tables: Sequence[Table]) -> None:
        super().__init__(1, len(tables), IncrementConfig(), normalise=False)
        self.table = torch.ones(len(tables), NUM_TOKENS)
        for head, table in enumerate(tables):
            for token, increment in table.items():
                self.table[head, token] = increment

    def forward(self, hidden_states: Tensor) -> Tensor:
        return self.table[:, hidden_states.argmax(dim=-1)].transpose(0, 1)


def lookup_model(
    *layers: Table | Sequence[Table], certainty: Table | None = None, scope: str = "per_layer", **increments: Any
) -> HowFarForCausalLM:
    """The model, in evaluation mode.

    Args:
        layers: For each layer a table, or one for each head.
        certainty: By token, how sure the model is of what follows it: the weight on the byte "a", 0 where not listed.
        scope: Of the increments; shared ones are those of the first table.
        **increments: Further options of the increments.
    """
    tables = [[layer] if isinstance(layer, Mapping) else list(layer) for layer in layers]
    num_heads = 2
    options = {"scope": scope, "per_head": len(tables[0]) > 1, **increments}
    config = HowFarConfig(
        hidden_size=264,
        intermediate_size=2,
        num_hidden_layers=len(tables),
        num_attention_heads=num_heads,
        num_key_value_heads=num_heads,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        increments=options,
    )
    model = HowFarForCausalLM(config).eval()
    for name, weight in model.state_dict().items():
        if name.endswith(("o_proj.weight", "down_proj.weight", "lm_head.weight", "embed_tokens.weight")):
            weight.zero_()
    model.get_input_embeddings().weight.data[:, :NUM_TOKENS] = torch.eye(NUM_TOKENS)
    for token, weight in (certainty or {}).items():
        model.get_output_embeddings().weight.data[ord("a"), token] = weight
    for owner, heads in zip(increments_of(model).owners, tables, strict=False):
        owner.increments = LookUp(heads)
    return model
