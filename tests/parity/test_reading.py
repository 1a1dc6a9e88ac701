"""The Reader against plain forward passes, on every architecture: losses, increments, attention, residuals."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

import howfar
from howfar.positions import IncrementConfig, attach, record
from howfar.reading import reader as reading_module
from howfar.reading.reader import Reader
from howfar.reading.readings import stacked
from howfar.reading.windows import Window
from support.models import ARCHITECTURES, VOCABULARY, WITHOUT_ROTARY, stir, tiny, tokens
from support.threads import in_threads

LENGTHS = (12, 9)


def windows(name: str = "llama") -> list[Window]:
    lengths = (12, 12) if name == "llama-dynamic" else LENGTHS  # it reads longer texts in batches of one length only
    return [
        Window(number, tokens(length, 1, number)[0].numpy()) for number, length in zip((0, 1), lengths, strict=True)
    ]


def bamba() -> PreTrainedModel:
    options = {"attn_layer_indices": [1], "mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8}
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model("bamba", vocab_size=VOCABULARY, num_key_value_heads=2, **sizes, **options)
    return AutoModelForCausalLM.from_config(config).eval()


def model_of(name: str) -> PreTrainedModel:
    return bamba() if name == "bamba" else tiny(name)


@torch.no_grad()
def plain_losses(model: PreTrainedModel, window: Window) -> Tensor:
    token_ids = torch.from_numpy(window.tokens)
    logits = model(input_ids=token_ids[None], use_cache=False).logits[0].double()
    return F.cross_entropy(logits[:-1], token_ids[1:], reduction="none")


@pytest.mark.parametrize("name", ["bamba", *ARCHITECTURES])
def test_losses_in_stretches_are_those_of_a_plain_pass(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, sizes = model_of(name), []
    whole = Reader(model, context=16).read_together(windows(name), "losses", predict_at=[3, 8])
    model.get_output_embeddings().register_forward_hook(lambda module, args, output: sizes.append(output.shape[1]))
    monkeypatch.setattr(reading_module, "MAX_SLICE", VOCABULARY * len(LENGTHS) * 5)
    found = Reader(model, context=16).read_together(windows(name), "losses", predict_at=[3, 8])
    assert sizes == [5, 5, 2, 1]
    torch.testing.assert_close(found.surprisal_nats, whole.surprisal_nats, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.entropy_nats, whole.entropy_nats, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(found.predictions, whole.predictions, rtol=1e-6, atol=1e-6)
    for row, (window, place) in enumerate(zip(windows(name), (3, 8), strict=True)):
        losses = plain_losses(model, window)
        assert found.surprisal_nats[row, 0] == 0
        assert (found.surprisal_nats[row, len(window) :] == 0).all()
        torch.testing.assert_close(found.surprisal_nats[row, 1 : len(window)].double(), losses, rtol=1e-4, atol=1e-5)
        if place + 1 < len(window):
            of_next = found.predictions[row, int(window.tokens[place + 1])].double()
            torch.testing.assert_close(of_next, -losses[place], rtol=1e-4, atol=1e-5)


@torch.no_grad()
def eager_attention(model: PreTrainedModel, window: Window, layers: tuple[int, ...]) -> dict[int, Tensor]:
    model.set_attn_implementation("eager")
    output = model(torch.from_numpy(window.tokens)[None], output_attentions=True, use_cache=False)
    found = [weights for weights in output.attentions if weights is not None]
    everywhere = len(found) == model.config.num_hidden_layers
    return {layer: found[layer if everywhere else index][0] for index, layer in enumerate(layers)}


@pytest.mark.parametrize("name", ["bamba", *ARCHITECTURES])
def test_attention_is_that_of_the_model(name: str) -> None:
    model = model_of(name)
    before = model.config._attn_implementation
    reader = Reader(model, context=16)
    found = reader.read_together(windows(name), "attention", "losses")
    alone = reader.read_together(windows(name), "losses")
    assert torch.equal(found.surprisal_nats, alone.surprisal_nats)  # to watch changes nothing
    assert model.config._attn_implementation == before
    without = [0] if name == "bamba" else WITHOUT_ROTARY.get(name, [])
    assert tuple(found.attention) == reader.layers == tuple(layer for layer in (0, 1) if layer not in without)
    for row, window in enumerate(windows(name)):
        for layer, weights in eager_attention(model, window, reader.layers).items():
            size = len(window)
            own = found.attention[layer][row, :, :size, :size]
            if name != "falcon":  # to whose scores Transformers adds a mask of booleans when it is asked for attention
                torch.testing.assert_close(own, weights, rtol=1e-4, atol=1e-5)
            visible = found.visible[layer].expand_as(found.attention[layer])[row, :, :size, :size]
            assert torch.equal(visible, causal(model, layer, size).expand_as(visible))
            assert (own[~visible] == 0).all()
            sums = own.sum(dim=-1)
            assert (sums < 0.999).all() if name == "gpt_oss" else torch.allclose(sums, torch.ones_like(sums), atol=1e-5)


def causal(model: PreTrainedModel, layer: int, size: int) -> Tensor:
    """Which keys a query may attend to, by the model's configuration."""
    kinds = getattr(model.config, "layer_types", None) or ["full_attention"] * (layer + 1)
    sliding = kinds[layer] == "sliding_attention" or model.config.model_type == "mistral"
    distance = torch.arange(size)[:, None] - torch.arange(size)
    return (distance >= 0) & (distance < (model.config.sliding_window if sliding else size))


@pytest.mark.parametrize("name", ["llama", "gemma3_text", "lfm2", "gpt_oss", "qwen3_next"])
@pytest.mark.parametrize("scope", ["shared", "per_layer"])
def test_increments_positions_and_residuals_are_those_of_a_plain_pass(name: str, scope: Any) -> None:
    model = tiny(name)
    stir(attach(model, IncrementConfig(scope=scope)))
    reader = Reader(model, context=16)
    found = reader.read_together(windows(), "increments", "positions", "residuals")
    entering: dict[int, Tensor] = {}
    for layer in reader.layers:
        decoder_layer = model.get_decoder().layers[layer]
        decoder_layer.register_forward_pre_hook(lambda _, args, layer=layer: entering.update({layer: args[0]}))
    for row, window in enumerate(windows()):
        with torch.no_grad(), record(model) as recording:
            model(torch.from_numpy(window.tokens)[None], use_cache=False)
        for kind in ("increments", "positions"):
            own = stacked(getattr(found, kind))[:, row, :, : len(window)]
            assert np.allclose(own, stacked(getattr(recording, kind))[:, 0], rtol=1e-4, atol=1e-5)
        assert np.allclose(
            stacked(found.residuals)[:, row, : len(window)], stacked(entering)[:, 0], rtol=1e-4, atol=1e-5
        )


def test_gradients_reach_the_increments() -> None:
    model = tiny()
    stir(attach(model))
    move = torch.zeros(2, 1, 12, requires_grad=True)
    with howfar.override(model, lambda layer, own: own + move):
        reading = Reader(model, context=16).read_together(windows(), predict_at=[5, 5], gradients=True)
    (gradient,) = torch.autograd.grad(reading.predictions[:, 7].sum(), move)
    assert (gradient[..., :6].abs().amax(dim=-1) > 0).all()
    assert (gradient[..., 6:] == 0).all()


@pytest.mark.parametrize("num_threads", [2, 8])
@pytest.mark.parametrize("name", ["llama", "gemma2"])
def test_threads_read_one_model_bit_for_bit(name: str, num_threads: int) -> None:
    model = tiny(name)
    stir(attach(model))
    model.train()
    model.get_decoder().layers[0].eval()  # frozen
    training = [module.training for module in model.modules()]

    def read(thread: int) -> list[np.ndarray]:
        own = [Window(0, tokens(8 + thread, 1, thread)[0].numpy())]
        reader = Reader(model, context=32)
        first = reader.read_together(own, "losses", "increments", "attention", "residuals")
        with howfar.override(model, lambda layer, increments: increments * (1 + thread)):
            second = reader.read_together(own, "losses", "positions")
        by_layer = [first.increments, first.attention, first.residuals, second.positions]
        return [first.surprisal_nats.numpy(), second.surprisal_nats.numpy(), *map(stacked, by_layer)]

    expected = [read(thread) for thread in range(num_threads)]
    for results in in_threads(num_threads, read):
        for found, wanted in zip(results, expected, strict=True):
            assert all(map(np.array_equal, found, wanted))
    assert [module.training for module in model.modules()] == training


def test_a_hook_that_another_thread_meets_half_registered_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """PyTorch notes that a hook takes keyword arguments after it has registered it; here it never does."""
    model, register = tiny("smollm3"), torch.nn.Module.register_forward_pre_hook
    passed = []

    def half(layer: torch.nn.Module, hook: Callable[..., Any], **options: Any) -> Any:
        handle = register(layer, hook, **options)
        noted = layer._forward_pre_hooks_with_kwargs
        noted.pop(handle.id, None)
        with ThreadPoolExecutor(1) as other:
            passed.append(other.submit(lambda: model(input_ids=tokens()).logits).result())
        noted[handle.id] = True
        return handle

    expected = model(input_ids=tokens()).logits
    monkeypatch.setattr(torch.nn.Module, "register_forward_pre_hook", half)
    assert Reader(model, context=16).layers == (0,)
    assert passed
    assert all(torch.equal(logits, expected) for logits in passed)


def test_threads_find_the_layers_of_a_plain_model() -> None:
    model = tiny("smollm3")
    for results in in_threads(4, lambda thread: Reader(model, context=16).layers):
        assert results == [(0,)] * 4
