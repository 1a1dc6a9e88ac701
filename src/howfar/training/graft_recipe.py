"""A recipe for a graft: the pretrained model, what of it is trained, the data, and the training options."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from howfar.errors import ConfigError
from howfar.positions import IncrementConfig
from howfar.training.recipe import BaseRecipe
from howfar.training.recipe_files import GRAFT

Trained = Literal["increments", "lora", "full"]


@dataclass(frozen=True, kw_only=True)
class GraftRecipe(BaseRecipe):
    """How to give a pretrained model learned positions.

    Args:
        kind: `"graft"`.
        name: Name of the run and its folder.
        corpus: Folder of a corpus built with the model's tokenizer (`howfar corpus build --tokenizer`).
        seed: Determines the initial weights of the networks and the adapter and, with the step, the training windows.
        increment_learning_rate: Peak learning rate of the increment networks.
        muon_learning_rate: Peak rate of Muon, which then trains the matrices of the decoder layers; None for AdamW.
        resident: Whether the device holds the corpus and windows are gathered there. They are the same either way.
        lean_step: Whether a step skips Trainer's work for several devices. The result is the same either way.
        trainer: Options of `transformers.TrainingArguments`; `learning_rate` is for everything except the increments.
        base: The pretrained model: a Hub id, a folder or a GGUF file.
        revision: Its branch, tag or commit on the Hub.
        dtype: Type of its weights, `"float32"` or `"bfloat16"`. Increments and LoRA adapters are always float32.
        train: What is trained besides the increments: nothing, a LoRA adapter, or everything.
        context: Tokens in a window.
        increments: Options of `IncrementConfig`; None keeps plain positions, as in a baseline.
        lora: Options of `peft.LoraConfig`.
        baseline: Whether to train the same model with plain positions too, on the same windows in the same order.
        held_out_windows: Score at most this many windows, drawn from the held-out documents; None for all.

    Raises:
        ConfigError: A key is unknown or a value invalid.
    """

    LASTING: ClassVar[tuple[str, ...]] = (
        "seed", "base", "revision", "dtype", "train", "context", "increments", "lora", "increment_learning_rate",
        "muon_learning_rate",
    )  # fmt: skip

    kind: str = GRAFT
    increment_learning_rate: float | None = 3e-3
    base: str
    revision: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"
    train: Trained = "increments"
    context: int = 512
    increments: dict[str, Any] | None = field(default_factory=dict)
    lora: dict[str, Any] = field(default_factory=dict)
    baseline: bool = False
    held_out_windows: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.context < 2:
            raise ConfigError(f"recipe: context is {self.context}; a window needs at least 2 tokens")
        if self.held_out_windows is not None and self.held_out_windows < 1:
            raise ConfigError(f"recipe: held_out_windows is {self.held_out_windows}; it must be at least 1")
        if self.lora and self.train != "lora":
            raise ConfigError(f"recipe: [lora] is given, but train is {self.train!r}; set train = 'lora' or remove it")
        if self.increment_config is None and self.train == "increments":
            raise ConfigError("recipe: without [increments] there is nothing to train; set train = 'lora' or 'full'")
        config = self.increment_config
        if config is not None and not config.accumulate:
            raise ConfigError(
                "recipe: increments do not accumulate, so all positions would be 1 at first; a graft must start as the "
                "base model: remove accumulate"
            )
        if config is not None and config.start != "identity":
            raise ConfigError(
                f"recipe: increments start as {config.start!r}; a graft must start as the base model: "
                "remove start, or set it to 'identity'"
            )

    @property
    def increment_config(self) -> IncrementConfig | None:
        """The increments, or None for plain rotary positions."""
        return None if self.increments is None else IncrementConfig.from_dict(self.increments)
