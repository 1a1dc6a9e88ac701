"""Find the decoder layers of a Transformers model, how they rotate, and which of them do."""

from __future__ import annotations

import inspect
import threading
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PreTrainedModel

from howfar.errors import UnsupportedModelError
from howfar.positions.config import Angles
from howfar.positions.mode import evaluation_mode
from howfar.positions.rotation import Rotation, rotation_of
from howfar.positions.shapes import Float

NUM_PROBE_TOKENS = 8


@dataclass(frozen=True)
class Decoder:
    """The parts of a model that learned positions touch."""

    module: PreTrainedModel
    layers: nn.ModuleList
    rotary: nn.Module

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream."""
        return int(self.module.config.hidden_size)

    @property
    def num_key_value_heads(self) -> int:
        """Heads of the keys; query heads that share one of them share its positions."""
        config = self.module.config
        return int(getattr(config, "num_key_value_heads", None) or config.num_attention_heads)

    def rotations(self, layers: list[int], angles: Angles) -> dict[int, Rotation]:
        """How each of these layers rotates, by its index."""
        types = getattr(self.module.config, "layer_types", None) or [None] * len(self.layers)
        known = {kind: rotation_of(self.rotary, kind, angles) for kind in {types[index] for index in layers}}
        return {index: known[types[index]] for index in layers}


@dataclass(frozen=True)
class Probe:
    """What a decoder makes of a few tokens.

    Args:
        output: Its last hidden state; None on the "meta" device.
        rotating_layers: The layers that use the cosines they are handed. All layers are handed some; which ones leave
            them be is for each architecture to decide, so it is observed rather than known by name.
    """

    output: Float[Tensor, "batch token width"] | None
    rotating_layers: list[int]


@torch.no_grad()
def probe(decoder: Decoder) -> Probe:
    """Run a few arbitrary tokens through a decoder, in evaluation mode.

    Nothing can be run on the "meta" device, where a model waits for its weights: there all layers count as rotating.
    """
    module: Any = decoder.module
    device = next(module.parameters()).device
    if device.type == "meta":
        return Probe(None, list(range(len(decoder.layers))))
    token_ids = torch.arange(NUM_PROBE_TOKENS, device=device) % module.config.vocab_size
    with evaluation_mode(module), _Watch() as watch:
        hooks = [
            layer.register_forward_pre_hook(partial(watch.hand_over, index), with_kwargs=True)
            for index, layer in enumerate(decoder.layers)
        ]
        try:
            output = module(input_ids=token_ids[None], use_cache=False, return_dict=True).last_hidden_state
        finally:
            for hook in hooks:
                hook.remove()
    return Probe(output, sorted(watch.used))


class _Watch(TorchFunctionMode):
    """Hands each layer cosines of its own and notes which of them are given to any torch function, in its thread."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.cosines: dict[int, Tensor] = {}
        self.used: set[int] = set()

    def hand_over(self, index: int, layer: nn.Module, args: Any, kwargs: dict[str, Any]) -> Any:
        """Forward pre-hook of decoder layer `index`."""
        if threading.get_ident() == self.thread and isinstance(kwargs.get("position_embeddings"), tuple):
            cos, sin = kwargs["position_embeddings"]
            self.cosines[index] = cos.clone()
            kwargs = {**kwargs, "position_embeddings": (self.cosines[index], sin)}
        return args, kwargs

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.used.update(index for index, cosine in self.cosines.items() if any(arg is cosine for arg in args))
        return func(*args, **(kwargs or {}))


def find_decoder(model: nn.Module) -> Decoder:
    """The decoder layers that take `position_embeddings`.

    Raises:
        UnsupportedModelError: There are none, as in models with learned absolute positions or ALiBi.
    """
    root: nn.Module = model.get_decoder() if isinstance(model, PreTrainedModel) else model
    for module in root.modules():
        for layers in module.children():
            if isinstance(layers, nn.ModuleList) and len(layers) and takes_position_embeddings(layers[0]):
                rotary = [child for child in module.children() if "RotaryEmbedding" in type(child).__name__]
                if len(rotary) == 1:
                    return Decoder(module, layers, rotary[0])
    raise no_rotary_positions(model)


def no_rotary_positions(model: nn.Module) -> UnsupportedModelError:
    """The error for a model whose layers do not rotate by (cos, sin)."""
    return UnsupportedModelError(
        f"{type(model).__name__} has no rotary positions that increments could replace: none of its layers uses "
        "`position_embeddings` from one rotary module (models with learned absolute positions or ALiBi do not); "
        "use a rotary causal language model, such as Llama, Qwen, Mistral, Gemma, OLMo, Phi-3 or Pythia"
    )


def takes_position_embeddings(layer: nn.Module) -> bool:
    """Whether a decoder layer is handed (cos, sin)."""
    return "position_embeddings" in inspect.signature(type(layer).forward).parameters
