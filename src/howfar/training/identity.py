"""Check that a model with new increments computes exactly what it does without them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from howfar.corpus.windows import Windows
from howfar.errors import IdentityError
from howfar.positions.mode import evaluation_mode


@dataclass(frozen=True)
class Output:
    """A model's output on some windows.

    Attributes:
        loss: Mean over tokens, in nats.
        hidden_states: The embeddings, then the output of each decoder layer; each `[window, token, width]`.
    """

    loss: float
    hidden_states: tuple[Tensor, ...]

    @classmethod
    @torch.no_grad()
    def of(cls, model: PreTrainedModel, input_ids: Tensor) -> Output:
        """Run a model in evaluation mode.

        Args:
            model: Any causal language model.
            input_ids: `[window, token]`.
        """
        with evaluation_mode(model):
            output = model(input_ids=input_ids, labels=input_ids, output_hidden_states=True, use_cache=False)
        return cls(output.loss.item(), output.hidden_states)


@contextmanager
def left_identical(model: PreTrainedModel, windows: Windows) -> Iterator[None]:
    """Check that the block changes nothing that a model computes on some windows.

    Raises:
        IdentityError: As `check_identical`.
    """
    tokens = torch.from_numpy(np.stack([windows[index] for index in range(len(windows))])).to(model.device)
    before = Output.of(model, tokens)
    yield
    check_identical(before, Output.of(model, tokens))


def check_identical(before: Output, after: Output) -> None:
    """Compare two outputs on the same windows, bit for bit.

    Raises:
        IdentityError: They differ; the message names the first layer that differs.
    """
    for index, (old, new) in enumerate(zip(before.hidden_states, after.hidden_states, strict=True)):
        if not torch.equal(old, new):
            where = "the embedding" if index == 0 else f"decoder layer {index - 1}"
            raise IdentityError(
                f"the model with fresh increments is not its base: {where} is the first that differs (by up to "
                f"{(old - new).abs().max().item():.1e}; loss {after.loss:.6f} instead of {before.loss:.6f}); "
                "use increments with angles = 'float32', or another architecture"
            )
    if before.loss != after.loss:
        raise IdentityError(
            f"the model with fresh increments is not its base: loss {after.loss:.9f} instead of {before.loss:.9f}, "
            "though all layers agree; run it again on one device"
        )
