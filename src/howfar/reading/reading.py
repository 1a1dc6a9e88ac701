"""A model's own forward pass over a batch of windows, watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.errors import NoIncrementsError
from howfar.positions import IncrementConfig, increments_of, record
from howfar.positions.decoder import find_decoder, probe
from howfar.positions.per_head import PREFIX
from howfar.positions.shapes import Float, Int

if TYPE_CHECKING:
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class Reading:
    """What a model did with a batch of windows.

    Attributes:
        surprisal_nats: float32 `[window, token]`; 0 for the first token of a window, which nothing precedes.
        entropy_nats: float32 `[window, token]`: of the prediction of the next token.
        increments: float32 `[layer, window, head, token]`.
    """

    surprisal_nats: NDArray[np.float32]
    entropy_nats: NDArray[np.float32]
    increments: NDArray[np.float32]


@dataclass(frozen=True)
class Reader:
    """A model that is watched as it reads.

    Attributes:
        model: The model.
        config: Its kind of increments; None for plain rotary positions.
        layers: Its decoder layers that have rotary positions.
        num_heads: Increments of a layer for each token.
    """

    model: PreTrainedModel
    config: IncrementConfig | None
    layers: tuple[int, ...]
    num_heads: int

    @classmethod
    def of(cls, model: PreTrainedModel) -> Reader:
        """Find out about a model's positions.

        Raises:
            UnsupportedModelError: It has no rotary positions.
        """
        try:
            increments = increments_of(model)
        except NoIncrementsError:
            return cls(model, None, tuple(probe(find_decoder(model)).rotating_layers), 1)
        return cls(model, increments.config, increments.layer_indices, increments.networks[0].output.out_features)

    @property
    def vocabulary_size(self) -> int:
        """Token ids that the model knows."""
        return int(self.model.get_input_embeddings().weight.shape[0])

    @contextmanager
    def reading(self) -> Iterator[Callable[[NDArray[np.int64]], Reading]]:
        """Make ready to read batch after batch: yields a function of token ids `[window, token]`.

        Windows are padded behind their text, where causal attention never looks, so no mask is needed.
        """
        watch: Any = nullcontext() if self.config is None else record(self.model)
        with _eval_mode(self.model), watch as recording, torch.inference_mode():

            def read(token_ids: NDArray[np.int64]) -> Reading:
                tokens = self._on_device(token_ids)
                logits = self.model(input_ids=tokens, use_cache=False).logits
                surprisal, entropy = surprisal_and_entropy(logits, tokens)
                if self.config is None:
                    increments = torch.ones(len(self.layers), len(tokens), 1, tokens.shape[1])
                else:
                    device = surprisal.device
                    increments = torch.stack([recording.increments[layer].to(device) for layer in self.layers])
                return Reading(*(part.cpu().numpy() for part in (surprisal, entropy, increments)))

            yield read

    def attention(self, token_ids: NDArray[np.int64]) -> NDArray[np.float32]:
        """Attention weights in one window: float32 `[layer, head, query, key]`.

        Args:
            token_ids: int64 `[token]`.
        """
        with _eval_mode(self.model), _eager_attention(self.model), torch.inference_mode():
            tokens = self._on_device(token_ids[None])
            weights = self.model(input_ids=tokens, use_cache=False, output_attentions=True).attentions
        return np.stack([weights[layer][0].float().cpu().numpy() for layer in self.layers])

    def _on_device(self, token_ids: NDArray[np.int64]) -> Int[Tensor, "window token"]:
        return torch.from_numpy(token_ids).to(self.model.get_input_embeddings().weight.device)


def surprisal_and_entropy(
    logits: Float[Tensor, "window token vocabulary"], tokens: Int[Tensor, "window token"]
) -> tuple[Float[Tensor, "window token"], Float[Tensor, "window token"]]:
    """Surprisal of each token given those before it, and entropy of the prediction after it, in nats.

    Args:
        logits: Overwritten where they are float32; one more tensor of their size is all that is made.
        tokens: The tokens that were read.

    Returns:
        Both float32. The first token's surprisal is 0, for nothing precedes it.
    """
    logits = logits.float()
    logits -= logits.amax(dim=-1, keepdim=True)
    of_next = logits[:, :-1].gather(-1, tokens[:, 1:, None].to(logits.device)).squeeze(-1)
    weights = logits.exp()
    total = weights.sum(dim=-1)
    log_total = total.log()
    surprisal = torch.zeros_like(total)
    surprisal[:, 1:] = log_total[:, :-1] - of_next
    return surprisal, log_total - weights.mul_(logits).sum(dim=-1) / total


@contextmanager
def _eager_attention(model: PreTrainedModel) -> Iterator[None]:
    """Let a model attend in the way that gives attention weights."""
    before = model.config._attn_implementation
    model.set_attn_implementation(f"{PREFIX}eager" if before.startswith(PREFIX) else "eager")
    try:
        yield
    finally:
        model.set_attn_implementation(before)


@contextmanager
def _eval_mode(model: PreTrainedModel) -> Iterator[None]:
    """Put a model into eval mode; afterwards those of its modules that were training do so again."""
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        yield
    finally:
        for module in training:
            module.training = True
