"""A model on another device than the CPU, or with smaller numbers: no tensor is left behind, none is read too early."""

import random
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from transformers import PreTrainedModel

import howfar
from howfar.errors import WorkersError
from howfar.measures.inputs import Inputs
from howfar.measures.registry import MEASURES
from howfar.positions import increments_of, override, record
from howfar.reading.reader import Reader
from howfar.reading.same import SameModel
from howfar.text.segmentation import Segmentation, word_segmentation
from support.copying import copying_model
from support.elsewhere import DEVICE, divided, elsewhere, move_model
from support.models import stir

NOT_OF_ANY_TEXT = {"calibration", "indexing", "information", "neutrality"}
"""They train their own models, or need labels, tasks or a second model; they read as the others do."""

NAMES = sorted(MEASURES.keys() - NOT_OF_ANY_TEXT)


def model(**options: Any) -> PreTrainedModel:
    made = copying_model(blind_second_layer=True, **options)
    stir(increments_of(made))
    return made


@cache
def texts() -> tuple[str, ...]:
    generator = random.Random(0)
    words = ["river", "of", "the", "stone", "New York", "Marie Curie", "run", "4"]
    return tuple(" ".join(generator.choices(words, k=80)) + "." for _ in range(12))


def gold() -> list[Segmentation]:
    return [word_segmentation(text[:90]) for text in texts()]


def table_of(name: str, of: PreTrainedModel) -> pl.DataFrame:
    measure = MEASURES[name]
    chosen: dict[str, Any] = {"sample": 900 if "gaps" in measure.sample else 12, "layers": (1,), "target": "words"}
    chosen["gold" if "gold" in measure.uses else "texts"] = gold() if "gold" in measure.uses else texts()
    return measure.take(of, Inputs(**{key: value for key, value in chosen.items() if key in measure.uses}))


def test_tensors_of_two_devices_do_not_mix() -> None:
    with elsewhere():
        there = torch.ones(3, device=DEVICE)
        assert there.device == torch.zeros(2).to(there).device == DEVICE
        assert there.cpu().device.type == "cpu"
        assert (there + torch.tensor(1.0)).tolist() == [2, 2, 2]
        for mistake in (lambda: there + torch.ones(3), lambda: torch.ones(3)[there.long()], there.numpy):
            with pytest.raises((RuntimeError, TypeError), match="device"):
                mistake()


def test_a_trace_of_a_model_elsewhere() -> None:
    here, text = model(), texts()[0]
    expected = howfar.trace(here, text)
    with elsewhere():
        move_model(here)
        found = howfar.trace(here, text)
    for name in ("increments", "positions", "surprisal_nats", "entropy_nats"):
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), atol=1e-5)


def test_passes_recordings_overrides_and_generation_elsewhere() -> None:
    def everything(of: PreTrainedModel, device: torch.device) -> list[torch.Tensor]:
        tokens = torch.tensor([[256, *b"abcabcab"], [256, *b"bcabcabc"]]).to(device)
        mask = torch.ones_like(tokens)
        mask[0, :3] = 0
        with torch.no_grad(), record(of) as recording:
            found = [of(tokens, attention_mask=mask).logits, *recording.positions.values()]
        with torch.no_grad(), override(of, lambda layer, own: own.round()):
            found.append(of(tokens).logits)
        found.append(of.generate(tokens, attention_mask=mask, max_new_tokens=5, num_beams=2, pad_token_id=0))
        return [part.cpu() for part in found]

    here = model()
    expected = everything(here, torch.device("cpu"))
    with elsewhere():
        move_model(here)
        found = everything(here, DEVICE)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.parametrize("how", ["second layer on disk", "all on disk", "all in memory"])
def test_a_model_that_is_offloaded_is_read_as_it_is(how: str, tmp_path: Path) -> None:
    text, whole = texts()[0], model()
    expected, nats = howfar.trace(whole, text), list(Reader(whole).nats_of([np.array([256, *text.encode()])]))
    found = divided(model(), tmp_path, how)
    np.testing.assert_array_equal(howfar.trace(found, text).increments, expected.increments)
    assert list(Reader(found).nats_of([np.array([256, *text.encode()])])) == nats
    with pytest.raises(WorkersError, match=r"divided over devices or offloaded.*; read without workers, or load"):
        SameModel.of(found)


@pytest.mark.parametrize("name", NAMES)
def test_measures_of_a_model_elsewhere(name: str) -> None:
    here = model()
    expected = table_of(name, here)
    with elsewhere():
        move_model(here)
        found = table_of(name, here)
    assert_frame_equal(found, expected, abs_tol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_measures_of_weights_in_bfloat16(name: str) -> None:
    """They change the numbers a little, and which of them there are not at all."""
    expected, found = table_of(name, model()), table_of(name, model().to(torch.bfloat16))
    assert found.schema == expected.schema
    if not MEASURES[name].rows:
        assert found["value"].is_null().to_list() == expected["value"].is_null().to_list()
        assert found["value"].is_nan().sum() == 0
