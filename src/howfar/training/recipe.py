"""A training recipe: one TOML file that says everything about a run."""

from __future__ import annotations

import dataclasses
import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

from howfar.errors import ConfigError
from howfar.positions import IncrementConfig

RECIPES = resources.files("howfar.training") / "recipes"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What to train, on what, and how.

    Args:
        name: Names the run and the folder that it is written to.
        corpus: Folder of a corpus made by `howfar corpus build`.
        seed: Decides the initial weights and, with the step, which windows of the corpus are seen.
        model: Options of `HowFarConfig`; `max_position_embeddings` is the number of tokens in a window.
        increments: Options of `IncrementConfig`; None for plain rotary positions.
        trainer: Options of `transformers.TrainingArguments`, by their own names.

    Raises:
        ConfigError: A key is unknown or a value impossible.
    """

    name: str
    corpus: str
    seed: int = 0
    model: dict[str, Any] = field(default_factory=dict)
    increments: dict[str, Any] | None = None
    trainer: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from transformers import TrainingArguments

        from howfar.models.configuration import HowFarConfig

        for name, kind in (("name", str), ("corpus", str), ("seed", int), ("model", dict), ("trainer", dict)):
            if not isinstance(getattr(self, name), kind):
                raise ConfigError(f"recipe: {name} is {getattr(self, name)!r}; it must be a {kind.__name__}")
        check_keys("[model]", self.model, [f.name for f in dataclasses.fields(HowFarConfig)])
        if "increments" in self.model:
            raise ConfigError("recipe: [model] has `increments`; give them a table of their own, [increments]")
        check_keys("[trainer]", self.trainer, [f.name for f in dataclasses.fields(TrainingArguments)])
        for name in ("seed", "data_seed", "train_sampling_strategy", "output_dir"):
            if name in self.trainer:
                raise ConfigError(
                    f"recipe: [trainer] sets {name}, which is not the trainer's to choose: data order follows from the "
                    "recipe's `seed` and the step, the folder is given to the command"
                )
        if not isinstance(self.trainer.get("max_steps"), int) or self.trainer["max_steps"] < 1:
            raise ConfigError(
                f"recipe: [trainer] max_steps is {self.trainer.get('max_steps')!r}; it must be a positive number of "
                "steps, since windows are drawn without end"
            )
        self.model_config()

    @property
    def increment_config(self) -> IncrementConfig | None:
        """The increments, or None for plain rotary positions."""
        return None if self.increments is None else IncrementConfig.from_dict(self.increments)

    def model_config(self) -> Any:
        """The `HowFarConfig` of the model to train.

        Raises:
            ConfigError: The sizes do not fit together.
        """
        from howfar.models.configuration import HowFarConfig

        increments = None if self.increment_config is None else self.increment_config.to_dict()
        try:
            config = HowFarConfig(**self.model, increments=increments)
        except Exception as error:  # huggingface_hub's validation errors share no public base
            raise ConfigError(f"recipe: [model] is impossible: {' '.join(str(error).split())}") from error
        sizes = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads")
        for name in (*sizes, "max_position_embeddings"):
            if getattr(config, name) < 1:
                raise ConfigError(f"recipe: [model] {name} is {getattr(config, name)}; it must be at least 1")
        if config.head_dim % 2:
            raise ConfigError(
                f"recipe: [model] gives each head {config.head_dim} dimensions; rotary positions need an even number: "
                "change hidden_size or num_attention_heads"
            )
        return config

    def to_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        return dataclasses.asdict(self)


def check_keys(where: str, got: Iterable[str], known: list[str]) -> None:
    """Refuse an unknown key and name the nearest known one.

    Raises:
        ConfigError: A key is not among the known ones.
    """
    for key in got:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(sorted(known)[:12])} and others"
            raise ConfigError(f"recipe: {where} has no option {key!r}; {hint}")


def parse_recipe(values: Mapping[str, Any]) -> Recipe:
    """Make a recipe from the values of its TOML file.

    Raises:
        ConfigError: A key is unknown, missing or impossible.
    """
    known = [f.name for f in dataclasses.fields(Recipe)]
    check_keys("the file", values, known)
    for name in ("name", "corpus"):
        if name not in values:
            raise ConfigError(f"recipe: {name!r} is missing; needed are a name, a corpus and [trainer] max_steps")
    return Recipe(**values)


def bundled_recipes() -> list[str]:
    """Names of the recipes that come with the package."""
    return sorted(path.name.removesuffix(".toml") for path in RECIPES.iterdir() if path.name.endswith(".toml"))


def load_recipe(name_or_path: str | Path, *, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe: a TOML file, or the name of one that comes with the package.

    Args:
        name_or_path: `recipe.toml` or a name from `bundled_recipes()`.
        overrides: Top-level values to replace; tables are merged.

    Raises:
        ConfigError: There is no such recipe, it is not TOML, or it asks for something impossible.
    """
    path = Path(name_or_path)
    try:
        if str(name_or_path) in bundled_recipes():
            text = (RECIPES / f"{name_or_path}.toml").read_text(encoding="utf-8")
        else:
            text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        raise ConfigError(
            f"there is no recipe {str(name_or_path)!r}; give a TOML file or one of {', '.join(bundled_recipes())}"
        ) from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"the recipe {path} cannot be read: {error}") from error
    for key, value in (overrides or {}).items():
        values[key] = {**values.get(key, {}), **value} if isinstance(value, Mapping) else value
    return parse_recipe(values)
