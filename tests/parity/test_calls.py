"""Every way of calling a model: increments of 1 change no bit of what it gives, or the call is refused by name."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    DynamicCache,
    PreTrainedModel,
    StaticCache,
)

from howfar.errors import UnsupportedModelError
from howfar.positions import IncrementConfig, attach, detach, override, record
from howfar.positions.arguments import CACHE_NAME
from support.models import ARCHITECTURES, stir, tiny, tokens
from support.threads import in_threads

CONFIGS = {
    "shared": IncrementConfig(scope="shared"),
    "per_layer": IncrementConfig(scope="per_layer"),
    "per_head": IncrementConfig(scope="per_layer", per_head=True),
    "after": IncrementConfig(advance="after"),
    "float64": IncrementConfig(scope="shared", angles="float64"),
}
NUM_TOKENS = 12
FROM_ZERO = torch.arange(NUM_TOKENS)[None]
PACKED = torch.cat((torch.arange(5), torch.arange(7)))[None]
LEFT, HOLES = torch.ones(2, NUM_TOKENS, dtype=torch.long), torch.ones(2, NUM_TOKENS, dtype=torch.long)
LEFT[0, :4] = 0
HOLES[1, 5:7] = 0
HOLES[0, -2:] = 0


def counted(mask: Tensor) -> Tensor:
    """Position ids as `generate` counts them."""
    return (mask.cumsum(-1) - 1).masked_fill(mask == 0, 0)


def tree(num_trunk: int = 6, num_branch: int = 3) -> tuple[Tensor, Tensor]:
    """A mask and position ids: a trunk, and two branches of equal length that go on from it."""
    size = num_trunk + 2 * num_branch
    mask = torch.ones(size, size).tril().bool()
    mask[-num_branch:, num_trunk:-num_branch] = False
    branch = torch.arange(num_trunk, num_trunk + num_branch)
    return mask[None, None], torch.cat((torch.arange(num_trunk), branch, branch))[None]


def packed_mask() -> Tensor:
    """Each document sees itself."""
    mask = torch.ones(NUM_TOKENS, NUM_TOKENS).tril().bool()
    mask[5:, :5] = False
    return mask[None, None]


CALLS: dict[str, dict[str, Any]] = {
    "plain": {},
    "by name": {"position_ids": FROM_ZERO},
    "offset": {"position_ids": FROM_ZERO + 100},
    "an offset for each row": {"position_ids": torch.cat((FROM_ZERO + 3, FROM_ZERO + 50))},
    "left padding": {"attention_mask": LEFT},
    "left padding, counted": {"attention_mask": LEFT, "position_ids": counted(LEFT)},
    "holes": {"attention_mask": HOLES},
    "holes, counted": {"attention_mask": HOLES, "position_ids": counted(HOLES)},
    "packed": {"position_ids": PACKED, "use_cache": False},
    "packed, cache": {"position_ids": PACKED},
    "packed, mask": {"position_ids": PACKED, "attention_mask": torch.ones(2, NUM_TOKENS, dtype=torch.long)},
    "packed, 4-D mask": {"position_ids": PACKED, "attention_mask": packed_mask()},
    "skips": {"position_ids": 3 * FROM_ZERO, "use_cache": False},
    "backwards": {"position_ids": FROM_ZERO.flip(-1), "use_cache": False},
    "tree": {"position_ids": tree()[1], "attention_mask": tree()[0]},
    "tree, ids by row": {"position_ids": torch.cat((tree()[1], tree()[1] + 7)), "attention_mask": tree()[0]},
    "an offset for each row, 4-D mask": {
        "position_ids": torch.cat((FROM_ZERO + 3, FROM_ZERO + 50)),
        "attention_mask": torch.ones(NUM_TOKENS, NUM_TOKENS).tril().bool()[None, None],
    },
    "cache_position": {"cache_position": torch.arange(NUM_TOKENS)},
}


def outcome(run: Callable[[], Tensor]) -> Tensor | type[Exception]:
    """What a call gives, or what it raises: not every architecture takes every call."""
    try:
        with torch.no_grad():
            return run()
    except UnsupportedModelError:
        raise
    except Exception as error:
        return type(error)


def in_pieces(model: PreTrainedModel, token_ids: Tensor, arguments: dict[str, Any]) -> Tensor:
    """A call in chunks, with a cache."""
    cache, pieces = None, []
    for start, end in ((0, 5), (5, 9), (9, 10), (10, NUM_TOKENS)):
        piece = {k: v[..., start:end] if k == "position_ids" else v[..., :end] for k, v in arguments.items()}
        output = model(token_ids[:, start:end], **{CACHE_NAME: cache}, use_cache=True, **piece)
        cache = output[CACHE_NAME]
        pieces.append(output.logits)
    return torch.cat(pieces, dim=1)


FREQUENCIES_DEPEND_ON_EARLIER_CALLS = ["llama-dynamic"]  # until a short text puts them back, increments or not


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_increments_of_one_change_no_bit_of_any_call(name: str) -> None:
    model, token_ids = tiny(name), tokens(NUM_TOKENS)
    whole = ["plain", "by name", "offset", "left padding", "left padding, counted", "packed, cache", "holes, counted"]
    runs = {call: lambda call=call: model(token_ids, **CALLS[call]).logits for call in CALLS}
    runs |= {
        f"{call}, chunks": lambda call=call: in_pieces(
            model, token_ids, {k: v for k, v in CALLS[call].items() if k != "use_cache"}
        )
        for call in whole
    }
    varies = name in FREQUENCIES_DEPEND_ON_EARLIER_CALLS

    def found_by(run: Callable[[], Tensor]) -> Tensor | type[Exception]:
        if varies:
            model(token_ids[:, :1])
        return outcome(run)

    expected = {call: found_by(run) for call, run in runs.items()}
    assert isinstance(expected["plain"], Tensor)
    for kind in ("shared", "per_layer", "per_head"):
        try:
            attach(model, CONFIGS[kind])
        except UnsupportedModelError:
            continue  # test_architectures.py says for which and why
        for call, run in runs.items():
            if varies and kind == "per_head" and "chunks" in call and "packed" not in call:  # whose documents are short
                with pytest.raises(UnsupportedModelError, match="dynamic RoPE"):
                    found_by(run)
                continue
            found = found_by(run)
            if isinstance(found, Tensor):
                assert torch.equal(found, expected[call]), f"{kind}: {call}"
            else:
                assert found is expected[call], f"{kind}: {call}"
        detach(model)


@pytest.mark.parametrize("kind", ["shared", "per_layer", "per_head"])
@pytest.mark.parametrize("name", ["llama-dynamic", "phi3-longrope", "llama-yarn", "llama-3"])
@torch.no_grad()
def test_a_text_may_grow_beyond_the_length_at_which_frequencies_change(kind: str, name: str) -> None:
    model, token_ids = tiny(name), tokens(24)  # LongRoPE changes at 16 tokens, dynamic RoPE from 8 on
    greedy = {"max_new_tokens": 14, "do_sample": False, "pad_token_id": 0}

    def anew(run: Callable[[], Tensor]) -> Tensor:
        model(token_ids[:, :1])
        return run()

    def chunks() -> Tensor:
        cache = DynamicCache(config=model.config)
        pieces = [model(piece, **{CACHE_NAME: cache}).logits for piece in token_ids.split([5, 9, 1, 9], dim=1)]
        return torch.cat(pieces, dim=1)

    whole = [
        lambda: model(token_ids).logits,
        lambda: model.generate(token_ids[:, :6], use_cache=False, **greedy),
    ]
    cached = [
        chunks,
        lambda: model.generate(token_ids[:, :6], **greedy),
        lambda: model.generate(token_ids[:, :6], cache_implementation="static", disable_compile=True, **greedy),
    ]
    expected = [anew(run) for run in whole + cached]
    attach(model, CONFIGS[kind])
    refused = 0
    for run, wanted in zip(whole + cached, expected, strict=True):
        try:
            assert torch.equal(anew(run), wanted)
        except UnsupportedModelError:
            assert run in cached
            refused += 1
    # Phi-3's own `generate` begins its cache anew where its frequencies change, so only chunks are refused.
    assert refused == ({"llama-dynamic": 3, "phi3-longrope": 1}.get(name, 0) if kind == "per_head" else 0)


@pytest.mark.parametrize("kind", ["shared", "per_layer", "per_head"])
@pytest.mark.parametrize("name", ["llama-dynamic", "phi3-longrope"])
@torch.no_grad()
def test_another_pass_that_changes_the_frequencies_leaves_a_begun_one_alone(kind: str, name: str) -> None:
    model, token_ids = tiny(name), tokens(24)
    expected = model(token_ids).logits
    attach(model, CONFIGS[kind])

    def read_a_short_text(layer: int, increments: Tensor) -> Tensor:
        in_threads(1, lambda thread: model(tokens(2)), num_rounds=1)
        return increments

    with override(model, read_a_short_text):
        assert torch.equal(model(token_ids).logits, expected)


@pytest.mark.parametrize("kind", CONFIGS)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_increments_of_one_change_no_bit_at_any_position_ids(kind: str, data: st.DataObject) -> None:
    ids = st.lists(st.integers(0, 300), min_size=8, max_size=8)
    position_ids = torch.tensor([data.draw(ids), data.draw(ids)])
    mask = torch.tensor(
        data.draw(st.lists(st.lists(st.integers(0, 1), min_size=8, max_size=8), min_size=2, max_size=2))
    )
    mask[:, -1] = 1
    arguments = data.draw(
        st.sampled_from([{"use_cache": False}, {}, {"attention_mask": mask}, {"attention_mask": mask, "cut": True}])
    )
    model, token_ids = tiny(), tokens(8)

    @torch.no_grad()
    def run() -> Tensor:
        if "cut" not in arguments:
            return model(token_ids, position_ids=position_ids, **arguments).logits
        cache = DynamicCache(config=model.config)
        first = model(
            token_ids[:, :3], attention_mask=mask[:, :3], position_ids=position_ids[:, :3], **{CACHE_NAME: cache}
        )
        last = model(token_ids[:, 3:], attention_mask=mask, position_ids=position_ids[:, 3:], **{CACHE_NAME: cache})
        return torch.cat((first.logits, last.logits), dim=1)

    expected = run()
    attach(model, CONFIGS[kind])
    if kind == "float64":  # the angles of this kind are other ones, closer to the truth
        torch.testing.assert_close(run(), expected, rtol=1e-4, atol=1e-4)
    else:
        assert torch.equal(run(), expected)


def model_of(kind: str, name: str = "llama") -> PreTrainedModel:
    model = tiny(name)
    stir(attach(model, CONFIGS[kind]))
    return model


def close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("call", ["packed", "packed, 4-D mask"])
@torch.no_grad()
def test_positions_restart_at_a_document(kind: str, call: str) -> None:
    model, token_ids = model_of(kind), tokens(NUM_TOKENS)
    with record(model) as recording:
        packed = model(token_ids, **CALLS[call]).logits
        positions = dict(recording.positions)
        for document in (slice(0, 5), slice(5, NUM_TOKENS)):
            close(packed[:, document], model(token_ids[:, document]).logits)
            for layer, alone in recording.positions.items():
                close(positions[layer][..., document], alone)


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize("num_cached", [0, 2, 6])
@torch.no_grad()
def test_branches_go_on_from_their_parent(kind: str, num_cached: int) -> None:
    model, token_ids = model_of(kind), tokens(NUM_TOKENS)
    mask, position_ids = tree()
    cache = DynamicCache(config=model.config)
    if num_cached:
        model(token_ids[:, :num_cached], **{CACHE_NAME: cache})
    found = model(
        token_ids[:, num_cached:],
        attention_mask=mask[..., num_cached:, :],
        position_ids=position_ids[:, num_cached:],
        **{CACHE_NAME: cache},
    ).logits
    trunk = token_ids[:, :6]
    close(found[:, : 9 - num_cached], model(token_ids[:, :9]).logits[:, num_cached:])
    close(found[:, 9 - num_cached :], model(torch.cat((trunk, token_ids[:, 9:]), dim=1)).logits[:, 6:])


@pytest.mark.parametrize("kind", ["shared", "per_head"])
@torch.no_grad()
def test_packed_rows_cut_anywhere_keep_their_positions(kind: str) -> None:
    model, token_ids = model_of(kind), tokens(NUM_TOKENS)
    with record(model) as recording:
        model(token_ids, position_ids=PACKED)
        whole = recording.positions[1].clone()
        for cut in (3, 5, 7):
            cache, found = DynamicCache(config=model.config), []
            for piece in (slice(0, cut), slice(cut, None)):
                model(token_ids[:, piece], position_ids=PACKED[:, piece], **{CACHE_NAME: cache})
                found.append(recording.positions[1])
            close(torch.cat(found, dim=-1), whole)


@torch.no_grad()
def test_a_skip_keeps_its_length() -> None:
    model, token_ids = model_of("per_layer"), tokens(NUM_TOKENS)
    position_ids = FROM_ZERO + 40 * (FROM_ZERO >= 6)
    with record(model) as recording:
        model(token_ids)
        before = recording.positions[0]
        model(token_ids, position_ids=position_ids, attention_mask=torch.ones_like(token_ids))
    close(recording.positions[0], before + 40 * (FROM_ZERO >= 6))


@pytest.mark.parametrize("kind", ["shared", "per_layer"])
def test_a_mask_without_paths_is_refused(kind: str) -> None:
    model, token_ids = model_of(kind), tokens(NUM_TOKENS)
    mask, position_ids = tree()
    torn, lost = mask.clone(), mask.clone()
    torn[..., 8, 2] = False  # sees its parent, and not all that this sees
    lost[..., 9:, :3] = False  # a branch that sees the end of the trunk alone
    for broken in (torn, lost):
        with pytest.raises(UnsupportedModelError, match=r"branch without a single path.*sees its parent"):
            model(token_ids, attention_mask=broken, position_ids=position_ids)
    cache = DynamicCache(config=model.config)
    model(token_ids[:, :6], **{CACHE_NAME: cache})
    beside = mask[..., 6:, :].clone()
    beside[..., 5] = False  # goes on from before the end of the cache
    with pytest.raises(UnsupportedModelError, match="branch without a single path"):
        model(token_ids[:, 6:], attention_mask=beside, position_ids=position_ids[:, 6:], **{CACHE_NAME: cache})


def test_parts_of_an_image_are_refused_and_text_is_not() -> None:
    size = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = AutoConfig.for_model("qwen2_vl", text_config={**size, "vocab_size": 64, "num_key_value_heads": 2})
    config.text_config.rope_parameters = {"rope_type": "default", "rope_theta": 1e4, "mrope_section": [1, 1, 2]}
    config.vision_config.depth, config.vision_config.embed_dim, config.vision_config.hidden_size = 1, 16, 32
    config.vision_config.num_heads = 2
    model = AutoModelForImageTextToText.from_config(config).eval()
    token_ids = tokens(8)
    text = torch.arange(8).expand(3, 2, -1)
    with torch.no_grad():
        expected = [model(token_ids, position_ids=ids).logits for ids in (None, text)]
    attach(model)
    with torch.no_grad():
        found = [model(token_ids, position_ids=ids).logits for ids in (None, text)]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    image = text.clone()
    image[1, :, 3:6] = 3
    with pytest.raises(UnsupportedModelError, match=r"several positions at once.*howfar.detach"):
        model(token_ids, position_ids=image)


EIGHT, MASK = torch.arange(8), torch.ones(8, 8).tril().bool()
OF_OTHER_SHAPES: dict[str, Any] = {
    "1-D": EIGHT,
    "1-D, packed": torch.cat((EIGHT[:3], EIGHT[:5])),
    "a number": torch.tensor(3),
    "three rows for two": EIGHT.expand(3, -1),
    "no row": torch.empty(0, 8, dtype=torch.long),
    "too few": EIGHT[None, :5],
    "too many": torch.arange(12)[None],
    "none": EIGHT[None, :0],
    "transposed": EIGHT[:, None].expand(-1, 2),
    "equal axes": EIGHT.expand(3, 2, -1),
    "equal axes of one row": EIGHT.expand(4, 1, -1),
    "one axis": EIGHT[None, None],
    "4-D": EIGHT[None, None, None],
    "a list": [[*range(8)]],
    "no numpy array": EIGHT[None].numpy(),
    "complex": EIGHT[None] * 1j,
}
OF_A_SHAPE_WITH_A_MEANING = {
    "one for all tokens": EIGHT[None, :1],
    "fractions": EIGHT[None] * 0.5,
    "negative": EIGHT[None] - 3,
    "bytes": EIGHT[None].to(torch.uint8),
}
MASKS_OF_OTHER_SHAPES = {
    "three rows for two": torch.ones(3, 8),
    "too short": torch.ones(2, 5),
    "4-D, too short": MASK[None, None, :5, :5],
    "4-D, three rows": MASK.expand(3, 1, -1, -1),
}


@pytest.mark.parametrize("kind", ["shared", "per_head"])
def test_position_ids_and_masks_of_other_shapes_are_refused_or_exact(kind: str) -> None:
    model, token_ids = tiny(), tokens(8)
    with torch.no_grad():
        expected = [model(token_ids, position_ids=ids).logits for ids in OF_A_SHAPE_WITH_A_MEANING.values()]
    attach(model, CONFIGS[kind])
    for ids in OF_OTHER_SHAPES.values():
        with pytest.raises(UnsupportedModelError, match=r"position_ids of .*; give a tensor of shape \(2, 8\) or"):
            model(token_ids, position_ids=ids)
        with pytest.raises(UnsupportedModelError, match="position_ids of"):
            model(inputs_embeds=model.get_input_embeddings()(token_ids), position_ids=ids)
    with torch.no_grad():
        found = [model(token_ids, position_ids=ids).logits for ids in OF_A_SHAPE_WITH_A_MEANING.values()]
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    for mask in MASKS_OF_OTHER_SHAPES.values():
        with pytest.raises(UnsupportedModelError, match=r"mask of shape .* does not fit 2 by 8 tokens; give one of"):
            model(token_ids, attention_mask=mask)


@pytest.mark.parametrize("kind", CONFIGS)
@torch.no_grad()
def test_a_longer_mask_is_read_from_its_start_as_transformers_reads_it(kind: str) -> None:
    model, token_ids = model_of(kind), tokens(NUM_TOKENS)
    mask = torch.cat((torch.ones(2, NUM_TOKENS), torch.zeros(2, 4)), dim=-1).long()
    mask[0, :3] = 0
    with record(model) as recording:
        expected = model(token_ids, attention_mask=mask[:, :NUM_TOKENS]).logits
        increments = dict(recording.increments)
        found = model(token_ids, attention_mask=mask).logits
    assert all(torch.equal(recording.increments[layer], increments[layer]) for layer in increments)
    assert torch.equal(found, expected)
    cache = DynamicCache()
    for begin, end in ((0, 5), (5, NUM_TOKENS)):
        piece = model(token_ids[:, begin:end], attention_mask=mask, **{CACHE_NAME: cache}).logits
        close(piece[1], expected[1, begin:end])


def test_one_position_for_all_tokens_is_that_of_each() -> None:
    model, token_ids = model_of("per_layer"), tokens(8)
    ids = torch.tensor([[5]])
    assert torch.equal(
        model(token_ids, position_ids=ids).logits, model(token_ids, position_ids=ids.expand(2, 8)).logits
    )


@pytest.mark.parametrize("kind", ["shared", "per_layer", "per_head"])
@torch.no_grad()
def test_a_model_that_counts_from_zero_at_each_call_is_given_position_ids(kind: str) -> None:
    """Bamba does, but not while it generates, where it gets position ids."""
    sizes = {"mamba_n_heads": 4, "mamba_d_head": 16, "mamba_d_state": 8, "mamba_n_groups": 1}
    model, token_ids = tiny(model_type="bamba", attn_layer_indices=[1], **sizes), tokens(NUM_TOKENS)
    greedy = {"max_new_tokens": 4, "do_sample": False, "pad_token_id": 0}
    runs = [
        lambda: model(token_ids).logits,
        lambda: in_pieces(model, token_ids, {"position_ids": FROM_ZERO}),
        lambda: model.generate(token_ids, **greedy),
        lambda: model.generate(token_ids, attention_mask=LEFT, num_beams=2, **greedy),
    ]
    expected = [run() for run in runs]
    attach(model, CONFIGS[kind])
    assert all(torch.equal(run(), wanted) for run, wanted in zip(runs, expected, strict=True))
    for arguments in ({}, {"attention_mask": LEFT}):
        with pytest.raises(UnsupportedModelError, match=r"BambaModel puts .* after 5 cached .* 0, .*give position_ids"):
            in_pieces(model, token_ids, arguments)


def test_continuous_batching_is_refused() -> None:
    model = AutoModelForCausalLM.from_config(tiny().config)
    attach(model)
    with pytest.raises(UnsupportedModelError, match=r"continuous batching.*use model.generate"):
        model(tokens(), cache=object(), write_index=[], read_index=[])


def test_static_caches_take_packed_and_padded_prompts() -> None:
    model, token_ids = tiny(), tokens(NUM_TOKENS)

    @torch.no_grad()
    def run(**arguments: Any) -> Tensor:
        return model(token_ids, **{CACHE_NAME: StaticCache(model.config, max_cache_len=16)}, **arguments).logits

    calls = [CALLS[call] for call in ("plain", "offset", "left padding, counted", "packed, cache", "packed, mask")]
    expected = [run(**arguments) for arguments in calls]
    for kind in ("shared", "per_layer", "per_head"):
        attach(model, CONFIGS[kind])
        assert all(torch.equal(run(**call), wanted) for call, wanted in zip(calls, expected, strict=True))
        detach(model)
