"""Which optimiser trains which weights, and at what learning rate."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from howfar.errors import ConfigError


def give_increments_their_rate(optimizer: Optimizer, model: nn.Module, learning_rate: float) -> None:
    """Move the increment networks' parameters into their own groups; the schedule scales every group alike.

    Args:
        optimizer: Holds all parameters of the model.
        model: A model with or without increments.
        learning_rate: Peak rate of the networks.
    """
    networks = {id(p) for name, p in model.named_parameters() if "increments" in name.split(".")}
    for group in _take_out(optimizer, networks):
        optimizer.add_param_group({**group, "lr": learning_rate})


def with_muon(optimizer: Optimizer, model: nn.Module, *, learning_rate: float, weight_decay: float) -> Optimizer:
    """Let Muon train the matrices of the decoder layers, and the present optimiser the rest.

    Rates are scaled so that an update is about as large as AdamW's at the same rate.

    Args:
        optimizer: Holds all parameters of the model.
        model: Its embeddings, norms, biases and increment networks stay with the present optimiser.
        learning_rate: Peak rate of the matrices.
        weight_decay: Weight decay of the matrices.

    Raises:
        ConfigError: This PyTorch has no Muon, or no matrix of a layer is trained.

    Source:
        K. Jordan, "Muon: An optimizer for hidden layers in neural networks", 2024; the scale of rates: J. Liu et al.,
        "Muon is Scalable for LLM Training", 2025.
    """
    if not hasattr(torch.optim, "Muon"):
        raise ConfigError(
            f"recipe: muon_learning_rate is given, but PyTorch {torch.__version__} has no Muon; install 2.9 or newer, "
            "or leave it out"
        )
    matrices = [parameter for name, parameter in model.named_parameters() if _is_matrix_of_a_layer(name, parameter)]
    if not matrices:
        raise ConfigError("recipe: muon_learning_rate is given, but no matrix of a layer is trained; leave it out")
    _take_out(optimizer, {id(matrix) for matrix in matrices})
    muon = torch.optim.Muon(matrices, lr=learning_rate, weight_decay=weight_decay, adjust_lr_fn="match_rms_adamw")
    return Together(optimizer, muon)


class Together(Optimizer):
    """Several optimisers as one, each with its own parameters.

    Args:
        *parts: The optimisers. Their groups become this one's, so that a schedule reaches all.
    """

    def __init__(self, *parts: Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share_groups()

    def _share_groups(self) -> None:
        self.param_groups = [group for part in self.parts for group in part.param_groups]

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step with each."""
        loss = None if closure is None else closure()
        for part in self.parts:
            part.step()
        return loss

    def state_dict(self) -> dict[str, Any]:
        """The states of all."""
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the states of all."""
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self._share_groups()


def _is_matrix_of_a_layer(name: str, parameter: nn.Parameter) -> bool:
    parts = name.split(".")
    return parameter.requires_grad and parameter.ndim == 2 and "layers" in parts and "increments" not in parts


def _take_out(optimizer: Optimizer, wanted: Collection[int]) -> list[dict[str, Any]]:
    """Remove parameters, by id, from an optimiser's groups; returns groups made of the removed ones."""
    taken = []
    for group in list(optimizer.param_groups):
        theirs = [p for p in group["params"] if id(p) in wanted]
        if theirs:
            group["params"] = [p for p in group["params"] if id(p) not in wanted]
            taken.append({**group, "params": theirs})
    optimizer.param_groups[:] = [group for group in optimizer.param_groups if group["params"]]
    return taken
