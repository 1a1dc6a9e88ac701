"""Traces of known numbers, without a model."""

from collections.abc import Sequence

import numpy as np

from howfar.positions import IncrementConfig
from howfar.reading import Trace


def make_trace(
    text: str,
    increments: Sequence | np.ndarray,
    *,
    config: IncrementConfig | None = None,
    token_bytes: Sequence[tuple[int, int]] | None = None,
    model_name: str = "known",
) -> Trace:
    """A trace of these increments: `[token]`, `[layer, token]` or `[layer, head, token]`; byte tokens by default."""
    data = text.encode()
    spans = np.array(token_bytes or [(byte, byte + 1) for byte in range(len(data))], np.int64)
    values = np.array(increments, np.float32)
    values = values.reshape(-1, 1, len(spans)) if values.ndim < 3 else values
    return Trace(
        text=text,
        token_ids=np.arange(len(spans), dtype=np.int64),
        token_bytes=spans,
        layers=tuple(range(len(values))),
        increments=values,
        mark_increments=np.ones(values.shape[:2], np.float32),
        surprisal_nats=np.linspace(0, 6, len(spans), dtype=np.float32),
        entropy_nats=np.linspace(3, 1, len(spans), dtype=np.float32),
        config=config,
        model_name=model_name,
        context=512,
        overlap=128,
    )
