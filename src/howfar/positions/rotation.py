"""From positions to the (cos, sin) that a model's attention rotates queries and keys by."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from howfar.errors import UnsupportedModelError
from howfar.foreign import first_line
from howfar.positions.arguments import LayerCall
from howfar.positions.shapes import Float

Layout = Literal["halves", "interleaved", "single"]
"""Layout of a model's angles along the head: twice in a row (Llama), each twice (Cohere), or once (GPT-OSS)."""


def spread(values: Float[Tensor, "... frequency"], layout: Layout) -> Float[Tensor, "... rotary"]:
    """Repeat one value per frequency along the rotated part of a head, in the model's layout."""
    if layout == "halves":
        return torch.cat((values, values), dim=-1)
    if layout == "interleaved":
        return torch.repeat_interleave(values, 2, dim=-1)
    return values


@dataclass(frozen=True)
class Rotation:
    """One set of rotary frequencies of a model, applied to any positions.

    The frequencies are the model's own rotary module's, so scaled RoPE stays as it is; only its integer positions
    are replaced. (The module itself cannot be called: it runs without gradients.)

    Args:
        module: The model's rotary embedding.
        prefix: Names the set: `""`, or the layer type if the model has several sets (Gemma 3).
        layout: Order of the angles along the head.
        angles: `"float32"` as Transformers computes them, or `"float64"`, reduced before the cast.
    """

    module: nn.Module
    prefix: str
    layout: Layout
    angles: Literal["float32", "float64"] = "float32"

    @property
    def width(self) -> int:
        """Width of the rotated part of a head: two numbers per frequency."""
        return 2 * int(self.frequencies.shape[-1])

    @property
    def frequencies(self) -> Float[Tensor, " frequency"]:
        """The module's frequencies, in radians per position."""
        frequencies: Tensor = getattr(self.module, f"{self.prefix}inv_freq")
        return frequencies

    @property
    def varies(self) -> bool:
        """Whether the module changes its frequencies with the length of a text, as dynamic RoPE and LongRoPE do."""
        return any(kind in str(getattr(self.module, "rope_type", "")) for kind in ("dynamic", "longrope"))

    def __call__(
        self,
        positions: Float[Tensor, "batch head token"],
        dtype: torch.dtype,
        frequencies: Float[Tensor, " frequency"] | None = None,
    ) -> tuple[Float[Tensor, "batch head token rotary"], Float[Tensor, "batch head token rotary"]]:
        """As `of_frequencies`, with the same position for all frequencies."""
        return self.of_frequencies(positions[..., None], dtype, frequencies)

    def of_frequencies(
        self,
        positions: Float[Tensor, "batch head token own"],
        dtype: torch.dtype,
        frequencies: Float[Tensor, " frequency"] | None = None,
    ) -> tuple[Float[Tensor, "batch head token rotary"], Float[Tensor, "batch head token rotary"]]:
        """Cosine and sine of each position's angles.

        Args:
            positions: Positions to rotate to, one for each frequency or one for all.
            dtype: The model's dtype.
            frequencies: In radians per position; if None, the module's own.
        """
        frequencies = (self.frequencies if frequencies is None else frequencies).to(positions.device)
        scaling: float = getattr(self.module, f"{self.prefix}attention_scaling")
        if self.angles == "float64":
            angles = torch.remainder(positions.double() * frequencies.double(), 2 * math.pi).float()
        else:
            angles = positions.float() * frequencies.float()
        cos, sin = angles.cos() * scaling, angles.sin() * scaling
        return spread(cos.to(dtype), self.layout), spread(sin.to(dtype), self.layout)


def fixed_up_to(model: nn.Module) -> float:
    """The longest text, in tokens, at which a model has the frequencies of the shortest; infinite in most models.

    Dynamic RoPE and LongRoPE choose them for a whole batch, by its longest text.
    """
    lengths = [math.inf]
    rotary: list[Any] = [module for module in model.modules() if hasattr(module, "rope_type")]
    for module in rotary:
        options = getattr(module.config, "rope_parameters", None) or {}
        for each in [options, *options.values()]:  # flat, or one table for each type of layer
            kind = each.get("rope_type", "") if isinstance(each, Mapping) else ""
            if "dynamic" in kind:
                lengths.append(module.original_max_seq_len)
            elif kind == "longrope":
                lengths.append(each["original_max_position_embeddings"])
    return min(lengths)


def rotation_of(rotary: nn.Module, layer_type: str | None, angles: Literal["float32", "float64"]) -> Rotation:
    """Infer from a model's rotary module how it rotates.

    A copy of the module is built on the CPU and asked for its cosines at a few positions; the layout is the one that
    reproduces them bit for bit. Nothing is inferred from an architecture's name.

    Args:
        rotary: The model's rotary embedding module (its own weights and device do not matter).
        layer_type: The layer's entry of `config.layer_types`, or None.
        angles: Passed to the `Rotation`.

    Raises:
        UnsupportedModelError: The module does not rotate by position times frequency.
    """
    name = type(rotary).__name__
    try:
        with torch.device("cpu"):
            copy = type(rotary)(rotary.config)
            arguments: dict[str, Any] = {"position_ids": torch.arange(8)[None]}
            if "layer_type" in inspect.signature(copy.forward).parameters:
                arguments["layer_type"] = layer_type
            expected_cos, expected_sin = copy(torch.zeros(1, dtype=torch.float32), **arguments)
        prefix = f"{layer_type}_" if hasattr(copy, f"{layer_type}_inv_freq") else ""
        for layout in ("halves", "interleaved", "single"):
            candidate = Rotation(copy, prefix, layout)
            cos, sin = candidate(torch.arange(8, dtype=torch.float32, device="cpu")[None, None], torch.float32)
            if torch.equal(cos[0], expected_cos.float()) and torch.equal(sin[0], expected_sin.float()):
                return Rotation(rotary, prefix, layout, angles)
    except (TypeError, ValueError, AttributeError, KeyError, RuntimeError) as error:
        raise UnsupportedModelError(
            f"{name} returns its rotary angles in a form that increments cannot replace ({first_line(error)}); "
            "use a model whose rotary module maps position ids to (cos, sin)"
        ) from error
    raise UnsupportedModelError(
        f"{name} does not rotate by position times frequency; "
        "use a model whose rotary module maps position ids to (cos, sin)"
    )


def check_rotary(decoder: nn.Module, rotations: Mapping[int, Rotation]) -> None:
    """Check that a decoder still has the rotary module by which its layers' learned positions rotate.

    Raises:
        UnsupportedModelError: Another one was put in after `attach`.
    """
    rotary = next((rotation.module for rotation in rotations.values()), None)
    is_copy = getattr(decoder, "_is_replica", False)  # of `nn.DataParallel`, as all its modules are
    if not is_copy and all(rotary is not part for part in decoder.children()):
        raise UnsupportedModelError(
            f"the rotary module of {type(decoder).__name__} was replaced after increments were attached, so base "
            "positions and learned ones would rotate differently; replace it first, and call howfar.attach then"
        )


def check_count(decoder: nn.Module, call: LayerCall, num_past_tokens: int) -> None:
    """Check that a decoder without `position_ids` counts on from the tokens in its cache.

    Args:
        decoder: The decoder.
        call: The coming call of its rotary module.
        num_past_tokens: Tokens in the cache, at least 1.

    Raises:
        UnsupportedModelError: It begins at another position, as Bamba does.
    """
    ids = call.get("position_ids")
    if isinstance(ids, Tensor) and ids.numel() and (first := int(ids.flatten()[0])) != num_past_tokens:
        raise UnsupportedModelError(
            f"{type(decoder).__name__} puts the first token after {num_past_tokens} cached ones at position {first}, "
            f"where the text would go on at {num_past_tokens}; give position_ids"
        )
