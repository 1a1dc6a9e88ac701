"""What is known of a loaded model beside its weights: its base, how often each token was trained on, its tokenizer."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from howfar.errors import ModelNotFoundError
from howfar.models.fingerprint import fingerprint
from howfar.models.folders import find_model, revision_of
from howfar.models.pretrained import load_pretrained
from howfar.models.unwrapping import unwrap

if TYPE_CHECKING:
    from transformers import GenerationConfig, PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

_ATTRIBUTE = "_howfar_origin"


@dataclass(frozen=True)
class Base:
    """The pretrained model that a graft is for.

    Attributes:
        name: A Hub id, a folder or a GGUF file; of a local model whose weights lie in the graft, only its name.
        revision: The commit on the Hub; None for a local one.
        fingerprint: Of its weights before any training, from `fingerprint`.
    """

    name: str
    revision: str | None
    fingerprint: str


@dataclass
class Origin:
    """Where a model came from; kept on the model itself, and copied with it.

    Attributes:
        base: The pretrained model that it was made from.
        config: The configuration that the base had in its files.
        generation: Its settings for generation.
        whole: Whether all its weights came from the graft's own folder, its base being elsewhere or gone.
        counts: How often each token was trained on; int64 `[vocabulary]`.
        tokenizer: What it reads text by.
    """

    base: Base | None = None
    config: PretrainedConfig | None = None
    generation: GenerationConfig | None = None
    whole: bool = False
    counts: Tensor | None = None
    tokenizer: PreTrainedTokenizerBase | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Origin:
        return replace(self)  # what it refers to is never changed in place


def origin_of(model: nn.Module) -> Origin:
    """What is known of a model, wrapped ones included; to be added to."""
    origin: Origin = vars(unwrap(model)).setdefault(_ATTRIBUTE, Origin())
    return origin


def remember_base(model: PreTrainedModel, name: str | Path | None, path: Path) -> Base:
    """Note where a model came from, while its weights are still those of its files.

    Args:
        model: Just loaded.
        name: What it was asked for by.
        path: Where its files are.
    """
    origin, revision = origin_of(model), revision_of(path)
    origin.config, origin.generation = copy.deepcopy(model.config), copy.deepcopy(model.generation_config)
    # The name under which it is found again: a Hub id where it has a commit, else its place here.
    origin.base = Base(str(name) if revision else str(path.resolve()), revision, fingerprint(model, origin.config))
    return origin.base


def base_of(model: PreTrainedModel) -> Base:
    """The pretrained model that a model was made from; read from its files where it was not loaded by this package.

    Raises:
        CheckpointError: Its files are damaged.
        ModelNotFoundError: It came from no folder or Hub id.
    """
    model = unwrap(model)
    origin = origin_of(model)
    if origin.base is None:
        if not model.name_or_path:
            raise ModelNotFoundError(
                f"this {type(model).__name__} came from no folder or Hub id, so a graft of it could not be loaded "
                "again; save its base model first and load it by howfar.load"
            )
        path = find_model(model.name_or_path)
        original = load_pretrained(path, dtype=model.dtype)  # the model's own weights may be changed by now
        origin.base = remember_base(original, model.name_or_path, path)
        origin.config, origin.generation = original.config, original.generation_config
    return origin.base


def training_counts(model: PreTrainedModel) -> Tensor | None:
    """How often each token was trained on; int64 `[vocabulary]`, or None where that is not known."""
    return origin_of(model).counts


def remember_training_counts(model: PreTrainedModel, counts: Tensor) -> None:
    """Note how often each token was trained on, to be saved with the model; int64 `[vocabulary]`."""
    origin_of(model).counts = counts
