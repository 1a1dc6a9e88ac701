"""Measures by several processes: their tables are those of one process, to the bit."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from transformers import PreTrainedModel

import howfar
from howfar.errors import ConfigError, WorkersError
from howfar.jobs.pool import Pool
from howfar.jobs.workers import AHEAD, current_workers, work_by
from howfar.measures.boundaries import boundaries
from howfar.measures.contexts import contexts
from howfar.measures.increments import increments
from howfar.measures.interventions import interventions
from howfar.measures.neutrality import neutrality
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.reading import workers
from howfar.reading.reader import Reader
from howfar.reading.windows import Window
from howfar.text.segmentation import word_segmentation
from support.training import WORDS
from support.workers import killed, killed_once

SIZES = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXTS = [" ".join(np.random.default_rng(seed).choice(WORDS, 10 + 7 * seed)) for seed in range(14)]


def small(folder: Path, **options: Any) -> PreTrainedModel:
    """A random model with learned positions, from a folder."""
    torch.manual_seed(0)
    config = HowFarConfig(**SIZES, max_position_embeddings=64, initializer_range=0.2, **options)
    howfar.save(HowFarForCausalLM(config).eval(), folder)
    return howfar.load(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    folder = tmp_path_factory.mktemp("models") / "learned"
    return small(folder, increments={"scope": "per_layer", "start": "random"})


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedModel:
    return small(tmp_path_factory.mktemp("models") / "plain", increments=None)


Measures = dict[str, Callable[[], pl.DataFrame]]


@pytest.fixture(scope="module")
def measures(model: PreTrainedModel, plain: PreTrainedModel) -> Measures:
    gold = [word_segmentation(text) for text in TEXTS]
    kinds = ("shuffled in class", "one gap closed")
    return {
        "increments": lambda: increments(model, TEXTS),
        "contexts": lambda: contexts(model, TEXTS, num_passages=4, width=8),
        "boundaries": lambda: boundaries(model, gold, target="words"),
        "neutrality": lambda: neutrality([model], {"plain": [plain]}, TEXTS),
        "interventions": lambda: interventions(plain, TEXTS, kinds=kinds, doses=(1.0,), batch_size=4),
    }


@pytest.fixture(scope="module")
def alone(measures: Measures) -> dict[str, pl.DataFrame]:
    return {name: take() for name, take in measures.items()}


@pytest.fixture(scope="module", autouse=True)
def small_batches() -> Iterator[None]:
    """So that there is something to divide; pools of documents are four batches.

    For one process too: on some processors the bits of a product depend on how many rows it has.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("howfar.reading.reader.MAX_TOKENS", 256)
        patch.setattr("howfar.reading.reader.POOL", 4)
        patch.setattr("howfar.reading.run.POOL", 4)
        yield


class Counting(Pool):
    """Counts what is handed out."""

    handed = 0

    def submit(self, *arguments: Any) -> Any:
        self.handed += 1
        return super().submit(*arguments)


@pytest.fixture(scope="module", params=[2, 3])
def pool(request: pytest.FixtureRequest) -> Iterator[Counting]:
    with Counting(request.param) as begun:
        yield begun


NAMES = ("increments", "contexts", "boundaries", "neutrality", "interventions")


@pytest.mark.parametrize("name", NAMES)
def test_measures_are_the_same_by_several_processes(
    name: str, pool: Counting, measures: Measures, alone: dict[str, pl.DataFrame]
) -> None:
    before = pool.handed
    with work_by(pool):
        table = measures[name]()
    assert pool.handed > before + 1
    assert table.equals(alone[name])


def test_one_worker_is_this_process(measures: Measures, alone: dict[str, pl.DataFrame]) -> None:
    with howfar.workers(1):
        assert current_workers() is None
        assert measures["contexts"]().equals(alone["contexts"])
    with pytest.raises(ConfigError, match="the number of workers is 0; give 1 or more"), howfar.workers(0):
        pass


def test_what_a_killed_worker_was_doing_is_done_again(model: PreTrainedModel, tmp_path: Path) -> None:
    reader, marker = Reader(model), tmp_path / "killed"
    taken = count()
    jobs = ((number, (marker, next(taken))) for number in range(20))
    with Pool(2) as pool, work_by(pool):
        found = list(workers.in_order(reader, killed_once, jobs))
        assert found == [(number, number * 64) for number in range(20)]
        assert marker.exists()
        with pytest.raises(WorkersError, match=r"workers were killed 4 times at the same job, .*; give fewer than 2"):
            list(workers.in_order(reader, killed, [(0, ())]))


def test_no_more_is_handed_out_than_a_few_batches_for_each_worker(model: PreTrainedModel, pool: Counting) -> None:
    taken = 0

    def pools() -> Iterator[list[Window]]:
        nonlocal taken
        for _ in range(40):
            taken += 1
            yield [Window(0, np.arange(5))]

    with work_by(pool):
        readings = workers.read_pools(Reader(model), pools(), lambda windows: windows, "losses")
        next(readings)
        assert taken <= 2 + AHEAD * pool.number
        assert sum(reading is not None for _, reading in readings) == 39


def test_a_model_that_is_not_what_lies_in_its_folder_is_refused(
    model: PreTrainedModel, pool: Counting, tmp_path: Path
) -> None:
    changed = howfar.load(model.name_or_path)
    with torch.no_grad():
        changed.lm_head.weight[0, 0] += 1
    nowhere = HowFarForCausalLM(changed.config).eval()
    nowhere.name_or_path = ""
    with work_by(pool):
        with pytest.raises(WorkersError, match="differs from the model here; save the model and load it with"):
            howfar.trace(changed, "a text")
        with pytest.raises(WorkersError, match="was not loaded from a folder or the Hub, so workers cannot load"):
            howfar.trace(nowhere, "a text")
        with howfar.override(changed, lambda layer, own: 2 * own):  # which workers could not know of
            assert howfar.trace(changed, "a text").increments.shape == (2, 1, 6)
