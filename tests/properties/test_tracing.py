"""Laws of windows, of units of text, and of what a trace means."""

from functools import cache

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.reading import Trace, trace
from howfar.reading.windows import batches, cover

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)


@st.composite
def coverings(draw: st.DrawFn) -> tuple[int, int, int]:
    context = draw(st.integers(2, 20))
    return draw(st.integers(1, 200)), context, draw(st.integers(1, context - 1))


@given(coverings())
def test_windows_keep_each_token_once_where_it_has_most_left_context(covering: tuple[int, int, int]) -> None:
    length, context, overlap = covering
    windows = cover(np.arange(length), context, overlap)
    keeper = [window for window in windows for _ in range(window.kept_from, window.stop)]
    assert len(keeper) == length
    for token, window in enumerate(keeper):
        assert window.kept_from <= token < window.stop
        assert window.start == min(other.start for other in windows if other.start <= token < other.stop)
        assert window.start == 0 or token - window.start >= overlap
    assert all(len(window) == min(context, length) for window in windows)


@given(st.lists(coverings(), max_size=8), st.integers(1, 100))
def test_batches_hold_every_window_once(sequences: list[tuple[int, int, int]], max_tokens: int) -> None:
    windows = [
        window
        for index, (length, context, overlap) in enumerate(sequences)
        for window in cover(np.arange(length), context, overlap, index)
    ]
    batched = list(batches(windows, max_tokens))
    key = lambda window: (window.document, window.start)  # noqa: E731
    assert sorted((window for batch in batched for window in batch), key=key) == sorted(windows, key=key)
    for batch in batched:
        assert len(batch) == 1 or len(batch) * max(map(len, batch)) <= max_tokens


@st.composite
def tokenized_texts(draw: st.DrawFn) -> Trace:
    """A trace of any text, cut into any tokens, some of which stand for nothing."""
    text = draw(TEXTS)
    size = len(text.encode())
    cuts = sorted(draw(st.lists(st.integers(0, size), max_size=size)))
    edges = np.array([0, *cuts, size])
    tokens = len(edges) - 1
    increments = np.random.default_rng(draw(st.integers(0, 9))).random((2, 1, tokens), dtype=np.float32)
    return Trace(
        text=text,
        token_ids=np.zeros(tokens, dtype=np.int64),
        token_bytes=np.stack([edges[:-1], edges[1:]], axis=1),
        layers=(0, 1),
        increments=increments,
        mark_increments=np.ones((2, 1), dtype=np.float32),
        surprisal_nats=increments[0, 0],
        entropy_nats=increments[1, 0],
        config=None,
        model_name="",
        context=8,
        overlap=2,
    )


@given(tokenized_texts())
def test_units_part_the_text_and_the_tokens_as_finely_as_both_allow(traced: Trace) -> None:
    units = traced.units
    assert "".join(unit.text for unit in units) == traced.text
    assert [token for unit in units for token in range(unit.start_token, unit.end_token)] == list(range(len(traced)))
    starts = {int(start) for start, end in traced.token_bytes if end > start}
    character_edges = {len(traced.text[:index].encode()) for index in range(len(traced.text))}
    assert {len(traced.text[: unit.start_char].encode()) for unit in units} == starts & character_edges


@given(tokenized_texts())
def test_gaps_add_up_to_positions(traced: Trace) -> None:
    gaps, positions = traced.unit_gaps(), traced.unit_positions()
    assert np.allclose(gaps.cumsum(axis=-1), positions)
    assert np.allclose(gaps.sum(axis=-1), traced.increments.sum(axis=-1, dtype=np.float64))
    assert np.isclose(traced.unit_surprisal_nats().sum(), traced.surprisal_nats.sum(dtype=np.float64))


@cache
def model() -> HowFarForCausalLM:
    torch.manual_seed(0)
    config = HowFarConfig(
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=2,
        num_attention_heads=1,
        max_position_embeddings=16,
        initializer_range=0.4,
        increments={"start": "random"},
    )
    return HowFarForCausalLM(config).eval()


@settings(max_examples=30, deadline=None)
@given(TEXTS, TEXTS)
def test_what_follows_changes_nothing_before(text: str, more: str) -> None:
    shorter, longer = trace(model(), text, context=4096), trace(model(), text + more, context=4096)
    size = len(shorter)
    assert np.allclose(longer.increments[..., :size], shorter.increments, atol=1e-5)
    assert np.allclose(longer.surprisal_nats[:size], shorter.surprisal_nats, atol=1e-4)
    assert np.allclose(longer.entropy_nats[:size], shorter.entropy_nats, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(TEXTS)
def test_every_character_is_a_unit_of_a_byte_model(text: str) -> None:
    traced = trace(model(), text)
    assert [unit.text for unit in traced.units] == list(text)
    assert (traced.increments > 0).all()
    assert (np.diff(traced.positions) > 0).all()
    assert (traced.surprisal_nats >= 0).all()
    assert (traced.entropy_nats <= np.log(257) + 1e-5).all()
