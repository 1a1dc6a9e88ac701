"""Which gaps matter for predicting which token: each token's loss, differentiated by each earlier increment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from howfar.errors import NotMeasurableError
from howfar.measures.declaration import Measure
from howfar.measures.documents import documents_of
from howfar.measures.inputs import Inputs
from howfar.measures.layers import check_accumulates, check_movable_alone
from howfar.measures.passes import MOST_CHARACTERS, in_batches, window_length
from howfar.models.loading import tokenizer_of
from howfar.positions import movable, override
from howfar.progress import Progress, followed
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.text.spans import byte_spans_of_tokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DEFAULT_TOKENS = 40


@dataclass(frozen=True)
class GapEffects:
    """How each token's loss depends on the gap before each earlier token.

    Attributes:
        pieces: Each token as text (a byte that is part of a character as `<E4>`).
        layers: The decoder layers with learned positions.
        effects: float32 `[layer, head, predicted, gap]`, in nats per position: how fast the loss of token `predicted`
            rises as the gap before token `gap` grows; 0 unless `gap < predicted`. The whole model may react to a
            wider gap, later layers' increments included.
    """

    pieces: tuple[str, ...]
    layers: tuple[int, ...]
    effects: NDArray[np.float32]

    def __repr__(self) -> str:
        return f"GapEffects({len(self.pieces)} tokens, {self.effects.shape[0]} layers, {self.effects.shape[1]} heads)"

    def table(self) -> pl.DataFrame:
        """One row per layer, head, predicted token and gap before it."""
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
        model: A model with rotary positions; in a plain one a gap is a step of 1.
        text: At most one window of text; time grows with the square of its length.

    Raises:
        UnsupportedModelError: The model has no rotary positions.
        NotMeasurableError: The text is empty or longer than a window, increments are not summed, or positions reach
            no layer.
    """
    reader = Reader(model, tokenizer, context=window_length(model))
    spans = byte_spans_of_tokens(reader.tokenizer, text)
    num_tokens, longest = len(spans.token_ids), reader.context - 1
    if not 2 <= num_tokens <= longest:
        had = "1 token, which no gap precedes" if num_tokens == 1 else f"{num_tokens} tokens"
        raise NotMeasurableError(f"the text has {had}; give 2 to {longest}")
    window = Window(0, np.append(reader.mark, spans.token_ids))
    effects = np.zeros((len(reader.layers), reader.num_heads, num_tokens, num_tokens), dtype=np.float32)
    with movable(model) as increments:
        check_accumulates(increments)
        check_movable_alone(increments)
        own = slice(1 - increments.config.lag, num_tokens + 1 - increments.config.lag)
        for batch in followed(in_batches(range(num_tokens), batch_size), progress, num_tokens, len):
            predicted = np.array(batch)
            effects[:, :, predicted] = _differentiate(reader, window, predicted)[..., own].cpu().numpy()
    data = text.encode()
    pieces = tuple(_readable(data[start:end]) for start, end in spans.byte_spans.tolist())
    return GapEffects(pieces, reader.layers, effects)


def _differentiate(reader: Reader, window: Window, predicted: NDArray[np.int64]) -> Tensor:
    """Derivatives of some tokens' losses; `[layer, head, predicted, token]`.

    Every row of the batch is the same text with its own increments. Each row contributes another token's loss, so
    one backward pass of their sum gives every loss's derivatives.
    """
    size = (len(predicted), reader.num_heads, len(window))
    moves = {layer: torch.zeros(size, device=reader.device, requires_grad=True) for layer in reader.layers}
    with override(reader.model, lambda layer, own: own + moves[layer]):
        reading = reader.read_together([window] * len(predicted), predict_at=predicted.tolist(), gradients=True)
    following = torch.from_numpy(window.tokens[predicted + 1]).to(reading.predictions.device)
    loss = F.nll_loss(reading.predictions, following, reduction="sum")
    # A layer that takes no positions has no derivative, not one of 0.
    found = torch.autograd.grad(loss, list(moves.values()), allow_unused=True) if loss.requires_grad else [None]
    if all(derivative is None for derivative in found):
        raise NotMeasurableError(
            "positions reach no layer of this model, so a gap has no effect; use a model whose attention depends on "
            "positions"
        )
    derivatives = [torch.zeros_like(move) if by is None else by for move, by in zip(moves.values(), found, strict=True)]
    return torch.stack([derivative.transpose(0, 1) for derivative in derivatives])


def _readable(piece: bytes) -> str:
    try:
        return piece.decode("utf-8")
    except UnicodeDecodeError:
        return f"<{piece.hex().upper()}>"


def _run(model: PreTrainedModel, inputs: Inputs, progress: Progress | None) -> pl.DataFrame:
    """The effects for the first tokens of the first text."""
    tokenizer = tokenizer_of(model)
    text = next((document.text for document in documents_of(inputs.some_texts, tokenizer) if document.text), "")
    wanted = min(inputs.sample or DEFAULT_TOKENS, window_length(model) - 1)
    ends = byte_spans_of_tokens(tokenizer, text[: MOST_CHARACTERS * wanted]).byte_spans[:wanted, 1]
    # A character that is cut at the end is left out.
    beginning = text.encode()[: ends[-1] if len(ends) else 0].decode(errors="ignore")
    return gap_effects(model, beginning, tokenizer=tokenizer, progress=progress).table()


MEASURE = Measure(
    name="gap_effects",
    question="Which gaps matter for predicting which tokens?",
    run=_run,
    rows="exact derivatives for the tokens of one text",
    sample="tokens",
    columns=("layer", "head", "predicted", "predicted_piece", "gap", "gap_piece", "nats_per_position"),
    of_plain=True,
)
