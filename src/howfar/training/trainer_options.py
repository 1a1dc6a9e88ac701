"""The options of Transformers' Trainer that a recipe may set."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

from howfar.errors import ConfigError
from howfar.positions.options import check_keys, hints_of, needed_instead

NOT_THE_TRAINERS = (
    # Data and folder are set elsewhere ...
    "seed", "data_seed", "train_sampling_strategy", "output_dir", "auto_find_batch_size",
    # ... and a run that was killed must be able to continue exactly where it stopped.
    "ignore_data_skip", "save_only_model", "enable_jit_checkpoint", "resume_from_checkpoint",
    # The result is the model of the last step, as its record says.
    "load_best_model_at_end",
    # A smoothed loss is not in nats per byte, and would be logged as if it were.
    "label_smoothing_factor",
    # It would upload the whole folder, in which the text may be; and the record would tell the token.
    "push_to_hub", "hub_token",
)  # fmt: skip
"""Options of `TrainingArguments` that a recipe cannot set."""

WITHOUT_EFFECT = {
    "num_train_epochs": "max_steps alone decides how long a run is",
    **dict.fromkeys(
        (
            "do_train", "do_eval", "do_predict", "prediction_loss_only", "eval_do_concat_batches",
            "eval_use_gather_object", "eval_accumulation_steps", "include_for_metrics", "batch_eval_metrics",
            "bf16_full_eval", "fp16_full_eval",
        ),
        "held-out documents are scored by howfar's own loop",
    ),
}  # fmt: skip
"""Options of `TrainingArguments` that would be recorded as used, and why they are not."""

LEAST = {
    "per_device_train_batch_size": 1, "per_device_eval_batch_size": 1, "gradient_accumulation_steps": 1,
    "learning_rate": 0, "weight_decay": 0, "dataloader_num_workers": 0, "neftune_noise_alpha": 0,
}  # fmt: skip
"""The least values of options of `TrainingArguments` that it does not check itself."""

WITHOUT_WARMUP = {"constant": "constant_with_warmup", "reduce_lr_on_plateau": "", "greedy": ""}
"""Schedules that ignore `warmup_steps`, and the same ones with a warm-up."""

WITHOUT_OPTIONS = ("constant", "constant_with_warmup")
"""Schedules to which Transformers does not pass `lr_scheduler_kwargs`."""

OPTIM_ARGS = {
    **dict.fromkeys(
        (
            "adamw_torch", "adamw_torch_fused", "adamw_torch_xla", "adamw_torch_npu_fused", "adafactor", "lomo",
            "adalomo",
        ),
        (),
    ),
    "sgd": ("momentum", "dampening", "weight_decay", "nesterov"),
    "adagrad": ("lr_decay", "weight_decay", "eps"),
    "rmsprop": ("momentum", "alpha", "eps", "weight_decay", "centered"),
}  # fmt: skip
"""What Transformers reads of `optim_args`, by optimiser. It skips everything else without a word."""

OF_ACCELERATOR = {
    "gradient_accumulation_kwargs.num_steps": "gradient_accumulation_steps",
    "split_batches": "per_device_train_batch_size",
}  # fmt: skip
"""Keys of `accelerator_config` that change the windows of a step, and the options that a run's record counts by."""

OF_CHECKPOINTING = ("activation_checkpointing_kwargs", "gradient_checkpointing_kwargs")
"""Tables whose keys Transformers passes on to PyTorch, which refuses unknown ones at the first step only."""

OF_WORKERS = ("dataloader_persistent_workers", "dataloader_prefetch_factor", "dataloader_multiprocessing_context")
"""Options that PyTorch refuses without workers."""


def check_trainer(trainer: Mapping[str, Any], known: Sequence[str], *, resident: bool) -> None:
    """Refuse options that the trainer does not have, that a recipe cannot choose, or that would have no effect.

    Args:
        trainer: The recipe's table `[trainer]`.
        known: The options of `TrainingArguments`.
        resident: Whether the device holds the corpus.

    Raises:
        ConfigError: An option is unknown, has an invalid value, or cannot be chosen.
    """
    from transformers import TrainingArguments  # slow to import

    check_keys("recipe: [trainer] has", trainer, known)
    hints = hints_of(TrainingArguments)
    for name, value in trainer.items():
        if name in NOT_THE_TRAINERS:
            raise ConfigError(
                f"recipe: [trainer] sets {name}, which a recipe cannot choose: data order follows from the "
                "recipe's `seed` and the step, runs resume exactly and end with the model of their last step, "
                "losses are in nats per byte, the command names the folder, and nothing is uploaded; remove it"
            )
        if name in WITHOUT_EFFECT:
            raise ConfigError(
                f"recipe: [trainer] sets {name}, which would have no effect: {WITHOUT_EFFECT[name]}; remove it"
            )
        if needed := needed_instead(value, hints[name]):
            raise ConfigError(f"recipe: [trainer] {name} is {value!r}; it must be {needed}")
        if name in LEAST and not value >= LEAST[name]:
            raise ConfigError(f"recipe: [trainer] {name} is {value!r}; it must be at least {LEAST[name]}")
    if resident and trainer.get("dataloader_num_workers"):
        raise ConfigError(
            "recipe: [trainer] sets dataloader_num_workers, but resident is true: windows that are gathered on the "
            "device need no workers; remove one of the two"
        )
    for name in OF_WORKERS:
        if trainer.get(name) and not trainer.get("dataloader_num_workers"):
            raise ConfigError(
                f"recipe: [trainer] {name} is {trainer[name]!r}, but there are no workers; set dataloader_num_workers, "
                "or remove it"
            )
    if trainer.get("max_steps", 0) < 1:
        raise ConfigError(
            f"recipe: [trainer] max_steps is {trainer.get('max_steps')}; it must be a positive number of "
            "steps, since the windows never run out"
        )
    for name in OF_CHECKPOINTING:
        if isinstance(table := trainer.get(name), Mapping):
            check_keys(f"recipe: [trainer] {name} has", table, _checkpointing_options())
    if isinstance(accelerator := trainer.get("accelerator_config"), Mapping):
        check_accelerator(accelerator)
    _check_direction(trainer)
    _check_warmup(trainer)
    _check_read(trainer)


def _checkpointing_options() -> list[str]:
    from torch.utils.checkpoint import checkpoint  # slow to import

    given = inspect.signature(checkpoint).parameters.items()
    named = [name for name, one in given if one.default is not one.empty and name != "context_fn"]  # a function
    return ["every_n_layers", "offload", "preserve_rng_state", *named]


def check_accelerator(config: Mapping[str, Any]) -> None:
    """Refuse settings of Accelerate that Transformers reads in place of an option.

    Args:
        config: The recipe's `accelerator_config`, or what Transformers read from the file that it names.

    Raises:
        ConfigError: There is one.
    """
    for path, option in OF_ACCELERATOR.items():
        value: Any = config
        for key in path.split("."):
            value = value.get(key) if isinstance(value, Mapping) else None
        if value is not None and value is not False:
            raise ConfigError(
                f"recipe: [trainer] sets accelerator_config.{path}, which would change the number of windows per step, "
                f"but not the one in the record; remove it, and set {option}"
            )


def _check_direction(trainer: Mapping[str, Any]) -> None:
    """Everything that training measures of held-out documents is a loss."""
    schedule = trainer.get("lr_scheduler_kwargs")
    highest = isinstance(schedule, Mapping) and schedule.get("mode") == "max"
    for said, is_higher in (
        ("greater_is_better is true", trainer.get("greater_is_better")),
        ("lr_scheduler_kwargs.mode is 'max'", highest),
    ):
        if is_higher:
            raise ConfigError(
                f"recipe: [trainer] {said}, but training measures losses only, and a lower loss is better; remove it"
            )


def _check_warmup(trainer: Mapping[str, Any]) -> None:
    schedule = trainer.get("lr_scheduler_type", "linear")
    if trainer.get("warmup_steps") and schedule in WITHOUT_WARMUP:
        other = WITHOUT_WARMUP[schedule]
        raise ConfigError(
            f"recipe: [trainer] warmup_steps is {trainer['warmup_steps']}, but lr_scheduler_type {schedule!r} has no "
            f"warm-up; set warmup_steps to 0{f', or take {other}' if other else ', or take another schedule'}"
        )


def _check_read(trainer: Mapping[str, Any]) -> None:
    """Refuse options of a schedule or an optimiser that does not read them."""
    schedule = trainer.get("lr_scheduler_type", "linear")
    if trainer.get("lr_scheduler_kwargs") and schedule in WITHOUT_OPTIONS:
        raise ConfigError(
            f"recipe: [trainer] lr_scheduler_kwargs is {trainer['lr_scheduler_kwargs']!r}, but lr_scheduler_type "
            f"{schedule!r} has no options; set lr_scheduler_kwargs to {{}}, or take another schedule"
        )
    optimizer, said = trainer.get("optim", "adamw_torch_fused"), trainer.get("optim_args") or ""
    read = OPTIM_ARGS.get(optimizer) if isinstance(optimizer, str) else None
    for part in filter(None, said.replace(" ", "").split(",")):
        if read is not None and part.partition("=")[0] not in read:
            raise ConfigError(
                f"recipe: [trainer] optim_args has {part!r}, but optim {optimizer!r} reads "
                f"{', '.join(read) or 'none'}; remove it, or take another optim"
            )


def below_full_rate(trainer: Mapping[str, Any]) -> str:
    """What to say of a schedule whose decay begins before its warm-up ends; empty for every other one.

    Args:
        trainer: Options of `TrainingArguments`, by name.
    """
    schedule, steps = trainer.get("lr_scheduler_kwargs"), trainer["max_steps"]
    if trainer.get("lr_scheduler_type") != "warmup_stable_decay" or not isinstance(schedule, Mapping):
        return ""
    decay, warmup = schedule.get("num_decay_steps", 0), trainer.get("warmup_steps", 0)
    if schedule.get("num_stable_steps") is not None or not isinstance(decay, int):
        return ""
    warmup = int(warmup) if warmup >= 1 else math.ceil(steps * warmup)
    if warmup + decay <= steps:
        return ""
    return (
        f"no step has the full learning rate: warm-up ({warmup:,} steps) and decay ({decay:,}) need more than the "
        f"{steps:,} steps of the run; lower trainer.lr_scheduler_kwargs.num_decay_steps"
    )
