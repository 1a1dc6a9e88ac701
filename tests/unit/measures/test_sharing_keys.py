"""Measures of models whose layers attend to other layers' keys."""

from collections.abc import Callable
from pathlib import Path

import pytest

from howfar.errors import ConfigError, NotMeasurableError
from howfar.live.export import export_onnx
from howfar.measures.gap_effects import gap_effects
from howfar.measures.interventions import interventions
from howfar.measures.sensitivity import sensitivity
from howfar.text.tokenizer import byte_tokenizer
from support.models import sharing_keys


@pytest.mark.parametrize("measure", [sensitivity, gap_effects, interventions])
def test_measures_that_move_single_layers_refuse_layers_that_share_keys(measure: Callable[..., object]) -> None:
    with pytest.raises(NotMeasurableError, match="cannot be moved one at a time"):
        measure(sharing_keys("gemma3n_text"), "some words", tokenizer=byte_tokenizer())


def test_such_a_model_is_not_exported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be moved one at a time"):
        export_onnx(sharing_keys("gemma3n_text"), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
