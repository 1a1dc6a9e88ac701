import math
from typing import Any

import numpy as np
import polars as pl
import pytest

from howfar.positions import IncrementConfig
from howfar.reading import Trace, Unit


def trace_of(text: str, spans: list[tuple[int, int]], **fields: Any) -> Trace:
    """A trace whose numbers are their own token's index, a half more in layer 3."""
    tokens = np.arange(len(spans), dtype=np.float32)
    values: dict[str, Any] = {
        "token_ids": np.arange(len(spans)),
        "token_bytes": np.array(spans, dtype=np.int64).reshape(-1, 2),
        "layers": (1, 3),
        "increments": np.stack([tokens, tokens + 0.5])[:, None],
        "mark_increments": np.ones((2, 1), dtype=np.float32),
        "surprisal_nats": tokens,
        "entropy_nats": 10 * tokens,
        "config": IncrementConfig(),
        "model_name": "hand-made",
        "context": 512,
        "overlap": 128,
    }
    return Trace(text=text, **{**values, **fields})


def units_of(trace: Trace) -> list[tuple[str, int, int]]:
    return [(unit.text, unit.start_token, unit.end_token) for unit in trace.units]


def test_with_bytes_a_unit_is_a_character() -> None:
    trace = trace_of("a中b", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)])
    assert trace.units == [Unit("a", 0, 1, 0, 1), Unit("中", 1, 2, 1, 4), Unit("b", 2, 3, 4, 5)]


def test_with_subwords_a_unit_is_a_token_or_the_tokens_of_a_character() -> None:
    trace = trace_of("go 中中!", [(0, 2), (2, 4), (4, 6), (6, 9), (9, 10)])
    assert units_of(trace) == [("go", 0, 1), (" 中", 1, 3), ("中", 3, 4), ("!", 4, 5)]


def test_characters_and_tokens_that_stand_for_nothing_go_with_the_unit_before() -> None:
    dropped = trace_of(" a b ", [(1, 2), (3, 4)])
    assert units_of(dropped) == [(" a ", 0, 1), ("b ", 1, 2)]
    silent = trace_of("ab", [(0, 0), (0, 1), (1, 1), (1, 2), (2, 2)])
    assert units_of(silent) == [("a", 0, 3), ("b", 3, 5)]


def test_gaps_and_surprisals_add_up_and_positions_are_the_last_tokens() -> None:
    trace = trace_of("a中b", [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)])
    assert trace.unit_gaps()[0, 0].tolist() == [0, 1 + 2 + 3, 4]
    assert trace.unit_gaps()[1, 0].tolist() == [0.5, 1.5 + 2.5 + 3.5, 4.5]
    assert trace.unit_positions()[0, 0].tolist() == [0, 6, 10]
    assert trace.unit_surprisal_nats().tolist() == [0, 6, 4]
    assert trace.unit_entropy_nats().tolist() == [0, 30, 40]


def test_the_table_has_a_row_for_each_layer_head_and_token() -> None:
    trace = trace_of("中b", [(0, 1), (1, 2), (2, 3), (3, 4)])
    table = trace.table()
    assert table.columns == [
        *("layer", "head", "token", "token_id", "bytes", "characters", "increment", "position"),
        *("surprisal_nats", "entropy_nats"),
    ]
    assert table.height == 2 * 4
    assert table["layer"].to_list() == [1] * 4 + [3] * 4
    assert table["head"].to_list() == [0] * 8
    assert table["bytes"].to_list() == [b"\xe4", b"\xb8", b"\xad", b"b"] * 2
    assert table["characters"].to_list() == ["中", "中", "中", "b"] * 2
    assert table.filter(pl.col("layer") == 3)["increment"].to_list() == [0.5, 1.5, 2.5, 3.5]
    assert table.filter(pl.col("layer") == 3)["position"].to_list() == [0.5, 2, 4.5, 8]
    assert table["surprisal_nats"].to_list() == [0, 1, 2, 3] * 2
    assert table["entropy_nats"].to_list() == [0, 10, 20, 30] * 2


def test_a_trace_says_what_it_is() -> None:
    trace = trace_of("x" * 99, [(i, i + 1) for i in range(99)])
    assert repr(trace) == f"Trace('{'x' * 39}…', 99 tokens, 2 layers, 1 heads, model 'hand-made')"
    assert len(trace) == 99


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (None, [1, 2, 3]),
        (IncrementConfig(advance="before"), [1, 2, 3]),
        (IncrementConfig(advance="after"), [7, 8, 9]),
        (IncrementConfig(accumulate=False), [1, 1, 1]),
    ],
)
def test_positions_follow_the_configuration(config: IncrementConfig | None, expected: list[float]) -> None:
    trace = trace_of(
        "abc",
        [(0, 1), (1, 2), (2, 3)],
        layers=(0,),
        increments=np.ones((1, 1, 3), dtype=np.float32),
        mark_increments=np.full((1, 1), 7, dtype=np.float32),
        config=config,
    )
    assert trace.positions[0, 0].tolist() == expected
    if config is None or config.accumulate:
        assert trace.advances[0, 0].tolist() == np.diff(expected, prepend=0).tolist()


def test_positions_are_summed_in_double_precision() -> None:
    size = 100_000
    increments = np.full((1, 1, size), 0.1, dtype=np.float32)
    trace = trace_of("x" * size, [(i, i + 1) for i in range(size)], layers=(0,), increments=increments)
    assert math.isclose(trace.positions[0, 0, -1], size * float(np.float32(0.1)), rel_tol=1e-12)
