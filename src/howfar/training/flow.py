"""Callbacks through which a trainer keeps to its run: where it begins, and what it logs before it saves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import SaveStrategy


class Beginning(TrainerCallback):
    """Says that everything is prepared: what is raised from here on is not due to an option. The first callback.

    Args:
        begin: Called before the first step.
    """

    def __init__(self, begin: Callable[[], None]) -> None:
        self.begin = begin

    def on_train_begin(self, *_: Any, **__: Any) -> None:  # noqa: D102
        self.begin()


class Flow(TrainerCallback):
    """Logs before each checkpoint, so that the log of a run that was killed equals that of an uninterrupted one.

    A continued run logs, evaluates and saves as its own recipe says. Transformers would do so as the checkpoint says.
    The last callback, since others may ask for a checkpoint.

    Args:
        restart_clock: Called before the first step, when all other callbacks are done.
    """

    def __init__(self, restart_clock: Callable[[], None]) -> None:
        self.restart_clock = restart_clock

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: D102
        state.compute_steps(args, state.max_steps)
        if state.global_step:
            args.eval_on_start = False  # the run was evaluated where it began
        self.restart_clock()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: D102
        control.should_log |= control.should_save
        if args.save_strategy == SaveStrategy.BEST:  # only the evaluation, which comes after the log, decides to save
            control.should_log |= control.should_evaluate

    on_epoch_end = on_step_end
