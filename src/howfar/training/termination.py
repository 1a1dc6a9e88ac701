"""A run that is told to end (SIGTERM: a time limit, a machine that is wanted back) saves itself first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, Self, TypeVar

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

EXIT_CODE = 128 + signal.SIGTERM
"""What a shell reports of a process that SIGTERM ended."""


T = TypeVar("T")


class _EndOfWork(BaseException):
    """Leaves work that is to end at once."""


class Termination(TrainerCallback):
    """Turns SIGTERM into a checkpoint after the step at hand, and an end of training; a context manager.

    Before the first step (a model that is being compiled) there is nothing new to save, and after the last one all is
    saved: `or_leave` leaves what is being done then.

    Transformers' own `enable_jit_checkpoint` may save in the middle of a step, which a resumed run would then take
    twice. Ranks of one run cannot agree on a step without waiting for each other at every one, so a run of several
    processes is left to end at once, as is one that saves no checkpoints; so is one outside the main thread, where
    Python takes no signals.

    Args:
        arguments: The trainer's.
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
        """Do work that may be broken off at any place; it is, where the run is told to end or was before.

        Args:
            work: Broken off until its first step changes the model, and always if it takes no steps.

        Returns:
            What the work does; None where it was broken off, which `requested` tells.
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
