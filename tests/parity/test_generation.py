"""Generation against full passes: every decoding strategy and cache of Transformers, with learned positions."""

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel, StaticCache

from howfar.errors import UnsupportedModelError
from howfar.positions import IncrementConfig, attach, override, record
from howfar.positions.arguments import CACHE_NAME
from support.models import stir, tiny, tokens

CONFIGS = {
    "shared": IncrementConfig(scope="shared"),
    "per_layer": IncrementConfig(scope="per_layer"),
    "per_head": IncrementConfig(scope="per_layer", per_head=True),
    "shared-per_head-after": IncrementConfig(scope="shared", per_head=True, advance="after"),
    "after": IncrementConfig(advance="after"),
    "placed": IncrementConfig(accumulate=False),
    "per_head-placed": IncrementConfig(accumulate=False, per_head=True),
    "float64": IncrementConfig(angles="float64"),
}
MAIN = ["shared", "per_layer", "per_head"]
SLIDING = ["mistral", "gemma3_text", "gpt_oss"]  # windows of 6 tokens; in all layers, in half of them, with sinks
ON_SLIDING = [(kind, name) for kind in MAIN for name in SLIDING]
ON_ALL = [*((kind, "llama") for kind in CONFIGS), *ON_SLIDING]


def model_of(kind: str, name: str = "llama", **options: Any) -> PreTrainedModel:
    model = tiny(name, **options)
    stir(attach(model, CONFIGS[kind]))
    return model


@torch.no_grad()
def full_pass(model: PreTrainedModel, token_ids: Tensor, **arguments: Any) -> Tensor:
    return model(token_ids, use_cache=False, **arguments).logits


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def generate(model: PreTrainedModel, token_ids: Tensor, **options: Any) -> Any:
    options = {"max_new_tokens": 10, "do_sample": False, **options}
    return model.generate(token_ids, output_logits=True, return_dict_in_generate=True, **options)


def check_logits(model: PreTrainedModel, output: Any, prompt_length: int) -> None:
    """What was seen while generating is what one pass over the result gives."""
    expected = full_pass(model, output.sequences)[:, prompt_length - 1 : -1]
    close(torch.stack(output.logits, dim=1), expected)


@pytest.mark.parametrize("kind", CONFIGS)
def test_greedy_with_and_without_a_cache(kind: str) -> None:
    model, prompt = model_of(kind), tokens(5)
    output = generate(model, prompt)
    check_logits(model, output, 5)
    assert torch.equal(generate(model, prompt, use_cache=False).sequences, output.sequences)


@pytest.mark.parametrize("kind", MAIN)
def test_sampling(kind: str) -> None:
    model = model_of(kind)
    check_logits(model, generate(model, tokens(5), do_sample=True, num_return_sequences=3), 5)


@pytest.mark.parametrize("kind", CONFIGS)
def test_beams(kind: str) -> None:
    model, prompt = model_of(kind), tokens(5)
    output = generate(model, prompt, num_beams=4, num_return_sequences=4, output_scores=True)
    likelihood = full_pass(model, output.sequences)[:, 4:-1].log_softmax(-1)
    chosen = likelihood.gather(-1, output.sequences[:, 5:, None]).sum(dim=(1, 2))
    close(output.sequences_scores, chosen / 10)
    assert len({tuple(row) for row in output.sequences.tolist()}) == 8, "beams were different ones"


@pytest.mark.parametrize(("kind", "name"), [*((kind, "llama") for kind in CONFIGS), ("per_layer", "gemma3_text")])
def test_assisted_decoding_crops_and_goes_on(kind: str, name: str) -> None:
    model, prompt = model_of(kind, name), tokens(5, batch_size=1)
    expected = generate(model, prompt, max_new_tokens=16).sequences
    near = model_of(kind, name)  # agrees at most steps, but not at all
    near.lm_head.weight.data.add_(torch.randn_like(near.lm_head.weight), alpha=0.05)
    for helper in ({"assistant_model": near}, {"prompt_lookup_num_tokens": 3}):
        found = model.generate(prompt, max_new_tokens=16, do_sample=False, **helper)
        assert torch.equal(found, expected)


@pytest.mark.parametrize(("kind", "name"), ON_ALL)
def test_static_cache(kind: str, name: str) -> None:
    model, prompt = model_of(kind, name), tokens(5)
    output = generate(model, prompt, cache_implementation="static", disable_compile=True)
    check_logits(model, output, 5)


@pytest.mark.parametrize("kind", MAIN)
@pytest.mark.parametrize("name", ["falcon_h1", "lfm2", "granitemoehybrid"])
def test_hybrids_with_static_caches_of_their_attention(kind: str, name: str) -> None:
    """Such a cache cannot be compiled, and has empty slots for keys all the same."""
    if name == "falcon_h1":
        widths = {"mamba_d_ssm": 32, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 8}
        model = tiny("llama", model_type=name, **widths, mamba_n_groups=1)
        stir(attach(model, CONFIGS[kind]))
    else:
        model = model_of(kind, name)
    prompt = tokens(5)
    check_logits(model, generate(model, prompt, cache_implementation="static", disable_compile=True), 5)


@pytest.mark.parametrize(("kind", "name"), ON_ALL)
@pytest.mark.parametrize("cache", ["dynamic", "static"])
def test_left_padded_batches_equal_single_runs(kind: str, name: str, cache: str) -> None:
    model = model_of(kind, name)
    prompts = [tokens(length, batch_size=1, seed=length) for length in (3, 8, 5)]
    padded = torch.cat([torch.nn.functional.pad(prompt, (8 - prompt.shape[1], 0)) for prompt in prompts])
    options = {"cache_implementation": "static", "disable_compile": True} if cache == "static" else {}
    output = generate(model, padded, attention_mask=(padded != 0).long(), **options)
    for row, prompt in enumerate(prompts):
        alone = generate(model, prompt)
        assert torch.equal(output.sequences[row, 8:], alone.sequences[0, prompt.shape[1] :])
        close(torch.stack(output.logits)[:, row], torch.stack(alone.logits)[:, 0])


@pytest.mark.parametrize("kind", MAIN)
def test_padding_holes_between_text_take_no_room(kind: str) -> None:
    model = model_of(kind)
    token_ids = tokens(8, batch_size=1)
    mask = torch.tensor([[1, 1, 0, 0, 1, 1, 1, 1]])
    expected = full_pass(model, token_ids[mask.bool()][None])
    found = full_pass(model, token_ids, attention_mask=mask, position_ids=mask.cumsum(-1) - 1)
    close(found[mask.bool()][None], expected)


@pytest.mark.parametrize(("kind", "name"), [*ON_SLIDING, ("per_head-placed", "mistral"), ("after", "gpt_oss")])
@pytest.mark.parametrize("static", [False, True])
def test_pieces_beyond_a_sliding_window(kind: str, name: str, static: bool) -> None:
    model, token_ids = model_of(kind, name), tokens(21)
    expected = full_pass(model, token_ids)
    cache = StaticCache(model.config, max_cache_len=24) if static else DynamicCache(config=model.config)
    pieces = [piece_of(model, piece, cache) for piece in token_ids.split([4, 3, 1, 1, 5, 1, 1, 2, 3], dim=1)]
    close(torch.cat(pieces, dim=1), expected)


@torch.no_grad()
def piece_of(model: PreTrainedModel, token_ids: Tensor, cache: Cache) -> Tensor:
    return model(token_ids, **{CACHE_NAME: cache}, use_cache=True).logits


@pytest.mark.parametrize("kind", CONFIGS)
class TestCaches:
    """What can be done to a cache between two passes."""

    def test_repeat_and_select(self, kind: str) -> None:
        model, token_ids, more = model_of(kind), tokens(6), tokens(4, batch_size=3, seed=1)
        cache = DynamicCache(config=model.config)
        piece_of(model, token_ids, cache)
        cache.batch_repeat_interleave(2)
        cache.batch_select_indices(torch.tensor([3, 0, 2]))
        whole = torch.cat((token_ids[[1, 0, 1]], more), dim=1)
        close(piece_of(model, more, cache), full_pass(model, whole)[:, 6:])

    def test_reorder(self, kind: str) -> None:
        model, token_ids, more = model_of(kind), tokens(6), tokens(4, seed=1)
        for cache in (DynamicCache(config=model.config), StaticCache(model.config, max_cache_len=12)):
            piece_of(model, token_ids, cache)
            cache.reorder_cache(torch.tensor([1, 1]))
            whole = torch.cat((token_ids[[1, 1]], more), dim=1)
            close(piece_of(model, more, cache), full_pass(model, whole)[:, 6:])

    def test_reset(self, kind: str) -> None:
        model, token_ids = model_of(kind), tokens(6)
        with record(model) as recording:
            expected = full_pass(model, token_ids)
            positions = dict(recording.positions)
            for cache in (DynamicCache(config=model.config), StaticCache(model.config, max_cache_len=12)):
                piece_of(model, tokens(9, seed=1), cache)
                cache.reset()
                close(piece_of(model, token_ids, cache), expected)
                # The same distances are not enough: the clock is to begin at 0 again.
                for layer, expected_positions in positions.items():
                    close(recording.positions[layer], expected_positions)

    def test_crop_to_nothing_and_to_something(self, kind: str) -> None:
        model, token_ids = model_of(kind), tokens(6)
        cache = DynamicCache(config=model.config)
        piece_of(model, tokens(5, seed=1), cache)
        cache.crop(-5)
        close(piece_of(model, token_ids, cache), full_pass(model, token_ids))
        cache.crop(0)
        cache.crop(-2)
        close(piece_of(model, token_ids[:, 4:], cache), full_pass(model, token_ids)[:, 4:])

    def test_crop_a_static_cache(self, kind: str) -> None:
        model, token_ids = model_of(kind), tokens(6)
        cache = StaticCache(model.config, max_cache_len=12)
        if not cache.is_croppable:
            pytest.skip("this version of Transformers crops no static cache")
        piece_of(model, tokens(5, seed=1), cache)
        cache.crop(-5)
        close(piece_of(model, token_ids, cache), full_pass(model, token_ids))
        cache.crop(0)
        cache.crop(-2)
        for piece in (token_ids[:, 4:5], token_ids[:, 5:]):
            found = piece_of(model, piece, cache)
        close(found, full_pass(model, token_ids)[:, 5:])

    @pytest.mark.filterwarnings("ignore:`past_key_values` is deprecated:FutureWarning")
    def test_a_cache_by_its_old_name(self, kind: str) -> None:
        model, token_ids = model_of(kind), tokens(6)
        cache = DynamicCache(config=model.config)
        with torch.no_grad():
            pieces = [model(piece, past_key_values=cache).logits for piece in token_ids.split(2, dim=1)]
        close(torch.cat(pieces, dim=1), full_pass(model, token_ids))

    def test_a_cache_without_a_configuration(self, kind: str) -> None:
        """Its layers appear when they are first written; the clock must stand behind them all the same."""
        model, token_ids = model_of(kind), tokens(6)
        cache = DynamicCache()
        pieces = [piece_of(model, piece, cache) for piece in token_ids.split(2, dim=1)]
        close(torch.cat(pieces, dim=1), full_pass(model, token_ids))

    def test_generating_on_from_a_kept_prefix(self, kind: str) -> None:
        model, prompt = model_of(kind), tokens(6, batch_size=1)
        cache = DynamicCache(config=model.config)
        piece_of(model, prompt[:, :4], cache)
        output = generate(model, prompt, **{CACHE_NAME: cache})
        check_logits(model, output, 6)


def test_a_cache_filled_without_increments_is_refused() -> None:
    model, cache = tiny(), DynamicCache()
    piece_of(model, tokens(4), cache)
    attach(model)
    with pytest.raises(UnsupportedModelError, match=r"filled without increments.*start with a new one"):
        piece_of(model, tokens(1), cache)
    piece_of(model, tokens(4), DynamicCache())


def test_a_cache_without_layers_is_refused() -> None:
    class Odd:
        def get_seq_length(self, layer: int = 0) -> int:
            return 0

        def get_mask_sizes(self, query_length: int, layer: int) -> tuple[int, int]:
            return query_length, 0

        get_query_offset = get_seq_length

    model = tiny()
    attach(model)
    with pytest.raises(UnsupportedModelError, match=r"Odd is not a list of cache layers.*for example DynamicCache"):
        model(tokens(4), **{CACHE_NAME: Odd()})


def test_a_mask_that_hides_padding_is_refused() -> None:
    model = tiny()
    attach(model)
    with pytest.raises(UnsupportedModelError, match=r"mask of type Tensor.*pass a \[batch, token\] mask"):
        model.model(tokens(4), attention_mask=torch.ones(2, 4, 4))


@pytest.mark.parametrize("kind", MAIN)
@pytest.mark.parametrize("additive", [False, True])
def test_prepared_masks_tell_padding_from_text(kind: str, additive: bool) -> None:
    model, token_ids = model_of(kind), tokens(5)
    padding = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]]).bool()
    prepared = torch.ones(5, 5).tril().bool()[None, None] & padding[:, None, None, :]
    if additive:
        prepared = torch.zeros(2, 1, 5, 5).masked_fill(~prepared, torch.finfo(torch.float32).min)
    with record(model) as recording:
        found = full_pass(model, token_ids, attention_mask=prepared)
    assert (recording.increments[1][0, :, :2] == 0).all()
    close(found[padding], full_pass(model, token_ids, attention_mask=padding)[padding])


@pytest.mark.parametrize("kind", MAIN)
def test_overrides_hold_while_decoding(kind: str) -> None:
    model, prompt = model_of(kind), tokens(5)
    with override(model, lambda layer, increments: 0.5 * increments + 0.1 * layer):
        output = generate(model, prompt)
        check_logits(model, output, 5)
    assert not torch.allclose(full_pass(model, output.sequences)[:, 4:-1], torch.stack(output.logits, 1), atol=1e-3)


def test_layers_after_one_without_rotary_positions_follow_the_cache() -> None:
    """The first layer has filled its part of the cache when the first layer with increments sees it."""
    model, token_ids = tiny("smollm3", no_rope_layers=[0, 1]), tokens(8)
    assert stir(attach(model)).layer_indices == (1,)
    cache = DynamicCache()
    pieces = [piece_of(model, piece, cache) for piece in token_ids.split(3, dim=1)]
    close(torch.cat(pieces, dim=1), full_pass(model, token_ids))
