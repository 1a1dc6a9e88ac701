"""A run that gets SIGTERM (a time limit, a reclaimed machine) saves itself first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self, TypeVar

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

EXIT_CODE = 128 + signal.SIGTERM
"""The exit code that a shell reports after SIGTERM."""


T = TypeVar("T")


class _EndOfWork(BaseException):
    """Raised to leave work that must end at once."""


class Termination(TrainerCallback):
    """Turns SIGTERM into a checkpoint after the present step, and an end of training; a context manager.

    Before the first step (while a model compiles) there is nothing new to save, and after the last one everything is
    saved: `or_leave` breaks off such work.

    Transformers' own `enable_jit_checkpoint` may save in the middle of a step, which a resumed run would then repeat.
    Ranks of one run could agree on a step only by waiting for each other at every one, so a run of several
    processes ends at once; so does a run that saves no checkpoints, and one outside the main thread, where
    Python receives no signals.

    Args:
        arguments: The trainer's options.
    """

    def __init__(self, arguments: TrainingArguments) -> None:
        self.requested = False
        self._leaves = False
        self._saves = arguments.save_strategy != "no" and arguments.world_size == 1

    def __enter__(self) -> Self:
        self._listens = self._saves and threading.current_thread() is threading.main_thread()
        if self._listens:
            self._before = signal.signal(signal.SIGTERM, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        if self._listens:
            signal.signal(signal.SIGTERM, self._before)

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True
        if self._leaves:
            raise _EndOfWork

    def or_leave(self, work: Callable[[], T]) -> T | None:
        """Do work that may be broken off anywhere, if the run gets SIGTERM during it or got it before.

        Args:
            work: Broken off until its first step changes the model; always, if it takes no steps.

        Returns:
            The result of the work; None if it was broken off, which `requested` shows.
        """
        try:
            try:
                self._leaves = True
                return None if self.requested else work()
            finally:
                self._leaves = False
        except _EndOfWork:
            return None

    def on_pre_optimizer_step(self, *_: Any, **__: Any) -> None:  # noqa: D102
        self._leaves = False

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:  # noqa: D102
        if self.requested:
            control.should_save = control.should_training_stop = True
