"""A device is never waited for between logs."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerState

from howfar.training.console import Console
from howfar.training.recipe import Recipe
from howfar.training.run import train

aten = torch.ops.aten
WAITING = {aten._local_scalar_dense, aten.equal, aten.nonzero, aten.masked_select, aten.is_nonzero}
"""What has to know a value on the host: `item`, `tolist`, `bool` and the like, and sizes that depend on values."""


class Waits(TorchDispatchMode):
    """Counts operations for which the host would wait for an accelerator."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += func.overloadpacket in WAITING
        return func(*args, **(kwargs or {}))


@pytest.fixture
def waits_after(monkeypatch: pytest.MonkeyPatch) -> Callable[[Recipe, Path], list[int]]:
    def run(recipe: Recipe, folder: Path) -> list[int]:
        """How often the host waits from the end of each step to the end of the next."""
        counts = []

        def note(console: Console, args: Any, state: TrainerState, control: Any, **_: Any) -> None:
            counts.append(waits.count)

        monkeypatch.setattr(Console, "on_step_end", note)
        with Waits() as waits:
            train(recipe, folder, progress=False)
        return [after - before for before, after in itertools.pairwise(counts)]

    return run


QUIET = {"max_steps": 7, "logging_steps": 3, "save_strategy": "no", "max_grad_norm": 1.0}


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("options", [{}, {"gradient_accumulation_steps": 2, "bf16": True}])
def test_the_host_waits_after_logs_only(
    waits_after: Callable[[Recipe, Path], list[int]],
    recipe: Callable[..., Recipe],
    tmp_path: Path,
    resident: bool,
    options: dict[str, Any],
) -> None:
    waits = waits_after(recipe(trainer={**QUIET, **options}, resident=resident), tmp_path)
    assert [count > 0 for count in waits] == [False, False, True, False, False, True]


def test_a_filter_for_nans_would_be_noticed(
    waits_after: Callable[[Recipe, Path], list[int]], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    waits = waits_after(recipe(trainer={**QUIET, "logging_nan_inf_filter": True}), tmp_path)
    assert min(waits) > 0


def test_increments_are_told_with_one_wait(recipe: Callable[..., Recipe]) -> None:
    from howfar.models.modeling import HowFarForCausalLM
    from howfar.training.trainer import increment_statistics

    model = HowFarForCausalLM(recipe().model_config())
    with Waits() as waits:
        statistics = increment_statistics(model, torch.arange(12).view(2, 6))
    assert len(statistics) == 6
    # `tolist` takes the numbers of a tensor that is on the host already one by one, without this operation.
    assert waits.count <= 1
