"""The trainer of grafts: saves what was trained, without the base."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from howfar.corpus.windows import Windows
from howfar.models.grafts import load_weights, save_graft
from howfar.models.origin import origin_of
from howfar.training.graft_recipe import GraftRecipe
from howfar.training.runs import Run
from howfar.training.trainer import IncrementTrainer


class GraftTrainer(IncrementTrainer):
    """As `IncrementTrainer`, for the run of a `GraftRecipe`."""

    run: Run[GraftRecipe]

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write a graft where Transformers would write a whole model."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        self._count(self.state.global_step)
        save_graft(self.model, folder, whole=self.run.recipe.train == "full")
        self.processing_class.save_pretrained(folder)

    def take(self, folder: Path) -> None:
        """Take the weights of a finished run, which needs no training."""
        load_weights(self.model, folder)
        self._count(self.args.max_steps)

    def _count(self, num_steps: int) -> None:
        """Keep with the model how often it was trained on each token."""
        num_windows = num_steps * self.run.windows_per_step
        counts = count_tokens(self.train_dataset.windows, num_windows, self.model.config.get_text_config().vocab_size)
        origin_of(self.model).counts = counts

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_weights(self.model, Path(resume_from_checkpoint))


def count_tokens(windows: Windows, num_windows: int, vocabulary_size: int) -> Tensor:
    """How often each token occurs in the first `num_windows` windows; int64 `[vocabulary]`."""
    tokens = windows.split.tokens
    starts = windows.starts()[:num_windows]
    begins_and_ends = np.zeros(len(tokens) + 1, dtype=np.int64)
    np.add.at(begins_and_ends, starts, 1)
    np.add.at(begins_and_ends, starts + windows.length, -1)
    times_seen = np.cumsum(begins_and_ends[:-1])
    seen = np.flatnonzero(times_seen)
    counts = np.bincount(tokens[seen], weights=times_seen[seen], minlength=vocabulary_size)
    return torch.from_numpy(counts.astype(np.int64))
