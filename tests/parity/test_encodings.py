"""Every encoding of models from scratch: the laws of increments hold, and each equals its definition in plain loops."""

import math
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache, StaticCache

import howfar
from howfar.errors import AlreadyAttachedError, CheckpointError, NoIncrementsError, UnsupportedModelError
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.positions.arguments import CACHE_NAME, LayerCall
from howfar.positions.attachment import attach_encoding, positions_of
from howfar.positions.encodings import alibi, encodings, pope
from howfar.positions.layer_positions import LayerPositions
from support.encodings import ENCODED, encoded
from support.models import gradients, largest_difference, tiny, tokens
from support.naive import naive_logits


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_all_encodings_are_tested() -> None:
    own = {name for name, kind in encodings().items() if kind.__module__.startswith("howfar.")}
    assert {encoding["name"] for encoding, _ in ENCODED.values()} | {"rotary"} == own


@pytest.mark.parametrize("kind", ENCODED)
@torch.no_grad()
def test_what_an_encoding_learns_or_looks_up_is_not_rounded_with_the_model(kind: str) -> None:
    model = encoded(kind)
    state = {name: value.clone() for name, value in model.state_dict().items()}
    model.to(torch.bfloat16)
    for name, value in model.state_dict().items():
        if {"encoding", "increments"} & {*name.split(".")}:
            assert value.dtype == torch.float32, name
            assert torch.equal(value, state[name]), name
    assert model(tokens()).logits.isfinite().all()


@pytest.mark.parametrize("kind", ENCODED)
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_outputs_and_gradients_equal_naive_loops(kind: str, attention: str) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 12, "vocab_size": 11, "attn_implementation": attention}
    model, token_ids = encoded(kind, **sizes), [7, 4, 4, 9]
    weights = {name: value.double().requires_grad_() for name, value in model.state_dict().items()}
    encoding, increments = ENCODED[kind]
    found = model(torch.tensor([token_ids])).logits[0]
    expected = naive_logits(weights, token_ids, model.config, increments, encoding)
    close(found.double(), expected)
    direction = torch.randn_like(found)
    (found * direction).sum().backward()
    (expected * direction).sum().backward()
    for name, gradient in gradients(model).items():
        wanted = weights[name].grad
        if wanted is None:
            assert not gradient.any(), name
            continue
        tolerance = 2e-6 + 1e-5 * float(wanted.abs().max())
        torch.testing.assert_close(gradient.double(), wanted, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", ENCODED)
class TestLaws:
    """What holds of increments holds of every encoding."""

    @torch.no_grad()
    def test_a_cache_is_no_matter(self, kind: str) -> None:
        model, token_ids = encoded(kind), tokens(13)
        expected = model(token_ids, use_cache=False).logits
        for cache in (DynamicCache(config=model.config), StaticCache(model.config, max_cache_len=16)):
            pieces = [model(piece, **{CACHE_NAME: cache}).logits for piece in token_ids.split([5, 3, 1, 1, 3], dim=1)]
            close(torch.cat(pieces, dim=1), expected)

    @torch.no_grad()
    def test_a_cache_that_was_cropped_reordered_and_repeated(self, kind: str) -> None:
        model, token_ids, more = encoded(kind), tokens(6), tokens(4, batch_size=3, seed=1)
        cache = DynamicCache(config=model.config)
        model(torch.cat((token_ids, tokens(2, seed=5)), dim=1), **{CACHE_NAME: cache})
        cache.crop(-2)
        cache.batch_repeat_interleave(2)
        cache.batch_select_indices(torch.tensor([3, 0, 2]))
        whole = torch.cat((token_ids[[1, 0, 1]], more), dim=1)
        close(model(more, **{CACHE_NAME: cache}).logits, model(whole).logits[:, 6:])

    @torch.no_grad()
    def test_padding_and_packing_are_no_matter(self, kind: str) -> None:
        model, token_ids = encoded(kind), tokens(8, batch_size=1)
        expected = model(token_ids).logits
        for mask in ([0, 0, 0, *[1] * 8], [1, 1, 0, 0, 0, *[1] * 6], [*[1] * 8, 0, 0, 0]):
            seen = torch.tensor([mask]).bool()
            padded = torch.zeros(1, 11, dtype=torch.long)
            padded[seen] = token_ids[0]
            ids = (seen.long().cumsum(-1) - 1).masked_fill(~seen, 0)
            found = model(padded, attention_mask=seen.long(), position_ids=ids).logits
            close(found[seen][None], expected)
        packed = torch.cat((torch.arange(3), torch.arange(5)))[None]
        found = model(token_ids, position_ids=packed, use_cache=False).logits
        close(found[:, :3], model(token_ids[:, :3]).logits)
        close(found[:, 3:], model(token_ids[:, 3:]).logits)

    def test_beams(self, kind: str) -> None:
        model, prompt = encoded(kind), tokens(5)
        output = model.generate(
            prompt, max_new_tokens=6, do_sample=False, num_beams=3, num_return_sequences=3, output_scores=True,
            return_dict_in_generate=True,
        )  # fmt: skip
        with torch.no_grad():
            likelihood = model(output.sequences).logits[:, 4:-1].log_softmax(-1)
        close(output.sequences_scores, likelihood.gather(-1, output.sequences[:, 5:, None]).sum(dim=(1, 2)) / 6)

    @pytest.mark.parametrize("reentrant", [False, True])
    def test_gradient_checkpointing(self, kind: str, reentrant: bool) -> None:
        model, token_ids = encoded(kind).train(), tokens()

        def run() -> dict[str, Tensor]:
            model(token_ids, labels=token_ids, use_cache=False).loss.backward()
            return gradients(model)

        expected = run()
        model.activation_checkpointing_enable({"use_reentrant": reentrant})
        assert largest_difference(run(), expected) < 1e-5

    def test_saved_and_loaded(self, kind: str, tmp_path: Path) -> None:
        model, token_ids = encoded(kind), tokens()
        howfar.save(model, tmp_path / "model")
        loaded = howfar.load(tmp_path / "model")
        assert torch.equal(loaded(token_ids).logits, model(token_ids).logits)
        half = howfar.load(tmp_path / "model", dtype=torch.bfloat16)
        found = positions_of(half)
        assert found is not None
        learned = [p for name, p in half.named_parameters() if {"encoding", "increments"} & set(name.split("."))]
        assert all(parameter.dtype == torch.float32 for parameter in learned)
        far = (half(token_ids).logits.float() - model(token_ids).logits).abs().max()
        assert far < 0.1 * model(token_ids).logits.abs().max()

    def test_what_comes_later_is_not_seen(self, kind: str) -> None:
        model, token_ids = encoded(kind), tokens(9)
        changed = token_ids.clone()
        changed[:, 6:] = tokens(3, seed=9)
        close(model(changed).logits[:, :6], model(token_ids).logits[:, :6])


def plain(name: str, like: Any, attention: str) -> Tensor:
    """The logits of NoPE or RoPE with the same weights, of 40 tokens."""
    values = {**like.config.to_dict(), "encoding": {"name": name}, "increments": None}
    model = HowFarForCausalLM._from_config(HowFarConfig.from_dict(values), attn_implementation=attention)
    model.load_state_dict(like.state_dict(), strict=False)
    return model.eval()(tokens(40)).logits


def without(model: Any, name: str, value: float) -> None:
    """Set a parameter of each layer's encoding to one value."""
    for layer in model.model.layers:
        layer.encoding.get_parameter(name).data.fill_(value)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@torch.no_grad()
def test_where_nothing_is_lowered_it_is_plain(attention: str) -> None:
    token_ids = tokens(40)
    options = {"attn_implementation": attention, "hidden_size": 64}  # heads of 16, as wide as a vector register

    for kind, parameter, value, other in [
        ("alibi-learned", "slope_bias", 0.0, "nope"),
        ("alibi-rotary-per_layer", "slope_bias", 0.0, "rotary"),
        ("forget_gate", "gate.bias", 200.0, "nope"),
        ("forget_gate-rotary-shared", "gate.bias", 200.0, "rotary"),
    ]:
        model = encoded(kind, **options)
        without(model, parameter, value)
        if "gate" in kind:
            without(model, "gate.weight", 0.0)
        with_increments = ENCODED[kind][1] is not None
        if with_increments:
            with howfar.override(model, lambda layer, increments: 1.0):
                found = model(token_ids).logits
        else:
            found = model(token_ids).logits
        assert torch.equal(found, plain(other, model, attention)), kind


@torch.no_grad()
def test_without_frequencies_phases_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """PoPE's limit at an infinite theta, where but the first frequency is 0, which is taken away as well."""
    model, token_ids = encoded("pope"), tokens(20)
    without(model, "phase_bias", 0.0)
    monkeypatch.setattr(pope, "_phases", lambda positions, config: positions[..., None] * torch.zeros(config.head_dim))
    found = model(token_ids).logits

    def softplus(query: Tensor, key: Tensor, scaling: float) -> tuple[Tensor, Tensor]:
        return torch.nn.functional.softplus(query), torch.nn.functional.softplus(key)

    monkeypatch.setattr(pope.Polar, "before_attention", lambda *arguments: partial(softplus))
    close(found, model(token_ids).logits)


def bias_of(step: Any, num_heads: int, num_tokens: int) -> Tensor:
    """What a step before attention adds to scores of 0, as differences to each query's own key."""
    query, key = (torch.zeros(1, num_heads, num_tokens, 4) for _ in range(2))
    query, key = step(query, key, 0.5)
    scores = query @ key.mT * 0.5
    return scores - scores.diagonal(dim1=-2, dim2=-1)[..., None]


def test_peers_give_the_same_biases_and_phases() -> None:
    peers = pytest.importorskip("x_transformers.x_transformers")
    model, num_heads = encoded("alibi", num_key_value_heads=4), 4
    hidden = torch.randn(1, 9, 32)
    layer, causal = model.model.layers[0], torch.ones(9, 9).tril().bool()

    def step_of(model: Any, positions: Tensor, sums: Tensor | None = None) -> Any:
        found = positions_of(model)
        assert found is not None
        encoding: Any = found.encoding
        learned = LayerPositions(torch.ones(1, 1, 9), positions, positions, 9, sums)
        call = LayerCall(("hidden_states",), (hidden,), {})
        return encoding.before_attention(model.model.layers[0], call, learned, 0)

    counted = torch.arange(9.0)[None, None]
    expected = peers.AlibiPositionalBias(num_heads)(9, 9)
    close(bias_of(step_of(model, counted), num_heads, 9)[0][:, causal], expected[:, causal])

    model = encoded("forget_gate", num_key_value_heads=4)
    layer = model.model.layers[0]
    peer = peers.DataDependentAlibi(32, num_heads)
    peer.to_forget_gates[0].load_state_dict(layer.encoding.gate.state_dict())
    expected = peer(torch.nn.functional.rms_norm(hidden, (32,), eps=model.config.rms_norm_eps))
    sums = layer.encoding(hidden).double().cumsum(-1)
    close(bias_of(step_of(model, counted, sums), num_heads, 9)[0][:, causal], expected[0][:, causal])

    model = encoded("pope", num_key_value_heads=4)
    peer = peers.PolarEmbedding(8, num_heads)
    peer.learned_bias.data = model.model.layers[0].encoding.phase_bias.data[:, None]
    frequencies, bias = peer(torch.arange(9))
    query, key = torch.randn(2, 1, num_heads, 9, 8)
    found = step_of(model, counted)(query, key, 1.0)
    close(found[0], peers.apply_polar_pos_emb(query, frequencies))
    close(found[1], peers.apply_polar_pos_emb(key, frequencies + bias))


def test_biases_of_phases_are_clamped_and_learn_at_both_bounds() -> None:
    phases = pope.Phases(1, 5)
    bound = -2 * math.pi
    phases.phase_bias.data = torch.tensor([[bound - 1, bound, -1.0, 0.0, 1.0]])
    found = phases()
    assert torch.equal(found, torch.tensor([[bound, bound, -1.0, 0.0, 0.0]]))
    found.sum().backward()
    assert phases.phase_bias.grad is not None
    assert phases.phase_bias.grad.tolist() == [[0, 1, 1, 1, 0]]


@pytest.mark.parametrize("num_heads", [4, 8, 12])
def test_slopes_are_the_papers(num_heads: int) -> None:
    expected = {4: [1 / 4, 1 / 16, 1 / 64, 1 / 256], 8: [2.0**-k for k in range(1, 9)]}
    expected[12] = expected[8] + [2.0 ** -(k / 2) for k in (1, 3, 5, 7)]
    assert alibi.slopes(num_heads) == expected[num_heads]


def test_a_pretrained_model_keeps_its_encoding() -> None:
    for name in ("pope", "alibi", "forget_gate", "nope"):
        model, token_ids = tiny(), tokens()
        expected = model(token_ids).logits
        with pytest.raises(UnsupportedModelError, match=f"cannot have the encoding '{name}': .* differs .* from scr"):
            attach_encoding(model, None, {"name": name})
        assert torch.equal(model(token_ids).logits, expected)


def test_an_encoding_that_changes_nothing_at_first_is_attached_and_not_saved(tmp_path: Path) -> None:
    tiny().save_pretrained(tmp_path / "base")
    model, token_ids = howfar.load(tmp_path / "base"), tokens()
    expected = model(token_ids).logits
    attach_encoding(model, howfar.IncrementConfig(), {"name": "halves"})
    assert torch.equal(model(token_ids).logits, expected)
    with pytest.raises(CheckpointError, match=r"reach attention by 'halves', which a graft does not record; train"):
        howfar.save(model, tmp_path / "graft")


def test_what_has_an_encoding_is_given_no_other_and_none_is_taken_away() -> None:
    model = encoded("alibi-per_head")
    with pytest.raises(AlreadyAttachedError, match=r"has the encoding 'alibi' already; train a model with another"):
        howfar.attach(model)
    with pytest.raises(UnsupportedModelError, match=r"by 'alibi', and without it the model does not work; override"):
        howfar.detach(model)
    with pytest.raises(NoIncrementsError):
        howfar.increments_of(encoded("alibi"))


def test_embeddings_cannot_be_looked_up() -> None:
    model = encoded("frozen")
    with pytest.raises(UnsupportedModelError, match="looked up by token, and the model was given embeddings; give it"):
        model(inputs_embeds=torch.randn(1, 3, 32))
