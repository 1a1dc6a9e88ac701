"""Give a model learned positions, take them away again, find them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from howfar.errors import AlreadyAttachedError, NoIncrementsError, UnsupportedModelError
from howfar.foreign import first_line
from howfar.positions.config import IncrementConfig
from howfar.positions.decoder import Decoder, Probe, check_own_keys, find_decoder, no_rotary_positions, probe
from howfar.positions.increments import Increments
from howfar.positions.network import IncrementNetwork

HANDLE = "learned_positions"  # attribute of the decoder that holds the `Increments`


def attach(model: nn.Module, config: IncrementConfig | None = None) -> Increments:
    """Let a model's positions advance by learned increments instead of +1.

    The networks become submodules named `increments`: of the decoder if shared, of each decoder layer otherwise. The
    layers receive the new positions through forward pre-hooks; the model's code is untouched, so training, generation,
    checkpointing, compilation and adapters work as before. Attach before `torch.compile` and before a model is sharded.

    A few tokens are run through the model before and after, to see which layers rotate and to make sure that increments
    of 1 change nothing.

    Args:
        model: A Transformers causal language model whose decoder layers take `position_embeddings`.
        config: The kind of increments; by default one network per layer that starts at exactly 1.

    Returns:
        The model's `Increments`.

    Raises:
        AlreadyAttachedError: The model has increments.
        UnsupportedModelError: The model has no rotary positions, or none that can differ between heads (`per_head`).

    Source:
        Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026.
    """
    config = config or IncrementConfig()
    if _find(model) is not None:
        raise AlreadyAttachedError(
            f"this {type(model).__name__} has increments already; call howfar.detach(model) first to replace them"
        )
    decoder = find_decoder(model)
    before = probe(decoder)
    if not before.rotating_layers:
        raise no_rotary_positions(model)
    if config.scope == "per_layer":
        check_own_keys(model, decoder)
    rotations = decoder.rotations(before.rotating_layers, config.angles)
    increments = Increments(config, decoder.module, decoder.layers, rotations)
    _add_networks(increments, decoder, before.devices)
    increments.add_hooks()
    setattr(decoder.module, HANDLE, increments)
    try:
        increments.encoding.prepare(decoder.module)
        _check_identity(increments, decoder, before)
    except Exception as error:  # whatever an architecture raises that takes its positions in another way
        detach(model)
        what, advice = "increments", "use another rotary model"
        if config.per_head:
            what, advice = "positions per head", "use per_head=False for this model"
        raise UnsupportedModelError(
            f"{type(model).__name__} cannot be given {what}: {first_line(error)}; {advice}"
        ) from error
    decoder.module.config.increments = config.to_dict()  # so that what Transformers saves says of which kind they are
    return increments


def detach(model: nn.Module) -> None:
    """Remove a model's increments; its positions advance by +1 again.

    Raises:
        NoIncrementsError: The model has none.
    """
    increments = increments_of(model)
    increments.remove_hooks()
    for owner in increments.owners:
        del owner.increments
    delattr(increments.decoder, HANDLE)
    increments.encoding.restore(increments.decoder)
    vars(increments.decoder.config).pop("increments", None)


@contextmanager
def unit_increments(model: nn.Module) -> Iterator[None]:
    """Give a model with plain positions increments of exactly 1 while the block lasts, so that they can be edited.

    A model with increments keeps its own.

    Raises:
        UnsupportedModelError: The model has no rotary positions.
    """
    if _find(model) is not None:
        yield
        return
    attach(model, IncrementConfig(scope="shared"))
    try:
        yield
    finally:
        detach(model)


def increments_of(model: nn.Module) -> Increments:
    """The increments of a model, wrapped or compiled ones included.

    Raises:
        NoIncrementsError: The model has none.
    """
    increments = _find(model)
    if increments is None:
        raise NoIncrementsError(
            f"this {type(model).__name__} has no increments, its positions advance by +1; "
            "give it some with howfar.attach(model), or load a model that has them"
        )
    return increments


def _find(model: nn.Module) -> Increments | None:
    return next((vars(module)[HANDLE] for module in model.modules() if HANDLE in vars(module)), None)


def _add_networks(increments: Increments, decoder: Decoder, devices: list[torch.device]) -> None:
    """Put each network where what it reads lives."""
    config = increments.config
    for owner, index in zip(increments.owners, increments.layer_indices, strict=False):
        owner.increments = IncrementNetwork(
            decoder.hidden_size,
            decoder.num_key_value_heads if config.per_head else 1,
            config,
            normalise=config.scope == "per_layer",
            device=devices[index],
            init_std=getattr(decoder.module.config, "initializer_range", None) or 0.02,
        ).train(owner.training)


def _check_identity(increments: Increments, decoder: Decoder, before: Probe) -> None:
    """Compare a probe at positions 0, 1, 2, ... to one without increments."""

    def one(layer: int, predicted: Tensor) -> Tensor:
        return torch.ones_like(predicted)

    def placed(layer: int, predicted: Tensor) -> Tensor:
        return torch.arange(predicted.shape[-1], device=predicted.device)

    with increments.overridden_by(one if increments.config.accumulate else placed):
        after = probe(decoder)
    if before.output is not None:
        message = "at positions 0, 1, 2, ... its output differs from what it was"
        torch.testing.assert_close(after.output, before.output, equal_nan=True, msg=message)
