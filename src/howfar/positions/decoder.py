"""Find a Transformers model's decoder layers, how they rotate, and which of them do."""

from __future__ import annotations

import inspect
import itertools
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from transformers import PretrainedConfig, PreTrainedModel

from howfar.errors import UnsupportedModelError
from howfar.positions.arguments import CACHE_NAMES, LayerCall, parameter_names
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

    def num_key_value_heads(self, layers: list[int]) -> set[int]:
        """The numbers of key-value heads in these layers; the query heads of one share its positions."""
        config = self.module.config
        numbers = option_of(config, "num_key_value_heads") or option_of(config, "num_attention_heads")
        return {numbers[index] for index in layers} if isinstance(numbers, list) else {int(numbers)}

    def rotations(self, layers: list[int], angles: Angles) -> dict[int, Rotation]:
        """How each of these layers rotates, by its index."""
        types = getattr(self.module.config, "layer_types", None) or [None] * len(self.layers)
        known = {kind: rotation_of(self.rotary, kind, angles) for kind in {types[index] for index in layers}}
        return {index: known[types[index]] for index in layers}


@dataclass(frozen=True)
class Probe:
    """What a decoder does with a few tokens.

    Args:
        output: Its last hidden state; None on the "meta" device.
        rotating_layers: The layers that use the cosines that they are given. All layers get some, and each architecture
            decides which layers ignore them, so this is observed, not looked up by name.
        devices: The device of each layer's input.
    """

    output: Float[Tensor, "batch token width"] | None
    rotating_layers: list[int]
    devices: list[torch.device]


@torch.no_grad()
def probe(decoder: Decoder) -> Probe:
    """Run a few arbitrary tokens through a decoder, in evaluation mode.

    On the "meta" device, where a model waits for its weights, there are shapes but no numbers. An architecture that
    reads numbers cannot run there: then all its layers count as rotating.
    """
    module: Any = decoder.module
    device = input_device(module)
    no_numbers = device.type == "meta"
    arguments: dict[str, Any] = {"use_cache": False, "return_dict": True}
    arguments["input_ids"] = (torch.arange(NUM_PROBE_TOKENS, device=device) % module.config.vocab_size)[None]
    if no_numbers:  # Transformers takes this mask as it is instead of looking for padding
        everything = torch.ones(1, 1, NUM_PROBE_TOKENS, NUM_PROBE_TOKENS, dtype=torch.bool, device=device)
        arguments["attention_mask"] = everything
    with ExitStack() as stack:
        stack.enter_context(evaluation_mode(module))
        watch = stack.enter_context(_Watch())
        for index, layer in enumerate(decoder.layers):
            hook = layer.register_forward_pre_hook(partial(watch.hand_over, index), with_kwargs=True)
            stack.enter_context(hook)
        try:
            output = module(**arguments).last_hidden_state
        except Exception:  # whatever an architecture that reads numbers raises
            if not no_numbers:
                raise
            watch.used, watch.devices = set(range(len(decoder.layers))), {}
    devices = [watch.devices.get(index, device) for index in range(len(decoder.layers))]
    return Probe(None if no_numbers else output, sorted(watch.used), devices)


def option_of(config: PretrainedConfig, name: str) -> Any:
    """An option of a configuration; a list, by layer, where layers differ in it; None where there is none."""
    if not getattr(config, "is_heterogeneous", False):
        return getattr(config, name, None)
    values = [getattr(layer, name, None) for layer in config.per_layer_config]  # `config` itself refuses to say
    return values if any(value != values[0] for value in values) else values[0]


def input_device(module: nn.Module) -> torch.device:
    """The device of a model's tokens; if Accelerate has moved its weights elsewhere, where it computes."""
    for part in module.modules():
        device = getattr(getattr(part, "_hf_hook", None), "execution_device", None)
        if device is not None:
            return torch.device(device)
    return next(module.parameters()).device


class _Watch(TorchFunctionMode):
    """Gives each layer its own cosines and notes which of them any torch function uses, in its thread."""

    def __init__(self) -> None:
        super().__init__()
        self.thread = threading.get_ident()
        self.cosines: dict[int, Tensor] = {}
        self.devices: dict[int, torch.device] = {}
        self.used: set[int] = set()

    def hand_over(self, index: int, layer: nn.Module, args: Any, kwargs: dict[str, Any] | None = None) -> Any:
        """Forward pre-hook of decoder layer `index`."""
        # Another thread may run before PyTorch has noted that the hook takes keyword arguments.
        if threading.get_ident() != self.thread or kwargs is None:
            return None
        call = LayerCall(parameter_names(layer), args, kwargs)
        self.devices[index] = call.hidden_states().device
        if isinstance(embeddings := call.get("position_embeddings"), tuple):
            cos, sin = embeddings
            self.cosines[index] = cos.clone()
            call.set("position_embeddings", (self.cosines[index], sin))
        return call.arguments

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.used.update(index for index, cosine in self.cosines.items() if any(arg is cosine for arg in args))
        return func(*args, **(kwargs or {}))


def find_decoder(model: nn.Module) -> Decoder:
    """The decoder layers that take `position_embeddings`.

    Raises:
        UnsupportedModelError: There are none, as in models with learned absolute positions or ALiBi.
    """
    # What `get_decoder` finds by name may be the output layer; then the decoder is elsewhere in the model.
    roots = [model.get_decoder(), model] if isinstance(model, PreTrainedModel) else [model]
    for module in itertools.chain.from_iterable(root.modules() for root in roots):
        for layers in module.children():
            if isinstance(layers, nn.ModuleList) and len(layers) and takes_position_embeddings(layers[0]):
                rotary = [child for child in module.children() if "RotaryEmbedding" in type(child).__name__]
                if len(rotary) == 1:
                    return Decoder(module, layers, rotary[0])
    raise no_rotary_positions(model)


def key_sources(module: nn.Module) -> dict[int, int]:
    """The layer whose keys a decoder layer attends to, by the index of each layer that has none of its own."""
    config: Any = module.config
    modes = getattr(config, "kv_sharing_modes", None) or []
    types = getattr(config, "layer_types", None) or [None] * len(modes)
    named = getattr(config, "kv_source_layers", None)
    storing = [index for index, mode in enumerate(modes) if mode == "store"]
    return {
        index: named[index] if named else max((one for one in storing if types[one] == types[index]), default=index)
        for index, mode in enumerate(modes)
        if str(mode).startswith("reuse")
    }


def check_arguments(decoder: Decoder) -> None:
    """Check that padding, positions and the cache reach the decoder by names that are known.

    Raises:
        UnsupportedModelError: An argument has another name: what is passed by it would be overlooked.
    """
    name, known = type(decoder.module).__name__, parameter_names(decoder.module)
    for names in (("attention_mask",), ("position_ids",), CACHE_NAMES):
        if not set(names) & set(known):
            raise UnsupportedModelError(
                f"{name}.forward takes {', '.join(known)}, but no {' or '.join(names)}, which increments must see; "
                "install the version of Transformers in constraints.txt, or use another architecture"
            )


def check_own_keys(model: nn.Module, decoder: Decoder) -> None:
    """Check that each layer attends to its own keys, so that it can have its own positions.

    Raises:
        UnsupportedModelError: Layers reuse the keys of other layers, at those layers' positions.
    """
    reusing = [str(index) for index in key_sources(decoder.module)]
    if reusing:
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot have increments per layer: layers {', '.join(reusing)} attend to the "
            "keys of earlier layers, which stand at those layers' positions; use scope='shared'"
        )


def heads_with_own_positions(model: nn.Module, decoder: Decoder, layers: list[int]) -> int:
    """How many heads of each of these layers have positions of their own with `per_head`.

    Raises:
        UnsupportedModelError: The layers have different numbers of key-value heads.
    """
    numbers = sorted(decoder.num_key_value_heads(layers))
    if len(numbers) > 1:
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot have positions per head: some of its layers have {numbers[0]} key-value "
            f"heads, others {numbers[-1]}; use per_head=False for this model"
        )
    return numbers[0]


def no_rotary_positions(model: nn.Module) -> UnsupportedModelError:
    """The error for a model whose layers do not rotate by (cos, sin)."""
    return UnsupportedModelError(
        f"{type(model).__name__} has no rotary positions that increments could replace: {_reason(model)}; "
        "use a rotary causal language model, for example Llama, Qwen, Mistral, Gemma, OLMo, Phi-3 or Pythia"
    )


def _reason(model: nn.Module) -> str:
    """How a model encodes positions instead."""
    parts, config = dict(model.named_modules()), getattr(model, "config", None)
    if getattr(config, "alibi", False) or any("alibi" in name for part in parts.values() for name in dir(type(part))):
        return "its attention is biased by distance (ALiBi)"
    if not any("Attention" in type(part).__name__ for part in parts.values()):
        return "it has no attention"
    if any(
        isinstance(part, nn.ModuleList) and len(part) and takes_position_embeddings(part[0]) for part in parts.values()
    ):
        return "its layers do not rotate, or not by the (cos, sin) that they are given"
    if getattr(config, "rotary_dim", None):
        return "each of its attention modules computes its angles from position ids by itself"
    for name, part in parts.items():
        if "Sinusoidal" in type(part).__name__:
            return f"its positions are sinusoids ({name})"
        if isinstance(part, nn.Embedding) and any(word in name for word in ("wpe", "position")):
            return f"it adds learned absolute positions ({name})"
    return "none of its layers uses `position_embeddings` (cos, sin) from one rotary module"


def takes_position_embeddings(layer: nn.Module) -> bool:
    """Whether a decoder layer gets (cos, sin)."""
    return "position_embeddings" in inspect.signature(type(layer).forward).parameters
