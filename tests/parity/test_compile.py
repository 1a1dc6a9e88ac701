"""torch.compile without graph breaks against eager."""

import contextlib
import inspect
import pickle
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import StaticCache

from howfar.positions import IncrementConfig, attach, override, record
from howfar.positions.arguments import CACHE_NAME
from howfar.positions.encodings import encodings
from support.encodings import encoded
from support.models import gradients, largest_difference, stir, tiny, tokens

CONFIGS = {
    "shared": IncrementConfig(scope="shared"),
    "per_layer": IncrementConfig(scope="per_layer"),
    "per_head": IncrementConfig(scope="per_layer", per_head=True),
}


def without_shape_checks(function: Any) -> Any:
    """The function itself; what makes a generator a context manager is left around it."""
    return inspect.unwrap(function, stop=lambda inner: inner.__code__.co_filename == contextlib.__file__)


@pytest.fixture(autouse=True)
def _as_users_have_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A fresh compiler, and the functions without their shape checks, which the compiler cannot trace."""
    encodings()  # are imported when the first is asked for
    for module in [module for name, module in sys.modules.items() if name.startswith("howfar.positions")]:
        owners = [vars(module)[name] for name in vars(module) if inspect.isclass(vars(module)[name])]
        for owner in [module, *(owner for owner in owners if owner.__module__ == module.__name__)]:
            for name, value in list(vars(owner).items()):
                if inspect.isfunction(value) and hasattr(value, "__wrapped__"):
                    monkeypatch.setattr(owner, name, without_shape_checks(value))
                elif isinstance(value, property):
                    monkeypatch.setattr(owner, name, property(without_shape_checks(value.fget)))
    torch.compiler.reset()
    yield
    torch.compiler.reset()


@pytest.mark.parametrize(
    ("kind", "name", "backend"),
    [
        ("per_layer", "llama", "inductor"),
        ("shared", "llama", "aot_eager"),
        ("per_head", "llama", "aot_eager"),
        ("per_layer", "gemma3_text", "aot_eager"),
        ("per_layer", "smollm3", "aot_eager"),
    ],
)
def test_forward_and_gradients_equal_eager(kind: str, name: str, backend: str) -> None:
    # Inductor compiles C++ for half a minute a layer.
    options = {"num_hidden_layers": 1} if backend == "inductor" else {}
    model, token_ids = tiny(name, **options), tokens()
    stir(attach(model, CONFIGS[kind]))
    compiled = torch.compile(model, fullgraph=True, backend=backend)

    def run(forward: torch.nn.Module) -> tuple[Tensor, dict[str, Tensor]]:
        output = forward(token_ids, labels=token_ids, use_cache=False)
        output.loss.backward()
        return output.logits.detach(), gradients(model)

    expected, found = run(model), run(compiled)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-5)
    assert largest_difference(expected[1], found[1]) < 1e-4


@pytest.mark.parametrize("kind", ["forget_gate-rotary-shared", "pope-per_layer", "halves-per_layer"])
def test_encodings_equal_eager(kind: str) -> None:
    model, token_ids = encoded(kind), tokens(12)
    expected = model(token_ids, labels=token_ids, use_cache=False)
    expected.loss.backward()
    wanted = gradients(model)
    found = torch.compile(model, fullgraph=True, backend="aot_eager")(token_ids, labels=token_ids, use_cache=False)
    found.loss.backward()
    torch.testing.assert_close(found.logits, expected.logits, rtol=1e-5, atol=1e-5)
    assert largest_difference(gradients(model), wanted) < 1e-4
    with torch.no_grad():
        cache = StaticCache(model.config, max_cache_len=16)
        pieces = [model(token_ids[:, :6], **{CACHE_NAME: cache}).logits]
        step = torch.compile(model, fullgraph=True, backend="aot_eager")
        pieces += [step(token_ids[:, t : t + 1], **{CACHE_NAME: cache}).logits for t in range(6, 9)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected.logits[:, :9], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", CONFIGS)
def test_decoding_from_a_static_cache_equals_one_full_pass(kind: str) -> None:
    """The prompt in eager mode and then one compiled step per token, as `generate` does it, without a graph break."""
    model, token_ids = tiny(), tokens(12)
    stir(attach(model, CONFIGS[kind]))
    with torch.no_grad():
        expected = model(token_ids).logits
        cache = StaticCache(model.config, max_cache_len=16)
        pieces = [model(token_ids[:, :6], **{CACHE_NAME: cache}).logits]
        step = torch.compile(model, fullgraph=True, backend="aot_eager")
        pieces += [step(token_ids[:, t : t + 1], **{CACHE_NAME: cache}).logits for t in range(6, 12)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-5, atol=1e-5)


def test_overrides_and_recordings_reach_a_compiled_model() -> None:
    model, token_ids = tiny(), tokens()
    attach(model)
    compiled = torch.compile(model, fullgraph=True, backend="aot_eager")
    plain = compiled(token_ids).logits
    with override(model, lambda layer, increments: 2 * increments), record(model) as recording:
        doubled = compiled(token_ids).logits
        expected = model(token_ids).logits
    torch.testing.assert_close(doubled, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(recording.increments[1], torch.full((2, 1, 12), 2.0))
    assert (doubled - plain).abs().max() > 0.01
    assert torch.equal(compiled(token_ids).logits, plain)


@pytest.fixture
def fresh_process() -> Iterator[None]:
    """The compiler's setting before any model had increments."""
    with torch._dynamo.config.patch(skip_nnmodule_hook_guards=True):
        yield


@pytest.mark.usefixtures("fresh_process")
@pytest.mark.parametrize("attached", ["before", "after", "elsewhere"])
def test_code_compiled_for_a_plain_model_is_not_run_for_one_with_increments(attached: str) -> None:
    ids, plain, model = tokens(8, 1), tiny(), tiny()
    if attached != "after":
        stir(attach(model))
    stored = pickle.dumps(model)
    if attached == "elsewhere":  # in a process from which this one gets a copy
        torch._dynamo.config.skip_nnmodule_hook_guards = True
    compiled_plain = torch.compile(plain, backend="eager")
    expected_of_plain = plain(ids).logits
    torch.testing.assert_close(compiled_plain(ids).logits, expected_of_plain)
    model = pickle.loads(stored) if attached == "elsewhere" else model
    compiled = torch.compile(model, backend="eager")
    if attached == "after":
        compiled(ids)
        stir(attach(model))
    expected = model(ids).logits
    assert (expected - expected_of_plain).abs().max() > 0.1
    for _ in range(2):  # in turns
        torch.testing.assert_close(compiled(ids).logits, expected)
        torch.testing.assert_close(compiled_plain(ids).logits, expected_of_plain)


@pytest.mark.usefixtures("fresh_process")
def test_compiled_models_learn_one_after_the_other() -> None:
    ids = tokens(8, 1)
    for config in (None, CONFIGS["per_layer"], CONFIGS["shared"]):
        model = tiny()
        learned = [] if config is None else attach(model, config).parameters()
        torch.compile(model, backend="aot_eager")(input_ids=ids, labels=ids).loss.backward()
        assert all(parameter.grad is not None for parameter in learned)
        assert config is None or any(parameter.grad.abs().max() > 0 for parameter in learned)
