from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from howfar.corpus.corpus import Split
from howfar.errors import ConfigError
from howfar.training.data import ResidentWindows, TrainingWindows, only_batch
from howfar.training.recipe import Recipe
from howfar.training.run import train

CPU = torch.device("cpu")


def split_of(tokens: np.ndarray) -> Split:
    ends = np.array([0, len(tokens)], dtype=np.uint64)
    return Split("train", tokens, ends, np.zeros(1, np.uint16), ends[1:], ("en",))


@pytest.mark.parametrize("dtype", ["<u2", "<u4"])
def test_resident_windows_are_those_read_from_disk(dtype: str) -> None:
    """The largest ids have the sign bit set."""
    tokens = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, 5000, endpoint=True).astype(dtype)
    tokens[::7] = np.iinfo(dtype).max
    drawn = (split_of(tokens), 16, 3, 2500)
    usual, resident = TrainingWindows(*drawn), ResidentWindows(*drawn, CPU)
    for first, last in ((0, 8), (1020, 1030), (2496, 2500)):  # the second across two blocks of draws
        indices = list(range(first, last))
        batch = only_batch(resident.__getitems__(indices))
        expected = torch.stack([usual[index]["input_ids"] for index in indices])
        assert batch["input_ids"].dtype == torch.long
        assert torch.equal(batch["input_ids"], expected)
        assert torch.equal(batch["labels"], expected)


def test_windows_that_are_not_a_run_are_refused() -> None:
    windows = ResidentWindows(split_of(np.arange(100, dtype="<u2")), 4, 0, 10, CPU)
    with pytest.raises(AssertionError, match="a run of consecutive windows"):
        windows.__getitems__([0, 2])


def test_a_corpus_that_does_not_fit_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("torch.tensor", full)
    with pytest.raises(ConfigError, match=r"resident is true, but cpu has no room for the 2 MB of the corpus; set it"):
        ResidentWindows(split_of(np.zeros(10**6, dtype="<u2")), 4, 0, 10, CPU)


def test_a_resident_run_is_the_usual_one_bit_for_bit_resumed_or_not(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    options = {"lr_scheduler_type": "constant", "logging_steps": 1, "max_steps": 8}
    usual = train(recipe(trainer=options), tmp_path / "usual", progress=False)
    runs = {"whole": [8], "resumed": [5, 8]}
    for name, ends in runs.items():
        for max_steps in ends:
            plan = recipe(trainer={**options, "max_steps": max_steps}, resident=True)
            resident = train(plan, tmp_path / name, progress=False)
        for key, tensor in usual.state_dict().items():
            assert torch.equal(resident.state_dict()[key], tensor), (name, key)
