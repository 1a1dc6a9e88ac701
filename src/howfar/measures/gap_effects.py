"""Which gaps matter for predicting which token: each prediction's loss, differentiated by each earlier increment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from howfar.errors import NotMeasurableError
from howfar.measures.passes import window_length
from howfar.models.loading import tokenizer_of
from howfar.positions import increments_of, override
from howfar.progress import Progress
from howfar.reading.marks import document_mark
from howfar.text.spans import byte_spans_of_tokens

if TYPE_CHECKING:
    import polars as pl
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class GapEffects:
    """How the loss of each token of a text depends on the gap before each earlier one.

    Attributes:
        pieces: What each token stands for, as text (a lone byte of a character as `<E4>`).
        layers: The decoder layers with learned positions.
        effects: float32 `[layer, head, predicted, gap]`, in nats per position: how fast the loss of token `predicted`
            rises as the increment of token `gap` grows; 0 unless `gap < predicted`. All of the model may react to a
            wider gap, later layers' increments included.
    """

    pieces: tuple[str, ...]
    layers: tuple[int, ...]
    effects: NDArray[np.float32]

    def table(self) -> pl.DataFrame:
        """One row per layer, head, predicted token and gap before it."""
        import polars as pl

        layer, head, predicted, gap = np.nonzero(
            np.broadcast_to(np.tri(self.effects.shape[-1], k=-1), self.effects.shape)
        )
        pieces = pl.Series(self.pieces)
        return pl.DataFrame(
            {
                "layer": np.array(self.layers)[layer],
                "head": head,
                "predicted": predicted,
                "gap": gap,
                "predicted_piece": pieces.gather(predicted),
                "gap_piece": pieces.gather(gap),
                "nats_per_position": self.effects[layer, head, predicted, gap],
            }
        )


def gap_effects(
    model: PreTrainedModel,
    text: str,
    *,
    tokenizer: PreTrainedTokenizerBase | None = None,
    batch_size: int = 16,
    progress: Progress | None = None,
) -> GapEffects:
    """Differentiate the loss of each token of a text by each increment before it.

    Args:
        model: A model with increments.
        text: At most one window of text; time grows with the square of its length.
        tokenizer: The model's; found by `howfar.tokenizer_of` where None.
        batch_size: Tokens whose losses are differentiated at a time.
        progress: Called with how many tokens are done and how many there are.

    Raises:
        NoIncrementsError: The model has no increments.
        NotMeasurableError: The text is empty or longer than a window.
    """
    increments = increments_of(model)
    tokenizer = tokenizer or tokenizer_of(model)
    spans = byte_spans_of_tokens(tokenizer, text)
    num_tokens, longest = len(spans.token_ids), window_length(model) - 1
    if not 1 <= num_tokens <= longest:
        raise NotMeasurableError(f"the text has {num_tokens} tokens; give 1 to {longest}")
    tokens = torch.from_numpy(np.append(document_mark(tokenizer), spans.token_ids)).to(model.device)
    num_heads = increments.networks[0].get_parameter("output.weight").shape[0]
    effects = np.zeros((len(increments.layer_indices), num_heads, num_tokens, num_tokens), dtype=np.float32)
    was_training = model.training
    model.eval()
    try:
        for start in range(0, num_tokens, batch_size):
            predicted = torch.arange(start, min(start + batch_size, num_tokens), device=model.device)
            found = _differentiate(model, increments.layer_indices, num_heads, tokens, predicted)
            effects[:, :, predicted.cpu().numpy()] = found[..., 1:].cpu().numpy()
            if progress is not None:
                progress(int(predicted[-1]) + 1, num_tokens)
    finally:
        model.train(was_training)
    data = text.encode()
    pieces = tuple(_readable(data[start:end]) for start, end in spans.byte_spans.tolist())
    return GapEffects(pieces, increments.layer_indices, effects)


def _differentiate(
    model: PreTrainedModel, layers: tuple[int, ...], num_heads: int, tokens: Tensor, predicted: Tensor
) -> Tensor:
    """Derivatives of some tokens' losses; `[layer, head, predicted, token]`.

    Every row of the batch is the same text with increments of its own, so that one backward pass of the sum over rows,
    in each of which another token's loss is taken, gives every loss's derivatives.
    """
    rows = tokens.expand(len(predicted), -1)
    moves = {
        layer: torch.zeros(len(predicted), num_heads, len(tokens), device=tokens.device, requires_grad=True)
        for layer in layers
    }
    with torch.enable_grad(), override(model, lambda layer, own: own + moves[layer]):
        logits = model(input_ids=rows, use_cache=False).logits
        chosen = logits[torch.arange(len(predicted)), predicted].float()
        loss = F.cross_entropy(chosen, tokens[1:][predicted], reduction="sum")
        derivatives = torch.autograd.grad(loss, list(moves.values()))
    return torch.stack([derivative.transpose(0, 1) for derivative in derivatives])


def _readable(piece: bytes) -> str:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return f"<{piece.hex().upper()}>"
