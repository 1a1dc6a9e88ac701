"""A run: a recipe, a corpus, and how much of it is read at a time."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Generic, TypeVar

from transformers import TrainingArguments

from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, HowFarError
from howfar.jobs.starting import worker_context
from howfar.models.publishing import without_places
from howfar.training.recipe import BaseRecipe
from howfar.training.trainer_options import check_accelerator

PACKAGES = ("howfar", "torch", "transformers", "accelerate", "numpy", "safetensors", "tokenizers", "peft")

METRICS = ("loss", "nats_per_byte", "bits_per_byte")
"""What is measured of held-out documents during training."""

AnyRecipe = TypeVar("AnyRecipe", bound=BaseRecipe, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Run(Generic[AnyRecipe]):
    """Everything that a trainer needs besides a model and its tokenizer.

    Args:
        recipe: The recipe.
        corpus: The training data; its held-out documents are scored.
        output: Folder of the run: checkpoints during training, the model at the end.
        length: Tokens in a window.
        start_from: The source of initial weights that are not random: `name` and `sha256`.

    Raises:
        ConfigError: Transformers refuses an option, or one follows a held-out loss that is not measured, or has no
            effect on this device.
    """

    recipe: AnyRecipe
    corpus: Corpus
    output: Path
    length: int
    start_from: dict[str, str] | None = None

    def __post_init__(self) -> None:
        arguments, metric = self.arguments, self.arguments.metric_for_best_model
        if arguments.fp16 and arguments.device.type == "cpu":
            raise ConfigError(
                "recipe: [trainer] fp16 is true, but this run is on a CPU, which would compute in float32; set bf16 "
                "instead, or leave it out"
            )
        if not metric:  # a schedule that follows the held-out loss sets it, too
            return
        if not self.corpus.held_out.num_documents:
            raise ConfigError(
                f"recipe: [trainer] follows the held-out {metric}, but the corpus holds no document out; build it "
                "with some, or take another lr_scheduler_type, save_strategy or metric_for_best_model"
            )
        if metric.removeprefix("eval_") not in METRICS:
            raise ConfigError(
                f"recipe: [trainer] metric_for_best_model is {metric!r}; it must be {' or '.join(METRICS)}"
            )
        if arguments.save_strategy == "best" and arguments.eval_strategy == "no":
            raise ConfigError(
                "recipe: [trainer] save_strategy is 'best', but eval_strategy is 'no', so nothing would be saved; set "
                "eval_strategy and eval_steps, or take another save_strategy"
            )

    @cached_property
    def arguments(self) -> TrainingArguments:
        """The trainer's options."""
        return training_arguments(self.recipe, self.output)

    @property
    def windows_per_step(self) -> int:
        """Windows per step over all devices and accumulated gradients."""
        arguments = self.arguments
        return int(arguments.train_batch_size * arguments.gradient_accumulation_steps * arguments.world_size)

    def record(self, **results: Any) -> dict[str, Any]:
        """Everything needed to say later how a model was made, and to continue its training.

        It names files and folders on this machine and gives hashes of their content, but not their paths.

        Args:
            **results: Added unchanged, except those that are None.
        """
        corpus_facts = {
            "hash": self.corpus.hash,
            "tokenizer": self.corpus.tokenizer_name,
            "sources": list(self.corpus.manifest["sources"]),
        }
        record = {
            "recipe": self.recipe.to_dict(),
            "corpus": corpus_facts,
            "windows_per_step": self.windows_per_step,
            "versions": versions(),
            "start_from": self.start_from,
            **results,
        }
        return {name: without_places(value) for name, value in record.items() if value is not None}


def training_arguments(recipe: BaseRecipe, output: Path) -> TrainingArguments:
    """The trainer's options; the recipe sets the data order.

    Raises:
        ConfigError: Transformers refuses one of them, or a file that one names says something else than the others.
    """
    # Checking every loss for NaN would make a GPU wait at every step; and all parameters are used at every step.
    options: dict[str, Any] = {"logging_nan_inf_filter": False, "ddp_find_unused_parameters": False}
    options |= deepcopy(recipe.trainer)  # Transformers writes into nested tables
    # Transformers takes a metric for better when it is higher, unless its name ends with "loss".
    options["greater_is_better"] = False
    if recipe.resident:
        options["dataloader_pin_memory"] = False  # windows are on the device already
    if recipe.trainer.get("dataloader_num_workers"):
        context = worker_context("howfar.training.data")
        options.setdefault("dataloader_multiprocessing_context", context.get_start_method())
    with refused_by("Transformers"):
        arguments = TrainingArguments(
            **options,
            output_dir=str(output),
            seed=recipe.seed,
            train_sampling_strategy="sequential",
        )
    check_accelerator(vars(arguments.accelerator_config))  # also those from a file
    return arguments


@contextmanager
def refused_by(name: str) -> Iterator[None]:
    """Turn what is raised for the trainer's options into an error that names them.

    Raises:
        ConfigError: A value is refused, or a package that it needs is missing: a tracker's, for example.
    """
    try:
        yield
    except HowFarError:
        raise
    except Exception as error:  # KeyError or AttributeError, too, for a value of another type
        what = error if isinstance(error, ValueError | ImportError | OSError) else f"{type(error).__name__}: {error}"
        raise ConfigError(f"recipe: [trainer] is refused by {name} ({what}); change it") from error


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that affect a run's result."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
