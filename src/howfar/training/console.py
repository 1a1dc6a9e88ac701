"""Progress on the console while a model trains: one line per log, and a bar if there is a terminal."""

from __future__ import annotations

import sys
from typing import Any, Self

import rich.console
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import logging as transformers_logging

from howfar.foreign import harmless
from howfar.progress import bars_on
from howfar.training.trainer_options import below_full_rate

MOST_LAYERS = 12  # more increments than this would not fit a line


class Console(TrainerCallback):
    """Writes a run's progress to standard error; a context manager that restores the terminal.

    Args:
        name: The run's name.
        visible: Whether to write anything.
    """

    def __init__(self, name: str, *, visible: bool = True) -> None:
        self.name = name
        self.console = rich.console.Console(file=sys.stderr, highlight=False, soft_wrap=True, quiet=not visible)
        self.progress = bars_on(self.console)
        self.task = self.progress.add_task(name)

    def __enter__(self) -> Self:
        self.had_bars = transformers_logging.is_progress_bar_enabled()
        transformers_logging.disable_progress_bar()  # otherwise one bar for every checkpoint's file
        return self

    def __exit__(self, *_: object) -> None:
        self.progress.stop()
        if self.had_bars:
            transformers_logging.enable_progress_bar()

    def on_train_begin(  # noqa: D102
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **objects: Any
    ) -> None:
        if not state.is_world_process_zero:
            return
        num_parameters = sum(parameter.numel() for parameter in objects["model"].parameters())
        begun = f", from step {state.global_step:,}" if state.global_step else ""
        self._print(f"{self.name}: {num_parameters:,} parameters, {state.max_steps:,} steps on {args.device}{begun}")
        if said := below_full_rate(vars(args)):
            self._print(said)
        if args.bf16 and args.device.type == "cpu" and not multiplies_bfloat16():
            self._print("this CPU multiplies bfloat16 in software, many times slower than float32: leave bf16 out")
        self.progress.update(self.task, total=state.max_steps, completed=state.global_step)
        self.progress.start()

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: D102
        self.progress.update(self.task, completed=state.global_step)

    def on_log(  # noqa: D102
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, logs: dict[str, float], **_: Any
    ) -> None:
        line = log_line(logs)
        if line and state.is_world_process_zero:
            self._print(f"step {state.global_step:>7,}  {line}")

    def say_stopped(self, step: int) -> None:
        """Print that a run was asked to stop, and where it will continue."""
        goes_on = f"saved at step {step:,}; the same command continues from there" if step else "no step was taken"
        self._print(f"{self.name}: stopped on request; {goes_on}")

    def say_finished(self, step: int) -> None:
        """Print that there was nothing left to do."""
        self._print(f"{self.name}: finished already, at step {step:,}; nothing was changed")

    def _print(self, line: str) -> None:
        self.console.print(harmless(line), markup=False)


def multiplies_bfloat16() -> bool:
    """Whether this CPU has instructions for bfloat16, or other wide ones that are as fast."""
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def log_line(logs: dict[str, float]) -> str:
    """A log as one line; empty if it has nothing of interest."""
    if "eval_nats_per_byte" in logs:
        return f"{logs['eval_nats_per_byte']:.4f} nats/byte  {logs['eval_bits_per_byte']:.4f} bits/byte  held out"
    if "nats_per_byte" not in logs:
        return ""
    parts = [
        f"{logs['nats_per_byte']:.4f} nats/byte",
        f"{logs['bits_per_byte']:.4f} bits/byte",
        f"{logs['tokens_per_second']:,.0f} tokens/s",
    ]
    means = [value for key, value in logs.items() if key.startswith("increment_mean/")]
    if 0 < len(means) <= MOST_LAYERS:
        parts.append("increments " + " ".join(f"{mean:.2f}" for mean in means))
    return "  ".join(parts)
