"""A model as an ONNX graph: the numbers of PyTorch, with steps that can be scaled."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto

import howfar
from howfar.errors import ConfigError, NotMeasurableError, OutputError
from howfar.live import export
from howfar.live.export import HALVED_FROM, export_onnx
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import IncrementConfig
from support.models import stir, tiny


def model_with(**options: Any) -> Any:
    torch.manual_seed(0)
    if "encoding" in options:
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        return HowFarForCausalLM(HowFarConfig(**sizes, initializer_range=0.4, **options)).eval()
    model = tiny()
    if options:
        stir(howfar.attach(model, IncrementConfig(start="random", **options)))
    return model.eval()


KINDS: dict[str, dict[str, Any]] = {
    "per-layer": {"scope": "per_layer", "bound": "softplus"},
    "shared": {"scope": "shared", "bound": "sigmoid"},
    "per-head, after": {"scope": "per_layer", "per_head": True, "advance": "after", "bound": "signed"},
    "plain": {},
    "forget gate": {"encoding": {"name": "forget_gate", "rotary": True}},
}
TYPES = {"tensor(float)": np.float32, "tensor(double)": np.float64}
HALVED = "shared"  # float16 holds its weights


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[Any, Path]]:
    """A model of each kind and its graph, which takes seconds to make."""

    @cache
    def export(kind: str) -> tuple[Any, Path]:
        model = model_with(**KINDS[kind])
        if kind == HALVED:
            model.half().float()
        path = tmp_path_factory.mktemp(kind) / "model.onnx"
        assert export_onnx(model, path).num_bytes == path.stat().st_size
        return model, path

    return export


def run(path: Path, tokens: torch.Tensor, multipliers: np.ndarray, *pieces: int) -> list[np.ndarray]:
    """Logits and increments of a text that is read in pieces; without any, as a whole."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    state = {
        given.name: np.zeros([0 if size == "past_token" else size for size in given.shape], TYPES[given.type])
        for given in session.get_inputs()[2:]
    }
    found, begin = [], 0
    for length in pieces or (tokens.shape[1],):
        piece = slice(begin, begin := begin + length)
        new = {"token_ids": tokens[:, piece].numpy(), "multipliers": multipliers[:, piece]}
        logits, increments, *present = session.run(None, new | state)
        found.append((logits, increments))
        state = dict(zip(state, present, strict=True))
    return [np.concatenate(parts, axis=axis) for parts, axis in zip(zip(*found, strict=True), (1, 2), strict=True)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_graph_gives_the_numbers_of_pytorch(exported: Any, kind: str) -> None:
    model, path = exported(kind)
    tokens = torch.arange(1, 24)[None] % model.config.vocab_size
    ones = np.ones((model.config.num_hidden_layers, 23), dtype=np.float32)
    logits, increments = run(path, tokens, ones)
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(input_ids=tokens).logits.numpy(), atol=1e-4)
    if kind == "plain":
        np.testing.assert_array_equal(increments, 1.0)
        assert "increments" not in dict(model.named_modules())  # the model is as it was


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("pieces", [(1, 22), (22, 1), (7, 1, 1, 14)])
def test_a_text_read_in_pieces_gives_the_numbers_of_the_whole(
    exported: Any, kind: str, pieces: tuple[int, ...]
) -> None:
    model, path = exported(kind)
    tokens = torch.arange(1, 24)[None] % model.config.vocab_size
    multipliers = np.random.default_rng(0).uniform(0.5, 2, (model.config.num_hidden_layers, 23)).astype(np.float32)
    whole, in_pieces = run(path, tokens, multipliers), run(path, tokens, multipliers, *pieces)
    for one, other in zip(whole, in_pieces, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["lfm2", "phi3-longrope"])
def test_a_model_that_cannot_continue_a_text_reads_whole_ones(tmp_path: Path, name: str) -> None:
    torch.manual_seed(0)
    model = tiny(name).eval()
    increments = stir(howfar.attach(model, IncrementConfig(start="random")))
    path = tmp_path / "model.onnx"
    export_onnx(model, path)
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    assert [given.name for given in session.get_inputs()] == ["token_ids", "multipliers"]
    tokens = torch.arange(1, 24)[None]
    logits, _ = run(path, tokens, np.ones((len(increments.layer_indices), 23), dtype=np.float32))
    with torch.no_grad():
        np.testing.assert_allclose(logits, model(input_ids=tokens).logits.numpy(), atol=1e-4)


def test_multipliers_are_an_override_in_one_layer(exported: Any) -> None:
    model, path = exported("per-layer")
    tokens = torch.arange(1, 13)[None]
    multipliers = np.ones((model.config.num_hidden_layers, 12), dtype=np.float32)
    multipliers[1, 5] = 3.0
    logits, _ = run(path, tokens, multipliers)

    def widen(layer: int, increments: torch.Tensor) -> torch.Tensor:
        return increments * torch.from_numpy(multipliers[layer])

    with torch.no_grad():
        plain = model(input_ids=tokens).logits.numpy()
        with howfar.override(model, widen):
            wanted = model(input_ids=tokens).logits.numpy()
    np.testing.assert_allclose(logits, wanted, atol=1e-4)
    assert np.abs(wanted - plain).max() > 1e-3


def test_weights_that_float16_holds_are_stored_in_it(exported: Any) -> None:
    for kind, wanted in ((HALVED, {TensorProto.FLOAT16}), ("per-layer", {TensorProto.FLOAT})):
        graph = onnx.load(exported(kind)[1]).graph
        large = [tensor for tensor in graph.initializer if np.prod(tensor.dims) >= HALVED_FROM]
        assert {tensor.data_type for tensor in large} == wanted


def test_a_graph_that_computes_something_else_is_refused(
    exported: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, other = exported("plain")
    monkeypatch.setattr(export, "_export", lambda *_: other.read_bytes())
    with pytest.raises(NotMeasurableError, match=r"the exported graph is not the model: surprisal differs by up to"):
        export_onnx(model_with(**KINDS["per-layer"]), tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_exported_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="in bfloat16; load it on the CPU in float32"):
        export_onnx(model_with(scope="shared").bfloat16(), tmp_path / "model.onnx")
    with pytest.raises(OutputError, match="cannot be written"):
        export_onnx(model_with(scope="shared"), tmp_path / "missing" / "model.onnx")
