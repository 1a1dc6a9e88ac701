"""Increments of several candidate tokens that could follow the same text."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from howfar.positions import record
from howfar.positions.arguments import CACHE_NAME
from howfar.positions.mode import evaluation_mode
from howfar.reading.reader import Reader
from howfar.reading.readings import stacked


def read_next(
    reader: Reader, tokens: NDArray[np.int64], choose: Callable[[Tensor], Tensor]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Append each candidate token to the same text, and give the candidates' increments.

    The text is read once; each candidate continues from the same cache.

    Args:
        reader: Reads with a model that has increments.
        tokens: The text, int64 `[token]`.
        choose: Picks the candidates, int64 `[candidate]`, from the logits after the text, `[vocabulary]`.

    Returns:
        The candidates, and their increments `[layer, head, candidate]`.

    Raises:
        NoIncrementsError: The model has no increments.
    """
    model = reader.model
    with evaluation_mode(model), torch.inference_mode():
        output = model(input_ids=torch.from_numpy(tokens)[None].to(reader.device), use_cache=True)
        candidates = choose(output.logits[0, -1])
        cache = output[CACHE_NAME]
        cache.batch_repeat_interleave(len(candidates))
        with record(model) as recording:
            model(input_ids=candidates[:, None].to(reader.device), use_cache=True, **{CACHE_NAME: cache})
    increments = stacked(recording.increments)[..., 0]
    return candidates.numpy(), np.moveaxis(increments, 1, 2)
