"""Outputs and gradients against plain float64 loops."""

from itertools import product

import pytest
import torch

from howfar.positions import IncrementConfig, attach
from support.models import gradients, stir, tiny
from support.naive import naive_logits

CONFIGS = [
    IncrementConfig(scope=scope, per_head=per_head, bound=bound, accumulate=accumulate, advance=advance)
    for scope, per_head, bound, (accumulate, advance) in product(
        ("shared", "per_layer"),
        (False, True),
        ("softplus", "sigmoid", "signed"),
        ((True, "before"), (True, "after"), (False, "before")),
    )
]


def name_of(config: IncrementConfig) -> str:
    counted = config.advance if config.accumulate else "placed"
    return f"{config.scope}-{config.bound}-{counted}{'-per_head' if config.per_head else ''}"


@pytest.mark.parametrize("config", CONFIGS, ids=name_of)
def test_outputs_and_gradients_equal_naive_loops(config: IncrementConfig) -> None:
    model = tiny("llama", hidden_size=16, intermediate_size=12, vocab_size=11)
    stir(attach(model, config), scale=0.5)
    token_ids = [7, 4, 4, 9]
    weights = {name: value.double().requires_grad_() for name, value in model.state_dict().items()}
    direction = torch.randn(len(token_ids), 11)

    found = model(torch.tensor([token_ids])).logits[0]
    expected = naive_logits(weights, token_ids, model.config, config)
    torch.testing.assert_close(found.double(), expected, rtol=1e-5, atol=1e-5)

    (found * direction).sum().backward()
    (expected * direction).sum().backward()
    for name, gradient in gradients(model).items():
        wanted = weights[name].grad
        assert wanted is not None
        tolerance = 1e-6 + 1e-5 * float(wanted.abs().max())
        torch.testing.assert_close(gradient.double(), wanted, rtol=0, atol=tolerance, msg=lambda m, n=name: f"{n}: {m}")


def test_the_naive_loops_equal_plain_llama_at_unit_increments() -> None:
    model = tiny("llama", hidden_size=16, intermediate_size=12, vocab_size=11)
    token_ids = [7, 4, 4, 9]
    expected = model(torch.tensor([token_ids])).logits[0]
    attach(model)
    weights = {name: value.double() for name, value in model.state_dict().items()}
    found = naive_logits(weights, token_ids, model.config, IncrementConfig())
    torch.testing.assert_close(found, expected.double(), rtol=1e-5, atol=1e-5)
