"""Give a model learned positions, take them away again, find them."""

from __future__ import annotations

from torch import nn

from howfar.errors import AlreadyAttachedError, NoIncrementsError
from howfar.positions import per_head
from howfar.positions.config import IncrementConfig
from howfar.positions.decoder import find_decoder
from howfar.positions.increments import Increments, LayerHook, PassBeginHook, PassEndHook
from howfar.positions.network import IncrementNetwork

HANDLE = "learned_positions"  # attribute of the decoder that holds the `Increments`


def attach(model: nn.Module, config: IncrementConfig | None = None) -> Increments:
    """Let a model's positions advance by learned increments instead of +1.

    The networks become submodules named `increments`: of the decoder if shared, of each decoder layer otherwise. The
    layers receive the new positions through forward pre-hooks; the model's code is untouched, so training, generation,
    checkpointing, compilation and adapters work as before. Attach before `torch.compile` and before a model is sharded.

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
    increments = Increments(config, decoder.module, decoder.layers, decoder.rotations(config.angles))
    num_heads = 1
    if config.per_head:
        num_heads = decoder.num_key_value_heads
        for index, rotation in increments.rotations.items():
            per_head.check_supported(decoder.layers[index], rotation.size)
        _use_attention(model, per_head.register(model.config._attn_implementation))
    owners = (
        [decoder.module] if config.scope == "shared" else [decoder.layers[index] for index in increments.layer_indices]
    )
    for owner in owners:
        owner.increments = IncrementNetwork(
            decoder.hidden_size,
            num_heads,
            config,
            normalise=config.scope == "per_layer",
            device=next(owner.parameters()).device,
            init_std=getattr(decoder.module.config, "initializer_range", None) or 0.02,
        ).train(owner.training)
    _hook(increments)
    setattr(decoder.module, HANDLE, increments)
    return increments


def detach(model: nn.Module) -> None:
    """Remove a model's increments; its positions advance by +1 again.

    Raises:
        NoIncrementsError: The model has none.
    """
    increments = increments_of(model)
    for handle in increments.hooks:
        handle.remove()
    for network_owner in [increments.decoder, *increments.layers]:
        network_owner._modules.pop("increments", None)
    delattr(increments.decoder, HANDLE)
    implementation = model.config._attn_implementation
    if increments.config.per_head:
        _use_attention(model, implementation.removeprefix(per_head.PREFIX))


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


def _hook(increments: Increments) -> None:
    decoder = increments.decoder
    increments.hooks = [
        decoder.register_forward_pre_hook(PassBeginHook(increments), with_kwargs=True),
        decoder.register_forward_hook(PassEndHook(increments)),
    ]
    increments.hooks += [
        increments.layers[index].register_forward_pre_hook(LayerHook(increments, index), with_kwargs=True)
        for index in increments.layer_indices
    ]


def _use_attention(model: nn.Module, implementation: str) -> None:
    if isinstance(model.config._attn_implementation, str) and model.config._attn_implementation != implementation:
        model.set_attn_implementation(implementation)
    if model.config._attn_implementation != implementation:
        raise RuntimeError(f"Transformers did not accept the attention function {implementation!r}")
