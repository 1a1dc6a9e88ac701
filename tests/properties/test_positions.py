"""Laws of positions that hold for any tokens, increments and lengths."""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from howfar.positions import IncrementConfig, Recording, attach, override, record
from howfar.positions.arguments import CACHE_NAME
from howfar.positions.clock import GrowingClock
from howfar.positions.decoder import find_decoder
from support.models import VOCABULARY, stir, tiny

KINDS = ["shared", "per_layer", "per_head"]
texts = st.lists(st.integers(3, VOCABULARY - 1), min_size=2, max_size=12)
laws = settings(max_examples=15, deadline=None)


@cache
def model_of(kind: str, bound: str = "sigmoid", name: str = "llama") -> PreTrainedModel:
    """A model with random increments; tests leave it as it is."""
    model = tiny(name)
    scope = "shared" if kind == "shared" else "per_layer"
    stir(attach(model, IncrementConfig(scope=scope, per_head=kind == "per_head", bound=bound)))
    return model


def read(model: PreTrainedModel, token_ids: list[int], **arguments: object) -> tuple[Tensor, Recording]:
    with record(model) as recording, torch.no_grad():
        logits = model(torch.tensor([token_ids]), **arguments).logits[0]
    return logits, recording


@pytest.mark.parametrize("kind", KINDS)
@laws
@given(texts, st.data())
def test_causality_a_token_changes_no_increment_before_it(kind: str, token_ids: list[int], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(token_ids) - 1))
    changed = [*token_ids[:place], data.draw(st.integers(3, VOCABULARY - 1)), *token_ids[place + 1 :]]
    _, before = read(model_of(kind), token_ids)
    _, after = read(model_of(kind), changed)
    for layer, increments in before.increments.items():
        assert torch.equal(increments[..., :place], after.increments[layer][..., :place])
        assert torch.equal(before.positions[layer][..., :place], after.positions[layer][..., :place])


@pytest.mark.parametrize("kind", KINDS)
@laws
@given(texts, st.floats(-50, 50))
def test_a_constant_added_to_all_positions_changes_nothing(kind: str, token_ids: list[int], shift: float) -> None:
    def shifted(layer: int, increments: Tensor) -> Tensor:
        return torch.cat((increments[..., :1] + shift, increments[..., 1:]), dim=-1)

    expected, before = read(model_of(kind), token_ids)
    with override(model_of(kind), shifted):
        found, after = read(model_of(kind), token_ids)
    torch.testing.assert_close(after.positions[0], before.positions[0] + shift, rtol=0, atol=1e-4)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("kind", KINDS)
@laws
@given(texts, st.floats(0.2, 5))
def test_a_scale_of_all_increments_is_a_scale_of_the_clock(kind: str, token_ids: list[int], scale: float) -> None:
    """Increments times a constant, at frequencies divided by it, are the same model."""
    model = model_of(kind)
    expected, _ = read(model, token_ids)
    frequencies = find_decoder(model).rotary.inv_freq
    kept = frequencies.clone()
    frequencies.div_(scale)
    try:
        with override(model, lambda layer, increments: increments * scale):
            found, _ = read(model, token_ids)
    finally:
        frequencies.copy_(kept)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-4)


@pytest.mark.parametrize("bound", ["softplus", "sigmoid"])
@pytest.mark.parametrize("kind", KINDS)
@laws
@given(texts)
def test_positive_increments_give_rising_positions(kind: str, bound: str, token_ids: list[int]) -> None:
    _, recording = read(model_of(kind, bound), token_ids)
    for layer, increments in recording.increments.items():
        assert (increments > 0).all()
        assert (recording.positions[layer].diff(dim=-1) > 0).all()
        if bound == "sigmoid":
            assert (increments < 10).all()


@pytest.mark.parametrize("kind", KINDS)
@laws
@given(texts, st.integers(1, 5), st.booleans())
def test_padding_takes_no_room(kind: str, token_ids: list[int], num_padding: int, left: bool) -> None:
    padding, text = [0] * num_padding, slice(num_padding, None) if left else slice(0, len(token_ids))
    padded = padding + token_ids if left else token_ids + padding
    mask = torch.tensor([[int(token_id != 0) for token_id in padded]])
    expected, alone = read(model_of(kind), token_ids)
    counted = (mask.cumsum(-1) - 1).clamp(min=0)  # as `generate` counts; without it the base model counts padding too
    found, recording = read(model_of(kind), padded, attention_mask=mask, position_ids=counted)
    for layer, increments in recording.increments.items():
        assert (increments[..., mask[0] == 0] == 0).all()
        torch.testing.assert_close(recording.positions[layer][..., text], alone.positions[layer], rtol=0, atol=1e-5)
    torch.testing.assert_close(found[text], expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["llama", "gemma3_text"])
@pytest.mark.parametrize("kind", KINDS)
@laws
@given(texts, st.data())
def test_decoding_in_pieces_of_any_size_equals_one_pass(
    kind: str, name: str, token_ids: list[int], data: st.DataObject
) -> None:
    model = model_of(kind, name=name)
    cuts = sorted(data.draw(st.sets(st.integers(1, len(token_ids) - 1))))
    expected, whole = read(model, token_ids)
    past, pieces = DynamicCache(config=model.config), []
    for start, end in pairwise([0, *cuts, len(token_ids)]):
        logits, part = read(model, token_ids[start:end], **{CACHE_NAME: past})
        pieces.append(logits)
        for layer, positions in part.positions.items():
            torch.testing.assert_close(positions, whole.positions[layer][..., start:end], rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(torch.cat(pieces), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@laws
@given(texts, texts, st.data())
def test_a_cropped_cache_goes_on_as_if_nothing_had_followed(
    kind: str, token_ids: list[int], others: list[int], data: st.DataObject
) -> None:
    model = model_of(kind)
    kept = data.draw(st.integers(1, len(token_ids)))
    past = DynamicCache(config=model.config)
    read(model, token_ids, **{CACHE_NAME: past})
    past.crop(kept - len(token_ids))
    found, _ = read(model, others, **{CACHE_NAME: past})
    expected, _ = read(model, token_ids[:kept] + others)
    torch.testing.assert_close(found, expected[kept:], rtol=1e-5, atol=1e-5)


@laws
@given(st.lists(st.floats(-1e5, 1e5, width=32), min_size=1, max_size=8))
def test_rotation_keeps_norms(places: list[float]) -> None:
    for name in ("llama", "cohere", "gpt_oss"):  # the three layouts of angles along a head
        decoder = find_decoder(model_of("per_layer", name=name))
        rotation = decoder.rotations([0], "float32")[0]
        cos, sin = rotation(torch.tensor(places)[None, None], torch.float32)
        scaling = decoder.rotary.attention_scaling if name == "gpt_oss" else 1.0
        torch.testing.assert_close(cos**2 + sin**2, torch.full_like(cos, scaling**2), rtol=1e-5, atol=1e-5)


@laws
@given(st.lists(st.floats(0, 10, width=32), min_size=1, max_size=30), st.data())
def test_a_clock_counts_the_same_in_pieces(increments: list[float], data: st.DataObject) -> None:
    def planes(piece: list[float]) -> Tensor:
        return torch.tensor(piece, dtype=torch.float64).expand(1, 3, 1, -1)

    clock, cut = GrowingClock(), data.draw(st.integers(0, len(increments)))
    for piece in (increments[:cut], increments[cut:]):
        if piece:
            clock.append(0, planes(piece))
    assert clock.num_tokens(0) == len(increments)
    assert torch.equal(clock.histories[0], planes(increments))
