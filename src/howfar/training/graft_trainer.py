"""The trainer of grafts: saves what was trained and not the base, and gives increments a learning rate of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from howfar.errors import NoIncrementsError
from howfar.models.grafts import load_weights, remember_training_counts, save_graft
from howfar.positions import increments_of
from howfar.text.windows import Windows
from howfar.training.trainer import IncrementTrainer


class GraftTrainer(IncrementTrainer):
    """As `IncrementTrainer`; its recipe, in `facts`, is a `GraftRecipe`."""

    def create_optimizer(self, model: nn.Module | None = None) -> Optimizer:
        """Part the increments from the other parameters."""
        optimizer = super().create_optimizer(model)
        try:
            own = {id(parameter) for parameter in increments_of(self.model).parameters()}
        except NoIncrementsError:
            return optimizer
        rate = self.facts["recipe"]["increments_learning_rate"]
        groups = [
            {**group, "params": [parameter for parameter in group["params"] if (id(parameter) in own) == increments]}
            | ({"lr": rate} if increments else {})
            for group in optimizer.param_groups
            for increments in (False, True)
        ]
        optimizer.param_groups[:] = [group for group in groups if group["params"]]
        return optimizer

    def _save(self, output_dir: str | None = None, state_dict: Any = None) -> None:
        """Write a graft where Transformers would write a whole model."""
        if not self.args.should_save:
            return
        folder = Path(output_dir or self.args.output_dir)
        num_windows = self.state.global_step * self.facts["windows_per_step"]
        counts = count_tokens(self.train_dataset.windows, num_windows, self.model.config.vocab_size)
        remember_training_counts(self.model, counts)
        save_graft(self.model, folder, whole=self.facts["recipe"]["train"] == "full")
        self.processing_class.save_pretrained(folder)

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        load_weights(self.model, Path(resume_from_checkpoint))


def count_tokens(windows: Windows, num_windows: int, vocabulary_size: int) -> Tensor:
    """How often each token occurs in the first so many windows; int64 `[vocabulary]`."""
    tokens = windows.split.tokens
    starts = windows.starts()[:num_windows]
    begins_and_ends = np.zeros(len(tokens) + 1, dtype=np.int64)
    np.add.at(begins_and_ends, starts, 1)
    np.add.at(begins_and_ends, starts + windows.length, -1)
    times_seen = np.cumsum(begins_and_ends[:-1])
    seen = np.flatnonzero(times_seen)
    counts = np.bincount(tokens[seen], weights=times_seen[seen], minlength=vocabulary_size)
    return torch.from_numpy(counts.astype(np.int64))
