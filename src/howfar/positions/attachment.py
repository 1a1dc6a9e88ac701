"""Give a model learned positions, remove them, find them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from howfar.errors import AlreadyAttachedError, NoIncrementsError, UnsupportedModelError
from howfar.foreign import first_line
from howfar.positions.config import IncrementConfig
from howfar.positions.decoder import (
    Decoder,
    check_arguments,
    check_own_keys,
    find_decoder,
    heads_with_own_positions,
    no_rotary_positions,
    probe,
)
from howfar.positions.encodings import PLAIN
from howfar.positions.increments import Increments
from howfar.positions.network import IncrementNetwork

HANDLE = "learned_positions"  # attribute of the decoder that holds the `Increments`


def attach(model: nn.Module, config: IncrementConfig | None = None) -> Increments:
    """Let a model's positions advance by learned increments instead of +1.

    The networks become submodules named `increments`: of the decoder if shared, of each decoder layer otherwise. The
    layers receive the new positions through forward pre-hooks; the model's code is untouched, so training, generation,
    checkpointing, compilation and adapters work as before. Attach before `torch.compile` and before a model is sharded.
    Save with `howfar.save`, load with `howfar.load`: Transformers alone would load the model without its increments.

    A few tokens are run through the model before and after, to find the layers that rotate and to check that increments
    of 1 change nothing.

    Args:
        model: A Transformers causal language model whose decoder layers take `position_embeddings`.
        config: The kind of increments; by default one network per layer that starts at exactly 1.

    Returns:
        The model's `Increments`.

    Raises:
        AlreadyAttachedError: The model has increments.
        UnsupportedModelError: The model has no rotary positions, or (with `per_head`) none that can differ by head.

    Source:
        Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026.
    """
    return attach_encoding(model, config or IncrementConfig(), PLAIN)


def attach_encoding(
    model: nn.Module,
    config: IncrementConfig | None,
    encoding: Mapping[str, Any],
    *,
    from_scratch: bool = False,
) -> Increments:
    """Let a model's positions reach attention by an encoding, with learned increments or without.

    Args:
        model: As for `attach`.
        config: The kind of increments; None if every increment is 1.
        encoding: Its name and options.
        from_scratch: Whether the model has learned nothing yet, so that the encoding may change its output.

    Returns:
        The object that moves the model's positions.

    Raises:
        AlreadyAttachedError: The model has increments or an encoding.
        ConfigError: The encoding does not exist, or does not work with these increments.
        UnsupportedModelError: The model cannot have this encoding.
    """
    _check_free(model)
    decoder = find_decoder(model)
    check_arguments(decoder)
    before = probe(decoder)
    if not before.rotating_layers:
        raise no_rotary_positions(model)
    if config is not None and config.scope == "per_layer":
        check_own_keys(model, decoder)
    rotations = decoder.rotations(before.rotating_layers, "float32" if config is None else config.angles)
    is_per_head = config is not None and config.per_head
    num_heads = heads_with_own_positions(model, decoder, before.rotating_layers) if is_per_head else 1
    increments = Increments(config, encoding, decoder.module, decoder.layers, rotations, num_heads)
    _add_modules(increments, decoder, before.devices)
    increments.add_hooks()
    setattr(decoder.module, HANDLE, increments)
    try:
        increments.encoding.prepare(decoder.module)
        _check_identity(increments, decoder, None if from_scratch else before.output)
    except Exception as error:  # whatever an architecture with another kind of positions raises
        take_away(increments)
        what, advice = "increments", "use another rotary model"
        if increments.config.per_head:
            what, advice = "positions per head", "use per_head=False for this model"
        if increments.encoding.name != "rotary":
            what = f"the encoding {increments.encoding.name!r}"
            advice = "train a model with it from scratch, with a recipe's table [encoding]"
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot have {what}: {first_line(error)}; {advice}"
        ) from error
    if config is not None:
        decoder.module.config.increments = config.to_dict()  # so that a saved model names their kind
    return increments


def _check_free(model: nn.Module) -> None:
    """Refuse a model whose positions are replaced already."""
    found = positions_of(model)
    if found is not None and found.is_plain and found.encoding.name == "rotary":
        if not found.num_holders:  # copied inside the block
            take_away(found)
            return
        raise AlreadyAttachedError(
            f"this {type(model).__name__} is inside a howfar.movable block; call howfar.attach after the block"
        )
    if found is not None and found.encoding.name == "rotary":
        raise AlreadyAttachedError(
            f"this {type(model).__name__} has increments already; call howfar.detach(model) first to replace them"
        )
    if found is not None:
        raise AlreadyAttachedError(
            f"this {type(model).__name__} has the encoding {found.encoding.name!r} already; train a model with another "
            "[encoding] or other [increments] from scratch"
        )


def detach(model: nn.Module) -> None:
    """Remove a model's increments; its positions advance by +1 again.

    Raises:
        NoIncrementsError: The model has none.
        UnsupportedModelError: Its positions are not rotary, and it cannot work without them.
    """
    increments = increments_of(model)
    if increments.encoding.name != "rotary":
        raise UnsupportedModelError(
            f"the positions of this {type(model).__name__} reach attention by {increments.encoding.name!r}, and "
            "without it the model does not work; override its increments by howfar.override instead"
        )
    take_away(increments)


def increments_of(model: nn.Module) -> Increments:
    """The increments of a model, wrapped or compiled ones included.

    Raises:
        NoIncrementsError: The model has none.
        UnsupportedModelError: Decoder layers were taken out or put in after they were attached.
    """
    increments = find_increments(model)
    if increments is None:
        raise NoIncrementsError(
            f"this {type(model).__name__} has no increments: its positions advance by +1; "
            "train some with `howfar graft`, add them with howfar.attach(model), or load a model that has them"
        )
    return increments


def find_increments(model: nn.Module) -> Increments | None:
    """As `increments_of`; None if the model has none."""
    increments = positions_of(model)
    if increments is None or increments.is_plain:
        return None
    layers = increments.layers
    if len(layers) <= max(increments.layer_indices, default=0) or all(
        layers is not part for part in increments.decoder.children()
    ):
        raise UnsupportedModelError(
            f"decoder layers of this {type(model).__name__} were taken out or replaced after increments were attached; "
            "load the model again, change its layers, and call howfar.attach then"
        )
    return increments


def positions_of(model: nn.Module) -> Increments | None:
    """The object that moves a model's positions, even if only by 1; None if nothing is attached."""
    check_is_model(model)
    return next((vars(module)[HANDLE] for module in model.modules() if HANDLE in vars(module)), None)


def check_is_model(model: object) -> None:
    """Refuse what is no model, for example a model's name.

    Raises:
        UnsupportedModelError: It is no module of PyTorch.
    """
    if not isinstance(model, nn.Module):
        given = f"{str(model)[:40]!r}" if isinstance(model, str | os.PathLike) else f"a {type(model).__name__}"
        raise UnsupportedModelError(f"a model is needed, but this is {given}; load one with howfar.load, and give that")


def take_away(increments: Increments) -> None:
    """Undo `attach_encoding`."""
    increments.remove_hooks()
    for owner in increments.owners:
        del owner.increments
    for layer in increments.layers:
        if "encoding" in layer._modules:
            del layer.encoding
    delattr(increments.decoder, HANDLE)
    increments.encoding.restore(increments.decoder)
    vars(increments.decoder.config).pop("increments", None)


def _add_modules(increments: Increments, decoder: Decoder, devices: list[torch.device]) -> None:
    """Move the networks, and what an encoding learns, to the device of their input."""
    config, encoding = increments.config, increments.encoding
    for index in increments.layer_indices:
        module = encoding.layer_module(decoder.module)
        if module is not None:
            decoder.layers[index].encoding = module.to(devices[index]).train(decoder.layers[index].training)
    if increments.table is not None:
        decoder.module.increments = increments.table
        return
    for owner, index in zip(increments.owners, increments.layer_indices, strict=False):
        owner.increments = IncrementNetwork(
            decoder.hidden_size,
            increments.num_heads,
            config,
            normalise=config.scope == "per_layer",
            device=devices[index],
            init_std=getattr(decoder.module.config, "initializer_range", None) or 0.02,
        ).train(owner.training)


def _check_identity(increments: Increments, decoder: Decoder, before: Tensor | None) -> None:
    """Probe the model at positions 0, 1, 2, ...; compare it with an earlier probe, if there is one."""

    def one(layer: int, predicted: Tensor) -> Tensor:
        return torch.ones_like(predicted)

    def placed(layer: int, predicted: Tensor) -> Tensor:
        return torch.arange(predicted.shape[-1], device=predicted.device)

    def again() -> Tensor | None:
        with increments.overridden_by(one if increments.config.accumulate else placed):
            return probe(decoder).output

    after = again()
    if before is None or after is None or _same(after, before):
        return
    # Other bits are normal only with angles of another precision, and for kernels that give other bits at each run, or,
    # on an accelerator, for other layouts of the same numbers.
    is_exact = increments.encoding.name == "rotary" and increments.config.angles == "float32" and after.is_cpu
    message = "at positions 0, 1, 2, ... its output differs from what it was"
    if is_exact and _same(after, again()):
        raise UnsupportedModelError(message)
    torch.testing.assert_close(after, before, equal_nan=True, msg=message)


def _same(one: Tensor, other: Tensor | None) -> bool:
    """Whether two outputs are equal bit for bit, NaN at the same places."""
    return other is not None and bool(((one == other) | (one.isnan() & other.isnan())).all())
