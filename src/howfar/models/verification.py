"""Read a saved model back and compare it with the original, before it counts as saved."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from howfar.errors import CheckpointError
from howfar.models.settings import attention_of, changed_settings, plain_settings
from howfar.models.unwrapping import uncompiled_name

if TYPE_CHECKING:
    from transformers import PreTrainedModel

NUM_PROBE_TOKENS = 8


def check_saved(model: PreTrainedModel, folder: Path, load: Callable[..., PreTrainedModel]) -> None:
    """Check that a folder holds a model: its tensors, settings and outputs, bit for bit.

    Args:
        model: The original.
        folder: The folder that it was saved to.
        load: Reads it back: `howfar.load`.

    Raises:
        CheckpointError: They differ; the message names the difference.
    """
    try:
        again = load(folder, dtype=model.dtype, attn_implementation=attention_of(model.config))
    except CheckpointError as error:
        fault = str(error).replace(f"{folder}/", "").replace(str(folder), "the folder").rpartition("; ")[0]
        raise _lost("what was written", f"does not load ({fault})") from error
    if settings := changed_settings(again.config, model.config):
        name = next(iter(settings))
        own = plain_settings(model.config).get(name)
        raise _lost(f"config.{name}", f"is {settings[name]!r} there instead of {own!r}")
    _check_tensors(model.state_dict(), again.state_dict())
    modes = {uncompiled_name(name): part.training for name, part in model.named_modules()}
    for name, part in again.named_modules():
        part.training = modes.get(name, model.training)
    own, read = [output_of(one) for one in (model, again.to(model.device))]
    if _take_rounded(model, again):
        read = output_of(again)
    if not _same_bits(own, read):
        raise _lost("its output on the same tokens", "differs, though all tensors and settings agree")


def _check_tensors(saved: Mapping[str, Tensor], read: Mapping[str, Tensor]) -> None:
    saved = {uncompiled_name(name): tensor for name, tensor in saved.items()}
    for name in saved.keys() ^ read.keys():
        raise _lost(name, "is not there" if name in saved else "is there but not in the model")
    for name, tensor in saved.items():
        if tensor.dtype != read[name].dtype:
            raise _lost(name, f"is {tensor.dtype} but is read as {read[name].dtype}")
        if not _same_bits(tensor, read[name]):
            raise _lost(name, "has other values there")


def _take_rounded(model: PreTrainedModel, again: PreTrainedModel) -> bool:
    """Check buffers that are computed, not saved; take over those that were rounded with the model's weights.

    Returns:
        Whether there are any.
    """
    any_rounded = False
    read = dict(again.named_buffers())
    for name, tensor in model.named_buffers():
        other = read.get(uncompiled_name(name))
        if other is None or not _same_bits(tensor, other.to(tensor.dtype)):
            raise _lost(name, "differs when it is computed from the configuration there")
        if other.dtype != tensor.dtype:
            module, _, own_name = uncompiled_name(name).rpartition(".")
            setattr(again.get_submodule(module), own_name, tensor.clone())
            any_rounded = True
    return any_rounded


def _same_bits(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    one, other = one.detach().cpu(), other.detach().cpu()
    # Equal numbers pass at once; NaN equals nothing, so its bytes are compared.
    return torch.equal(one, other) or torch.equal(*(t.reshape(-1).view(torch.uint8) for t in (one, other)))


@torch.no_grad()
def output_of(model: PreTrainedModel) -> Tensor:
    """Logits of a few arbitrary tokens, without compiled parts; with the same random draws every time."""
    tokens = torch.arange(NUM_PROBE_TOKENS, device=model.device)[None] % model.config.get_text_config().vocab_size
    with torch.random.fork_rng(), torch.compiler.set_stance("force_eager"):
        torch.manual_seed(0)
        logits: Tensor = model(input_ids=tokens, use_cache=False).logits
    return logits


def _lost(what: str, how: str) -> CheckpointError:
    return CheckpointError(
        f"saving would lose a part of the model: {what} {how}; change the model so that its configuration describes it"
    )
