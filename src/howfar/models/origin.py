"""What is known of a loaded model besides its weights: its base, how often each token was trained on, its tokenizer."""

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
    """The pretrained model that a graft belongs to.

    Attributes:
        name: A Hub id, a folder or a GGUF file; only the name if the graft holds the weights of a local model.
        revision: The commit on the Hub; None for a local one.
        fingerprint: The `fingerprint` of its weights before any training.
    """

    name: str
    revision: str | None
    fingerprint: str


@dataclass
class Origin:
    """A model's origin; stored on the model itself and copied with it.

    Attributes:
        base: The pretrained model that it was made from.
        config: The configuration in the base's files.
        generation: The base's settings for generation.
        whole: Whether all its weights came from the graft's own folder, so that the base is not needed.
        counts: How often each token was trained on; int64 `[vocabulary]`, or None if unknown. Saved with a graft.
        tokenizer: Its tokenizer.
    """

    base: Base | None = None
    config: PretrainedConfig | None = None
    generation: GenerationConfig | None = None
    whole: bool = False
    counts: Tensor | None = None
    tokenizer: PreTrainedTokenizerBase | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> Origin:
        return replace(self)  # its values are never changed in place


def origin_of(model: nn.Module) -> Origin:
    """The origin record of a model, wrapped or not, for callers to extend."""
    origin: Origin = vars(unwrap(model)).setdefault(_ATTRIBUTE, Origin())
    return origin


def remember_base(model: PreTrainedModel, name: str | Path | None, path: Path) -> Base:
    """Record a model's origin, while its weights are still those of its files.

    Args:
        model: A model that was just loaded.
        name: The name that it was requested by.
        path: Its files.
    """
    is_here = name is not None and Path(name).expanduser().exists()  # a download's own folder, too
    origin, revision = origin_of(model), None if is_here else revision_of(path)
    origin.config, origin.generation = copy.deepcopy(model.config), copy.deepcopy(model.generation_config)
    # The name that finds it again: a Hub id if it has a commit, else its local path. A link's target may lack `.gguf`.
    origin.base = Base(str(name) if revision else str(path.absolute()), revision, fingerprint(model, origin.config))
    return origin.base


def base_of(model: PreTrainedModel) -> Base:
    """The pretrained model that a model was made from; read from its files if this package did not load it.

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
        original = load_pretrained(path, dtype=model.dtype)  # the model's own weights may have changed
        origin.base = remember_base(original, model.name_or_path, path)
        origin.config, origin.generation = original.config, original.generation_config
    return origin.base
