"""The loss of tokens as a plain loop has it, to compare readings with."""

import numpy as np
import torch
from torch import Tensor, nn


@torch.no_grad()
def token_losses(model: nn.Module, windows: list[np.ndarray]) -> Tensor:
    """Each window read alone, `[window, longest - 1]`: entry t is the loss of token t + 1; zeros behind an end."""
    losses = torch.zeros(len(windows), max(map(len, windows)) - 1)
    for row, window in enumerate(windows):
        tokens = torch.from_numpy(window)
        log_probabilities = model(input_ids=tokens[None], use_cache=False).logits[0].log_softmax(dim=-1)
        losses[row, : len(window) - 1] = -log_probabilities[:-1].gather(1, tokens[1:, None])[:, 0]
    return losses
