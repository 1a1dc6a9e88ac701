"""A run that gets SIGTERM (a time limit, a reclaimed machine) or Ctrl-C saves itself first."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any, NoReturn, Self, TypeVar

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

EXIT_CODE = 128 + signal.SIGTERM
"""The exit code that a shell reports after SIGTERM."""


T = TypeVar("T")


class _EndOfWork(BaseException):
    """Raised to leave work that must end at once."""


class Termination(TrainerCallback):
    """Turns SIGTERM or Ctrl-C into a checkpoint after the present step, and an end of training; a context manager.

    Before the first step (while a model compiles) there is nothing new to save, and after the last one everything is
    saved: `or_leave` breaks off such work.

    Transformers' own `enable_jit_checkpoint` may save in the middle of a step, which a resumed run would then repeat.
    Ranks of one run could agree on a step only by waiting for each other at every one, so a run of several
    processes ends at once; so does a run that saves no checkpoints, and one outside the main thread, where
    Python receives no signals.

    A second Ctrl-C ends the run at once. Where Ctrl-C is ignored (by a study's workers) or the program handles it
    itself, that stays so.

    Args:
        arguments: The trainer's options.
    """

    def __init__(self, arguments: TrainingArguments) -> None:
        self.requested: int | None = None
        """The signal that the run got first."""
        self._leaves = False
        self._saves = arguments.save_strategy != "no" and arguments.world_size == 1
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if self._saves and threading.current_thread() is threading.main_thread():
            self._before[signal.SIGTERM] = signal.signal(signal.SIGTERM, self._request)
            if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
                self._before[signal.SIGINT] = signal.signal(signal.SIGINT, self._request)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _request(self, number: int, frame: FrameType | None) -> None:
        if self.requested is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = self.requested or number
        if self._leaves:
            raise _EndOfWork

    @property
    def interrupted(self) -> bool:
        """Whether the run got Ctrl-C."""
        return self.requested == signal.SIGINT

    def end(self) -> NoReturn:
        """End as Python does after the signal that the run got, or with the exit code of SIGTERM."""
        if self.interrupted:
            raise KeyboardInterrupt
        raise SystemExit(EXIT_CODE)

    def or_leave(self, work: Callable[[], T]) -> T | None:
        """Do work that may be broken off anywhere, if the run gets a signal during it or got one before.

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
