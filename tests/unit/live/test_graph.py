"""A model as an ONNX graph: the numbers of PyTorch, with steps that can be scaled."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch

import howfar
from howfar.errors import ConfigError, NotMeasurableError, OutputError
from howfar.live import graph
from howfar.live.graph import export_onnx
from howfar.positions import IncrementConfig
from support.models import stir, tiny


def model_with(**options: Any) -> Any:
    torch.manual_seed(0)
    model = tiny()
    if options:
        stir(howfar.attach(model, IncrementConfig(start="random", **options)))
    return model.eval()


def run(path: Path, tokens: torch.Tensor, multipliers: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return list(session.run(["logits", "increments"], {"token_ids": tokens.numpy(), "multipliers": multipliers}))


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"scope": "per_layer", "bound": "softplus"}, id="per-layer"),
        pytest.param({"scope": "shared", "bound": "sigmoid"}, id="shared"),
        pytest.param({"scope": "per_layer", "per_head": True, "bound": "softplus"}, id="per-head"),
        pytest.param({"scope": "per_layer", "advance": "after", "bound": "signed"}, id="after"),
        pytest.param({}, id="plain"),
    ],
)
def test_a_graph_gives_the_numbers_of_pytorch(tmp_path: Path, options: dict[str, Any]) -> None:
    model = model_with(**options)
    exported = export_onnx(model, tmp_path / "model.onnx")
    assert exported.num_bytes == (tmp_path / "model.onnx").stat().st_size
    tokens = torch.arange(1, 24)[None] % model.config.vocab_size
    ones = np.ones((model.config.num_hidden_layers, 23), dtype=np.float32)
    logits, increments = run(tmp_path / "model.onnx", tokens, ones)
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(input_ids=tokens).logits.numpy(), atol=1e-4)
    if not options:
        np.testing.assert_array_equal(increments, 1.0)
        assert "increments" not in dict(model.named_modules())  # the model is as it was


def test_multipliers_are_an_override_in_one_layer(tmp_path: Path) -> None:
    model = model_with(scope="per_layer", bound="softplus")
    export_onnx(model, tmp_path / "model.onnx")
    tokens = torch.arange(1, 13)[None]
    multipliers = np.ones((model.config.num_hidden_layers, 12), dtype=np.float32)
    multipliers[1, 5] = 3.0
    logits, _ = run(tmp_path / "model.onnx", tokens, multipliers)

    def widen(layer: int, increments: torch.Tensor) -> torch.Tensor:
        return increments * torch.from_numpy(multipliers[layer])

    with torch.no_grad(), howfar.override(model, widen):
        wanted = model(input_ids=tokens).logits.numpy()
        plain = model_with(scope="per_layer", bound="softplus")(input_ids=tokens).logits.numpy()
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    assert np.abs(wanted - plain).max() > 1e-3


def test_weights_that_float16_holds_are_stored_in_it(tmp_path: Path) -> None:
    model = model_with(scope="shared")
    whole = export_onnx(model, tmp_path / "whole.onnx").num_bytes
    model.half().float()
    halved = export_onnx(model, tmp_path / "halved.onnx").num_bytes
    assert halved < whole


def test_a_graph_that_computes_something_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graph, "_compare", lambda *_: (0.5, 0.0))
    with pytest.raises(NotMeasurableError, match=r"differs by up to 5\.0e-01,"):
        export_onnx(model_with(scope="shared"), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in bfloat16; load it on the CPU in float32"):
        export_onnx(model_with(scope="shared").bfloat16(), tmp_path / "model.onnx")
    with pytest.raises(OutputError, match="cannot be written"):
        export_onnx(model_with(scope="shared"), tmp_path / "missing" / "model.onnx")
