"""A training recipe: one TOML file that describes a whole run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from howfar.errors import ConfigError
from howfar.positions import IncrementConfig
from howfar.positions.encodings import encoding_options, read_encoding
from howfar.positions.options import check_keys, check_options, needed_instead
from howfar.text.tokenizer import VOCABULARY_SIZE
from howfar.training.recipe_files import GRAFT, SCRATCH, read_values
from howfar.training.settings import apply_settings, merged
from howfar.training.trainer_options import check_trainer

KINDS = {SCRATCH: "train", GRAFT: "graft"}
"""The kinds of recipe, and their commands."""

SIZES = {
    "vocab_size": VOCABULARY_SIZE, "hidden_size": 1, "intermediate_size": 1, "num_hidden_layers": 1,
    "num_attention_heads": 1, "num_key_value_heads": 1, "head_dim": 1, "max_position_embeddings": 2,
}  # fmt: skip
"""Integer options of a model, and their least values."""

RANGES = {"attention_dropout": (0, 1), "initializer_range": (0, 1), "rms_norm_eps": (0, 1)}
"""Options of a model that are numbers, and their least and greatest values."""


_OF_CLASSIFIERS = "it has no effect on a language model that is trained from scratch"
_OF_CORPUS = "it follows from the corpus's tokenizer"
NOT_THE_MODELS = {
    "dtype": "weights are float32; for training in bfloat16 set trainer.bf16 = true",
    "use_cache": "training needs no cache, and generation uses one",
    "return_dict": "training reads the model's output by name",
    "output_hidden_states": "nothing in training reads hidden states",
    **dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"), _OF_CORPUS),
    **dict.fromkeys(("transformers_version", "architectures"), "it is written when the model is saved"),
    **dict.fromkeys(
        (
            "chunk_size_feed_forward", "is_encoder_decoder", "id2label", "label2id", "problem_type", "pretraining_tp",
        ),
        _OF_CLASSIFIERS,
    ),
}  # fmt: skip
"""Options of `HowFarConfig` that a recipe cannot set, and why."""


@dataclass(frozen=True, kw_only=True)
class BaseRecipe:
    """What every training run needs: data and options. `Recipe` and `GraftRecipe` describe them.

    Raises:
        ConfigError: A key is unknown or a value invalid.
    """

    LASTING: ClassVar[tuple[str, ...]] = ("seed",)
    """What must stay the same when a run is continued."""

    kind: str = SCRATCH
    name: str
    corpus: str
    seed: int = 0
    increment_learning_rate: float | None = None
    muon_learning_rate: float | None = None
    resident: bool = False
    lean_step: bool = False
    trainer: dict[str, Any] = field(default_factory=dict)
    if TYPE_CHECKING:  # each kind of recipe has its own place for it among its keys
        increments: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        for name in ("increment_learning_rate", "muon_learning_rate"):
            rate = getattr(self, name)
            if rate is not None and (needed_instead(rate, float) or rate < 0):
                raise ConfigError(f"recipe: {name} is {rate!r}; it must be a number, 0 or more")
        check_options("recipe", self)
        if not 0 <= self.seed < 2**32:
            raise ConfigError(f"recipe: seed is {self.seed}; it must be 0 or more, and less than 2**32")
        check_trainer(self.trainer, self.options()["trainer"] or (), resident=self.resident)
        rate = self.increment_learning_rate
        # A class's own rate is nobody's choice.
        if self.increments is None and rate not in (None, type(self).increment_learning_rate):
            raise ConfigError(
                f"recipe: increment_learning_rate is {rate!r}, but the model has no increments to train; give "
                "[increments], or remove it"
            )

    @classmethod
    def options(cls) -> dict[str, Sequence[str] | None]:
        """The file's keys; for a table with fixed keys, these too."""
        from transformers import TrainingArguments

        tables = {
            table: [f.name for f in dataclasses.fields(options)]
            for table, options in {"trainer": TrainingArguments, "increments": IncrementConfig}.items()
        }
        return {f.name: tables.get(f.name) for f in dataclasses.fields(cls)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Make a recipe from the values of its TOML file.

        Raises:
            ConfigError: A key is unknown or missing, or a value invalid.
        """
        fields = dataclasses.fields(cls)
        if (kind := values.get("kind", cls.kind)) != cls.kind:
            commands = " or ".join(f"{kind!r} (howfar {command})" for kind, command in KINDS.items())
            raise ConfigError(f"recipe: kind is {kind!r}, but here it must be {cls.kind!r}; kinds are {commands}")
        check_keys("recipe: the file has", values, [f.name for f in fields])
        needed = [f.name for f in fields if f.default is f.default_factory is dataclasses.MISSING]
        for name in needed:
            if name not in values:
                raise ConfigError(f"recipe: {name!r} is missing; a recipe needs at least {' and '.join(needed)}")
        return cls(**values)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        overrides: Mapping[str, Any] | None = None,
        settings: Iterable[str] = (),
    ) -> Self:
        """Read a recipe: a TOML file, or the name of one that comes with the package.

        Args:
            name_or_path: `recipe.toml` or a name from `bundled_recipes()`.
            overrides: Values to replace, nested as in the file; tables are merged at every depth.
            settings: Applied last, as for `apply_settings`: `max_steps=100`, `trainer.lr_scheduler_kwargs.x=1`.

        Raises:
            ConfigError: The recipe does not exist, is not TOML, or asks for something impossible.
        """
        values = merged(read_values(name_or_path), overrides or {})
        apply_settings(values, settings, cls.options())
        return cls.from_dict(values)

    def plain(self, **changes: Any) -> Self:
        """The same recipe with plain positions, and other changes."""
        return dataclasses.replace(self, increments=None, increment_learning_rate=None, **changes)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True, kw_only=True)
class Recipe(BaseRecipe):
    """How to train a model from scratch.

    Args:
        kind: What the recipe is for: `"scratch"` or `"graft"`.
        name: Name of the run and its folder.
        corpus: Folder of a corpus made by `howfar corpus build`.
        seed: Determines the initial weights and, with the step, the training windows.
        increment_learning_rate: Peak learning rate of the increment networks, if it differs from the trainer's.
        muon_learning_rate: Peak rate of Muon, which then trains the matrices of the decoder layers; None for AdamW.
        resident: Whether the device holds the corpus and windows are gathered there. They are the same either way.
        lean_step: Whether a step skips Trainer's work for several devices. The result is the same either way.
        trainer: Options of `transformers.TrainingArguments`, by their own names.
        model: Options of `HowFarConfig`; `max_position_embeddings` is the number of tokens in a window.
        increments: Options of `IncrementConfig`; None if every token advances by 1.
        encoding: How positions reach attention: `name` of a class in `howfar.positions.encodings`, and options; None
            for rotary positions.
        start_from: A bundled model or a folder, of the same sizes and increments, whose weights are the initial ones;
            None for random weights.

    Raises:
        ConfigError: A key is unknown or a value invalid.
    """

    LASTING: ClassVar[tuple[str, ...]] = (
        "seed", "model", "increments", "encoding", "increment_learning_rate", "muon_learning_rate",
    )  # fmt: skip

    model: dict[str, Any] = field(default_factory=dict)
    increments: dict[str, Any] | None = None
    encoding: dict[str, Any] | None = None
    start_from: str | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("increments", "encoding"):
            if name in self.model:
                raise ConfigError(f"recipe: [model] has `{name}`; put it in its own table, [{name}]")
        check_keys("recipe: [model] has", self.model, self.options()["model"] or ())
        for name in self.model:
            if name in NOT_THE_MODELS:
                raise ConfigError(
                    f"recipe: [model] sets {name}, which a recipe cannot choose: {NOT_THE_MODELS[name]}; remove it"
                )
        self.model_config()

    @classmethod
    def options(cls) -> dict[str, Sequence[str] | None]:
        """The file's keys; for a table with fixed keys, these too."""
        from howfar.models.configuration import HowFarConfig

        own_tables = ("increments", "encoding")
        sizes = [f.name for f in dataclasses.fields(HowFarConfig) if f.name not in own_tables]
        sizes.sort(key=NOT_THE_MODELS.__contains__)  # what a recipe can choose is named first
        return {**super().options(), "model": ["attn_implementation", *sizes], "encoding": encoding_options()}

    @property
    def increment_config(self) -> IncrementConfig | None:
        """The increments, or None if every token advances by 1."""
        return None if self.increments is None else IncrementConfig.from_dict(self.increments)

    @property
    def context(self) -> int:
        """Tokens in a window."""
        from howfar.models.configuration import HowFarConfig

        return int(self.model.get("max_position_embeddings", HowFarConfig.max_position_embeddings))

    def model_config(self) -> Any:
        """The `HowFarConfig` of the model to train.

        Raises:
            ConfigError: The sizes are inconsistent.
        """
        from howfar.models.configuration import HowFarConfig

        for name, least in SIZES.items():
            size = self.model.get(name, least)
            if needed_instead(size, int) or size < least:
                raise ConfigError(f"recipe: [model] {name} is {size!r}; it must be a whole number of at least {least}")
        for name, (least, most) in RANGES.items():
            number = self.model.get(name, least)
            if isinstance(number, int | float) and not least <= number <= most:
                raise ConfigError(f"recipe: [model] {name} is {number!r}; it must be a number from {least} to {most}")
        rotary = self.model.get("rope_parameters")
        base = rotary.get("rope_theta", 1.0) if isinstance(rotary, dict) else 1.0
        if needed_instead(base, float) or base <= 0:
            raise ConfigError(f"recipe: [model] rope_parameters.rope_theta is {base!r}; it must be a positive number")
        attention = self.model.get("attn_implementation", "")
        if needed_instead(attention, str):
            raise ConfigError(f"recipe: [model] attn_implementation is {attention!r}; it must be a string")
        increments = self.increment_config
        if self.encoding is not None:
            read_encoding(self.encoding, increments)
        try:
            table = None if increments is None else increments.to_dict()
            config = HowFarConfig(**self.model, increments=table, encoding=self.encoding)
        except Exception as error:  # huggingface_hub's validation errors share no public base
            raise ConfigError(f"recipe: [model] is invalid: {error}; change it") from error
        if config.num_attention_heads % config.num_key_value_heads:
            raise ConfigError(
                f"recipe: [model] has {config.num_attention_heads} attention heads and {config.num_key_value_heads} "
                "key-value heads; the first must be a multiple of the second"
            )
        if config.head_dim % 2:
            raise ConfigError(
                f"recipe: [model] gives each head {config.head_dim} dimensions; rotary positions need an even number: "
                "change hidden_size or num_attention_heads"
            )
        return config
