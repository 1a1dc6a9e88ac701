"""Traces against plain forward passes, cross entropy and Transformers' own Llama."""

from typing import Any

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions import record
from howfar.reading import trace, trace_many
from howfar.reading.head import surprisal_and_entropy
from howfar.text.tokenizer import END_OF_DOCUMENT, byte_tokenizer

CONTEXT, OVERLAP = 32, 8
SIZE: dict[str, Any] = {
    "vocab_size": 257,
    "hidden_size": 16,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "max_position_embeddings": CONTEXT,
    "initializer_range": 0.4,
}
KINDS = [
    {"scope": "shared"},
    {"scope": "per_layer"},
    {"per_head": True},
    {"advance": "after"},
    {"bound": "signed"},
    {"angles": "float64"},
]
SHORT = "Two roads — 两条路"
LONG = "Two roads diverged in a yellow wood, 金色的树林里分出两条路 " * 5


def model_with(increments: dict[str, Any]) -> HowFarForCausalLM:
    torch.manual_seed(0)
    return HowFarForCausalLM(HowFarConfig(**SIZE, increments={"start": "random", **increments})).eval()


def direct(model: HowFarForCausalLM, tokens: list[int]) -> tuple[np.ndarray, np.ndarray, torch.Tensor]:
    with torch.no_grad(), record(model) as recording:
        logits = model(torch.tensor([tokens])).logits[0].double()
    increments = np.stack([recording.increments[layer][0].numpy() for layer in (0, 1)])
    positions = np.stack([recording.positions[layer][0].numpy() for layer in (0, 1)])
    return increments, positions, logits


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_one_window_equals_a_plain_forward_pass(kind: dict[str, Any]) -> None:
    model = model_with(kind)
    tokens = [END_OF_DOCUMENT, *SHORT.encode()]
    increments, positions, logits = direct(model, tokens)
    traced = trace(model, SHORT)
    assert np.array_equal(traced.increments, increments[..., 1:])
    assert np.array_equal(traced.mark_increments, increments[..., 0])
    assert np.allclose(traced.positions, positions[..., 1:] - positions[..., :1], atol=1e-4)
    losses = F.cross_entropy(logits[:-1], torch.tensor(tokens[1:]), reduction="none")
    assert np.allclose(traced.surprisal_nats, losses, atol=1e-5)
    entropies = torch.distributions.Categorical(logits=logits[1:]).entropy()
    assert np.allclose(traced.entropy_nats, entropies, atol=1e-5)


@pytest.mark.parametrize("kind", [{"scope": "shared"}, {"scope": "per_layer"}, {"per_head": True}], ids=str)
def test_stitched_windows_equal_each_window_read_alone(kind: dict[str, Any]) -> None:
    model = model_with(kind)
    tokens = [END_OF_DOCUMENT, *LONG.encode()]
    starts = [*range(0, len(tokens) - CONTEXT, CONTEXT - OVERLAP), len(tokens) - CONTEXT]
    passes = {start: direct(model, tokens[start : start + CONTEXT]) for start in starts}
    traced = trace(model, LONG, overlap=OVERLAP, batch_size=3)
    for token in range(1, len(tokens)):
        start = min(start for start in starts if start <= token < start + CONTEXT)  # the most left context
        assert start == 0 or token - start >= OVERLAP
        increments, _, logits = passes[start]
        assert np.allclose(traced.increments[..., token - 1], increments[..., token - start], atol=1e-5)
        before, after = logits[token - start - 1], logits[token - start]
        assert np.isclose(traced.surprisal_nats[token - 1], -before.log_softmax(0)[tokens[token]], atol=1e-5)
        assert np.isclose(
            traced.entropy_nats[token - 1], torch.distributions.Categorical(logits=after).entropy(), atol=1e-5
        )


def test_the_first_window_of_a_long_text_equals_the_text_cut_to_it() -> None:
    model = model_with({})
    cut = LONG.encode()[: CONTEXT - 1].decode(errors="ignore")
    size = len(cut.encode())
    long, short = trace(model, LONG), trace(model, cut)
    assert np.allclose(long.increments[..., :size], short.increments, atol=1e-5)
    assert np.allclose(long.surprisal_nats[:size], short.surprisal_nats, atol=1e-5)
    assert np.allclose(long.entropy_nats[:size], short.entropy_nats, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 50])
def test_it_does_not_matter_what_a_text_is_batched_with(batch_size: int) -> None:
    model = model_with({})
    texts = [LONG, "a", SHORT, LONG[::-1], "树" * 9]
    for text, traced in zip(texts, trace_many(model, texts, batch_size=batch_size), strict=True):
        alone = trace(model, text, batch_size=1)
        assert np.allclose(traced.increments, alone.increments, atol=1e-5)
        assert np.allclose(traced.surprisal_nats, alone.surprisal_nats, atol=1e-5)
        assert np.allclose(traced.entropy_nats, alone.entropy_nats, atol=1e-5)


def test_a_plain_llama_reads_and_attends_as_in_transformers() -> None:
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**SIZE, attn_implementation="eager")).eval()
    tokens = torch.tensor([[END_OF_DOCUMENT, *SHORT.encode()]])
    with torch.no_grad():
        output = model(tokens, output_attentions=True)
    model.set_attn_implementation("sdpa")
    traced = trace(model, SHORT, byte_tokenizer(), attention=True)
    losses = F.cross_entropy(output.logits[0, :-1].double(), tokens[0, 1:], reduction="none")
    assert np.allclose(traced.surprisal_nats, losses, atol=1e-5)
    assert np.allclose(traced.attention, torch.cat(output.attentions), atol=1e-6)
    assert model.config._attn_implementation == "sdpa"


def test_attention_of_learned_positions_is_that_of_the_pass_itself() -> None:
    model = model_with({"per_head": True})
    traced = trace(model, SHORT, attention=True)
    model.set_attn_implementation("howfar_eager")
    with torch.no_grad():
        output = model(torch.tensor([[END_OF_DOCUMENT, *SHORT.encode()]]), output_attentions=True)
    assert np.allclose(traced.attention, torch.cat(output.attentions), atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("scale", [0.1, 3.0, 300.0])
def test_surprisal_and_entropy_equal_double_precision(dtype: torch.dtype, scale: float) -> None:
    torch.manual_seed(0)
    logits = (torch.randn(3, 7, 1000) * scale + 50).to(dtype)
    tokens = torch.randint(1000, (3, 7))
    exact = logits.double()
    surprisal, entropy = surprisal_and_entropy(logits.clone(), tokens)
    losses = F.cross_entropy(exact.transpose(1, 2), tokens, reduction="none")
    torch.testing.assert_close(surprisal.double(), losses, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(
        entropy.double(), torch.distributions.Categorical(logits=exact).entropy(), rtol=1e-5, atol=1e-5
    )
