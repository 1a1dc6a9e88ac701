"""The cache carries its clock, and shows nothing of it."""

import copy
import pickle
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from transformers import Cache, DynamicCache, PreTrainedModel, StaticCache

from howfar.errors import UnsupportedModelError
from howfar.positions import IncrementConfig, attach, detach, override, record
from howfar.positions.arguments import CACHE_NAME
from support.models import stir, tiny, tokens

SHARED, PER_LAYER = IncrementConfig(scope="shared"), IncrementConfig()
PER_HEAD = IncrementConfig(per_head=True)
CONFIGS = [SHARED, PER_LAYER, PER_HEAD]


def model_of(config: IncrementConfig) -> PreTrainedModel:
    model = tiny()
    stir(attach(model, config))
    return model


@torch.no_grad()
def read(model: PreTrainedModel, token_ids: Tensor, cache: Cache | None = None) -> Tensor:
    return model(token_ids, **{CACHE_NAME: cache}, use_cache=cache is not None).logits


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("make", [DynamicCache, lambda: DynamicCache(config=tiny().config)])
def test_a_cache_has_the_layers_that_it_has_without_increments(
    config: IncrementConfig, make: Callable[[], Cache]
) -> None:
    plain, model, token_ids = tiny(), model_of(config), tokens(5)
    expected, found = make(), make()
    read(plain, token_ids, expected)
    read(model, token_ids, found)
    assert len(found) == len(expected) == len(found.layers) == 2
    assert [type(layer) for layer in found.layers] == [type(layer) for layer in expected.layers]
    assert found.get_seq_length() == 5
    assert isinstance(found, DynamicCache)
    assert repr(found) == repr(expected)
    assert [tuple(layer[0].shape) for layer in found] == [tuple(layer[0].shape) for layer in expected]
    assert found.is_croppable


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda cache: pickle.loads(pickle.dumps(cache))])
def test_copies_of_a_cache_go_their_own_ways(config: IncrementConfig, copied: Callable[[Cache], Cache]) -> None:
    model, one, other = model_of(config), tokens(4, seed=1), tokens(4, seed=2)
    for cache in (DynamicCache(config=model.config), StaticCache(model.config, max_cache_len=12)):
        read(model, tokens(6), cache)
        twin = copied(cache)
        found = read(model, one, cache), read(model, other, twin)
        for more, logits in zip((one, other), found, strict=True):
            expected = read(model, torch.cat((tokens(6), more), dim=1))[:, 6:]
            torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "make", [lambda model: DynamicCache(), lambda model: StaticCache(model.config, max_cache_len=16)]
)
def test_layers_that_an_override_moves_apart_stay_apart(make: Callable[[PreTrainedModel], Cache]) -> None:
    """Shared increments are summed once, until an override gives each layer its own; from there on they differ."""
    model, token_ids = model_of(SHARED), tokens(12)

    def from_fourth(layer: int, increments: Tensor) -> Tensor:
        scale = torch.ones(12)
        scale[4:8] = 1 + layer
        return increments * scale

    with record(model) as recording, override(model, from_fourth):
        expected, positions = read(model, token_ids), dict(recording.positions)
    cache, pieces = make(model), [read(model, token_ids[:, :4], None)]
    with record(model) as recording:
        pieces = [read(model, token_ids[:, :4], cache)]
        with override(model, lambda layer, increments: increments * (1 + layer)):
            pieces.append(read(model, token_ids[:, 4:8], cache))
        pieces += [read(model, token_ids[:, 8:10], cache), read(model, token_ids[:, 10:], cache)]
        for layer, wanted in positions.items():
            torch.testing.assert_close(recording.positions[layer], wanted[..., 10:], rtol=1e-6, atol=1e-5)
    torch.testing.assert_close(torch.cat(pieces, dim=1), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_cache_whose_tensors_were_changed_is_refused(config: IncrementConfig) -> None:
    """As speculation does that picks the accepted branch of a tree out of the keys by hand."""
    model, cache = model_of(config), DynamicCache(config=tiny().config)
    read(model, tokens(6), cache)
    for layer in cache.layers:
        layer.keys, layer.values = layer.keys[:, :, [0, 1, 3]], layer.values[:, :, [0, 1, 3]]
    with pytest.raises(UnsupportedModelError, match=r"holds 3 tokens, and the positions of 6 are known.*own methods"):
        read(model, tokens(1), cache)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("static", [False, True])
def test_a_cache_that_was_used_while_increments_were_away_is_refused(config: IncrementConfig, static: bool) -> None:
    model, token_ids = model_of(config), tokens(12)
    cache = StaticCache(model.config, max_cache_len=16) if static else DynamicCache(config=model.config)
    weights = copy.deepcopy(model.state_dict())
    read(model, token_ids[:, :4], cache)
    detach(model)
    read(model, token_ids[:, 4:8], cache)
    attach(model, config)
    model.load_state_dict(weights)
    with pytest.raises(UnsupportedModelError, match=r"holds 8 tokens, and the positions of 4.*are attached"):
        read(model, token_ids[:, 8:], cache)
    cache = StaticCache(model.config, max_cache_len=16) if static else DynamicCache(config=model.config)
    pieces = [read(model, piece, cache) for piece in token_ids.split(4, dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), read(model, token_ids), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["mistral", "gemma3_text"])
def test_a_static_cache_that_was_cleared_by_hand_is_refused(name: str) -> None:
    """Its sliding layers count their tokens on their own."""
    model = tiny(name)
    stir(attach(model))
    cache = StaticCache(model.config, max_cache_len=16)
    read(model, tokens(9), cache)
    for layer in cache.layers:
        layer.reset()
    with pytest.raises(UnsupportedModelError, match=r"holds 0 tokens, and the positions of 9 are known.*own methods"):
        read(model, tokens(5), cache)


@pytest.mark.parametrize("filled", [False, True])
def test_a_static_cache_is_not_exported(filled: bool) -> None:
    """The exported program would hold the keys of earlier tokens, and their positions not."""
    model = model_of(SHARED)
    cache = StaticCache(model.config, max_cache_len=16)
    if filled:
        read(model, tokens(4), cache)

    class Step(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, token_ids: Tensor) -> Tensor:
            return self.model(token_ids, **{CACHE_NAME: cache}).logits

    with pytest.raises(UnsupportedModelError, match=r"cannot be exported together with a static cache.*howfar export"):
        torch.export.export(Step().eval(), (tokens(1),), strict=False)


def test_sums_are_made_once_for_all_layers_of_a_shared_network(monkeypatch: pytest.MonkeyPatch) -> None:
    from howfar.positions.base_positions import BasePositions

    made, displacement = [], BasePositions.displacement
    monkeypatch.setattr(BasePositions, "displacement", lambda *arguments: made.append(1) or displacement(*arguments))
    model = tiny("llama", num_hidden_layers=6)
    stir(attach(model, SHARED))
    cache = DynamicCache(config=model.config)
    for token_ids in (tokens(5), tokens(1), tokens(1)):
        made.clear()
        read(model, token_ids, cache)
        assert len(made) == 1
        cache.reorder_cache(torch.tensor([1, 0]))
    made.clear()
    read(model, tokens(5))
    assert len(made) == 1


@pytest.mark.parametrize("config", CONFIGS)
def test_minimax_generates_with_its_own_cache(config: IncrementConfig) -> None:
    model, prompt = tiny("minimax"), tokens(5)
    stir(attach(model, config))
    options = {"max_new_tokens": 6, "do_sample": False}
    expected = model.generate(prompt, use_cache=False, **options)
    assert torch.equal(model.generate(prompt, **options), expected)


def test_beams_of_minimax_are_the_base_models() -> None:
    """Its own cache leaves a part of itself where it was when beams are reordered; increments of 1 change nothing."""
    model, prompt = tiny("minimax"), tokens(5)
    expected = model.generate(prompt, max_new_tokens=6, do_sample=False, num_beams=3)
    attach(model)
    assert torch.equal(model.generate(prompt, max_new_tokens=6, do_sample=False, num_beams=3), expected)
