"""Results of a reader: a text's tokens, and the results of a model on a batch of windows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.positions.shapes import Float
from howfar.reading.windows import Window

Kept = Literal["losses", "increments", "positions", "attention", "residuals"]


@dataclass(frozen=True)
class TokenizedText:
    """A text as a model reads it.

    Attributes:
        text: The text.
        tokens: int64 `[token]`; the first is the document mark.
        byte_spans: int64 `[token - 1, 2]`: start and stop byte of each token after the mark, in the text's UTF-8.
    """

    text: str
    tokens: NDArray[np.int64]
    byte_spans: NDArray[np.int64]


@dataclass(frozen=True)
class Reading:
    """A model's results on a batch of windows. Fields that were not asked for are empty.

    Attributes:
        windows: The batch. Values past the end of a shorter window are meaningless (see `real_tokens`).
        surprisal_nats: float32 `[window, token]`; 0 for the first token of a window, which is not predicted, and past
            the window's end.
        entropy_nats: float32 `[window, token]`: entropy of the prediction of the next token.
        increments: By layer with rotary positions, `[window, head, token]`; ones if the model has no increments.
        positions: By layer, `[window, head, token]`.
        attention: By layer, `[window, head, query, key]`. A row sums to 1, or to less if the model has attention sinks.
        visible: By layer, which keys a query may attend to: bool, broadcasts to `attention`. A sliding window has fewer
            keys than all earlier tokens.
        residuals: By layer, the residual stream that enters it, `[window, token, width]`.
        predictions: float32 `[window, vocabulary]`: log-probabilities of the next token after each `predict_at`;
            `[window, index, vocabulary]` if there are several in each window.
    """

    windows: Sequence[Window]
    surprisal_nats: Float[Tensor, "window token"] = field(default_factory=lambda: torch.empty(0))
    entropy_nats: Float[Tensor, "window token"] = field(default_factory=lambda: torch.empty(0))
    increments: dict[int, Tensor] = field(default_factory=dict)
    positions: dict[int, Tensor] = field(default_factory=dict)
    attention: dict[int, Tensor] = field(default_factory=dict)
    visible: dict[int, Tensor] = field(default_factory=dict)
    residuals: dict[int, Tensor] = field(default_factory=dict)
    predictions: Float[Tensor, "window *index vocabulary"] = field(default_factory=lambda: torch.empty(0))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle a reading for another process: as arrays, and without its windows, which the receiver has."""
        kept = {name: value for name, value in vars(self).items() if name != "windows" and len(value)}
        return _from_arrays, ({name: _to_arrays(value) for name, value in kept.items()},)


def stacked(by_layer: dict[int, Tensor]) -> NDArray[Any]:
    """Stack a field that a reading holds by layer into one array `[layer, window, ...]`."""
    parts = list(by_layer.values())
    return _to_array(torch.stack([part.to(parts[0].device) for part in parts]))


def _to_array(tensor: Tensor) -> NDArray[Any]:
    """A tensor as an array; floating-point numbers of 16 bits become float32."""
    tensor = tensor.cpu()
    return (tensor.float() if tensor.dtype in (torch.bfloat16, torch.float16) else tensor).numpy()


def _to_arrays(value: Tensor | dict[int, Tensor]) -> Any:
    return {k: _to_array(v) for k, v in value.items()} if isinstance(value, dict) else _to_array(value)


def _from_arrays(fields: dict[str, Any]) -> Reading:
    def tensors(value: Any) -> Any:
        return {k: tensors(v) for k, v in value.items()} if isinstance(value, dict) else torch.tensor(value)

    return Reading((), **{name: tensors(value) for name, value in fields.items()})
