"""Find the decoder layers of a Transformers model and how they rotate."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from torch import nn

from howfar.errors import UnsupportedModelError
from howfar.positions.config import Angles
from howfar.positions.rotation import Rotation, rotation_of


@dataclass(frozen=True)
class Decoder:
    """The parts of a model that learned positions touch."""

    module: nn.Module
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

    def rotations(self, angles: Angles) -> dict[int, Rotation]:
        """How each layer rotates, by its index, without the layers that have no rotary positions."""
        layer_types = getattr(self.module.config, "layer_types", None) or [None] * len(self.layers)
        known: dict[str | None, Rotation] = {}
        for layer_type in layer_types:
            if layer_type not in known:
                known[layer_type] = rotation_of(self.rotary, layer_type, angles)
        return {i: known[layer_types[i]] for i, layer in enumerate(self.layers) if has_rotary_positions(layer)}


def find_decoder(model: nn.Module) -> Decoder:
    """The decoder layers that take `position_embeddings`.

    Raises:
        UnsupportedModelError: There are none, as in models with learned absolute positions or ALiBi.
    """
    root = model.get_decoder() if hasattr(model, "get_decoder") else model
    for module in root.modules():
        for layers in module.children():
            if isinstance(layers, nn.ModuleList) and len(layers) and takes_position_embeddings(layers[0]):
                rotary = [child for child in module.children() if "RotaryEmbedding" in type(child).__name__]
                if len(rotary) == 1:
                    return Decoder(module, layers, rotary[0])
    raise UnsupportedModelError(
        f"{type(model).__name__} has no rotary positions that increments could replace: none of its layers takes "
        "`position_embeddings` from one rotary module (models with learned absolute positions or ALiBi do not); "
        "use a rotary causal language model, such as Llama, Qwen, Mistral, Gemma, OLMo, Phi-3 or Pythia"
    )


def takes_position_embeddings(layer: nn.Module) -> bool:
    """Whether a decoder layer is handed (cos, sin)."""
    return "position_embeddings" in inspect.signature(layer.forward).parameters


def has_rotary_positions(layer: nn.Module) -> bool:
    """Whether a decoder layer uses the (cos, sin) that it is handed; some architectures leave it out in some layers."""
    attention = getattr(layer, "self_attn", None)
    if hasattr(attention, "use_rope"):  # SmolLM3
        return bool(attention.use_rope)
    if type(attention).__name__ in ("Cohere2Attention", "Exaone4Attention"):  # rotary in sliding-window layers only
        return attention.sliding_window is not None
    return True
