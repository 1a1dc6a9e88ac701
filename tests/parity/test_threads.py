"""One model in many threads: every result is the single-threaded one, bit for bit."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel, StaticCache

from howfar.errors import UnsupportedModelError
from howfar.positions import IncrementConfig, attach, increments_of, override, record
from howfar.positions.arguments import CACHE_NAME
from support.models import gradients, stir, tiny, tokens
from support.threads import in_threads

CONFIGS = {
    "shared": IncrementConfig(scope="shared"),
    "per_layer": IncrementConfig(scope="per_layer"),
    "per_head": IncrementConfig(scope="per_layer", per_head=True),
}
NUM_THREADS = [2, 8]


def model_of(kind: str, **options: Any) -> PreTrainedModel:
    model = tiny(**options)
    stir(attach(model, CONFIGS[kind]))
    return model


def padded(thread: int) -> tuple[Tensor, Tensor]:
    """A batch of the thread's own: tokens, length and padding."""
    token_ids = tokens(7 + thread, seed=thread)
    mask = torch.ones_like(token_ids)
    mask[0, : thread % 5] = 0
    return token_ids, mask


@torch.no_grad()
def everything(model: PreTrainedModel, thread: int) -> list[Tensor]:
    """Logits, recordings, an override's logits and generated tokens, of a batch of the thread's own."""
    token_ids, mask = padded(thread)
    with record(model) as recording:
        results = [model(token_ids, attention_mask=mask).logits]
    results += [*recording.increments.values(), *recording.positions.values()]
    with override(model, lambda layer, increments: increments * (1 + thread) + layer), record(model) as recording:
        results.append(model(token_ids, attention_mask=mask).logits)
    results += [*recording.increments.values()]
    for cache in (DynamicCache(config=model.config), StaticCache(model.config, max_cache_len=24)):
        options = {CACHE_NAME: cache, "max_new_tokens": 4, "do_sample": False, "disable_compile": True}
        results.append(model.generate(token_ids, attention_mask=mask, **options))
    return results


@pytest.mark.parametrize("num_threads", NUM_THREADS)
@pytest.mark.parametrize("kind", CONFIGS)
def test_passes_recordings_overrides_and_generation(kind: str, num_threads: int) -> None:
    model = model_of(kind)
    expected = [everything(model, thread) for thread in range(num_threads)]
    for results in in_threads(num_threads, lambda thread: everything(model, thread)):
        for found, wanted in zip(results, expected, strict=True):
            assert len(found) == len(wanted)
            assert all(torch.equal(one, other) for one, other in zip(found, wanted, strict=True))


@pytest.mark.parametrize("kind", CONFIGS)
def test_an_override_holds_in_the_thread_that_entered_it_and_in_no_other(kind: str) -> None:
    model = model_of(kind)
    with record(model) as outer, override(model, lambda layer, increments: torch.full_like(increments, 3)):

        def seen(thread: int) -> Tensor:
            with record(model) as inner, torch.no_grad():
                model(tokens())
            return inner.increments[1]

        mine = seen(0)
        others = in_threads(2, seen, num_rounds=1)[0]
    assert (mine == 3).all()
    assert torch.equal(outer.increments[1], mine), "the other threads' passes are not in it"
    assert torch.equal(others[0], others[1])
    assert not torch.allclose(others[0], mine)


@pytest.mark.parametrize("reentrant", [False, True])
@pytest.mark.parametrize("kind", CONFIGS)
def test_backward_in_another_thread_recomputes_the_same(kind: str, reentrant: bool) -> None:
    """On a GPU it is autograd's own thread that recomputes a checkpoint; here it is one that did not run the pass."""
    model, (token_ids, mask) = model_of(kind), padded(3)
    model.train()
    model.activation_checkpointing_enable({"use_reentrant": reentrant})

    def loss() -> Tensor:
        with override(model, lambda layer, increments: increments * 2):
            return model(token_ids, attention_mask=mask, labels=token_ids, use_cache=False).loss

    loss().backward()
    expected, begun = gradients(model), loss()
    in_threads(1, lambda thread: begun.backward(), num_rounds=1)
    found = gradients(model)
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_pass_that_fails_leaves_the_others_alone(kind: str) -> None:
    model = model_of(kind)

    def fail(layer: int, increments: Tensor) -> Tensor:
        raise ZeroDivisionError

    def run(thread: int) -> list[Tensor] | None:
        if thread % 2:
            return everything(model, thread)
        with override(model, fail), pytest.raises(ZeroDivisionError):
            model(tokens())
        return None

    expected = everything(model, 1)
    for results in in_threads(2, run):
        assert results[1] is not None
        assert all(torch.equal(one, other) for one, other in zip(results[1], expected, strict=True))
    assert not increments_of(model).is_observed
    assert torch.equal(everything(model, 1)[0], expected[0])


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_pass_within_a_pass(kind: str) -> None:
    """An override may ask the same model about another text; the outer pass goes on with its own padding."""
    model, (token_ids, mask) = model_of(kind), padded(3)
    expected = model(token_ids, attention_mask=mask).logits
    asked = []

    def ask(layer: int, increments: Tensor) -> Tensor:
        if len(asked) == layer:  # not within itself
            asked.append(None)
            asked[layer] = model(tokens(5)).logits
        return increments

    with override(model, ask):
        assert torch.equal(model(token_ids, attention_mask=mask).logits, expected)
    assert len(asked) == 2
    assert torch.equal(asked[0], model(tokens(5)).logits)


def test_a_layer_that_runs_without_its_decoder_is_refused() -> None:
    """A wrapper that runs layers a second time in the backward pass would give them other positions."""
    model = model_of("per_layer")
    rotation = model.model.rotary_emb(torch.zeros(1), torch.arange(4)[None])
    with pytest.raises(UnsupportedModelError, match=r"layer 1 ran outside of LlamaModel.forward.*call the whole model"):
        model.model.layers[1](torch.zeros(1, 4, 32), position_embeddings=rotation)
