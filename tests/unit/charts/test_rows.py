import numpy as np
import pytest

from howfar.charts.rows import Cells, plain_row, rows_of
from howfar.errors import ConfigError, NotMeasurableError
from howfar.positions import IncrementConfig
from support.traces import make_trace

PER_HEAD = IncrementConfig(per_head=True)


def test_a_cell_is_a_whole_grapheme_cluster():
    text = "e\u0301 👩\u200d🔬居\r\n"
    cells = Cells.of(make_trace(text, np.ones(len(text.encode()))))
    assert cells.texts == ["e\u0301", " ", "👩\u200d🔬", "居", "\r\n"]
    assert cells.num_tokens.tolist() == [3, 1, 11, 3, 2]
    assert cells.labels[1] == "␣"


def test_a_cell_of_a_subword_model_is_at_least_a_token():
    trace = make_trace("ab 居", [2, 3, 5], token_bytes=[(0, 2), (2, 4), (4, 6)])
    cells = Cells.of(trace)
    assert cells.texts == ["ab", " 居"]
    assert cells.noun == "token"
    assert rows_of(cells, "raw")[0].gaps.tolist() == [2, 8]


def test_a_cells_surprisal_is_its_tokens_sum_and_its_entropy_its_last_tokens():
    trace = make_trace("居a", [1, 1, 1, 1])
    cells = Cells.of(trace)
    np.testing.assert_allclose(cells.surprisal_nats, [trace.surprisal_nats[:3].sum(), trace.surprisal_nats[3]])
    np.testing.assert_array_equal(cells.entropy_nats, trace.entropy_nats[[2, 3]])


@pytest.mark.parametrize(
    ("scale", "expected"),
    [("raw", [[1, 2], [6, 3]]), ("layer-mean", [[2 / 3, 4 / 3], [4 / 3, 2 / 3]]), ("shared", [[1 / 3, 2 / 3], [2, 1]])],
)
def test_each_scale_divides_by_what_it_says(scale, expected):
    rows = rows_of(Cells.of(make_trace("ab", [[1, 2], [6, 3]])), scale)
    np.testing.assert_allclose([row.gaps for row in rows], expected)
    np.testing.assert_allclose([row.positions for row in rows], np.cumsum(expected, axis=1))
    assert [row.mean_increment for row in rows] == [1.5, 4.5]


def test_plain_positions_advance_by_the_tokens():
    assert plain_row(Cells.of(make_trace("a居", [9, 9, 9, 9]))).gaps.tolist() == [1, 3]


def test_heads_are_averaged_chosen_or_all_shown():
    trace = make_trace("ab", [[[1, 2], [3, 6]], [[1, 1], [1, 1]]], config=PER_HEAD)
    cells = Cells.of(trace)
    assert [row.gaps.tolist() for row in rows_of(cells, "raw")] == [[2, 4], [1, 1]]
    assert [row.gaps.tolist() for row in rows_of(cells, "raw", head=1)] == [[3, 6], [1, 1]]
    heads = rows_of(cells, "raw", layer=0)
    assert [row.name for row in heads] == ["head 0", "head 1"]
    assert [row.gaps.tolist() for row in heads] == [[1, 2], [3, 6]]


def test_shared_increments_are_one_row():
    trace = make_trace("ab", [[1, 2], [1, 2]], config=IncrementConfig(scope="shared"))
    assert [row.name for row in rows_of(Cells.of(trace), "raw")] == ["all layers"]
    assert [row.name for row in rows_of(Cells.of(trace), "raw", layer=1)] == ["layer 1"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"scale": "log"}, "scale is 'log'; it must be one of layer-mean, raw, shared"),
        ({"layer": 2}, "there is no layer 2 with positions of its own; there are 0, 1"),
        ({"head": 1}, "there is no head 1"),
    ],
)
def test_what_is_not_there_is_refused(options, said: str):
    cells = Cells.of(make_trace("ab", [[1, 2], [1, 2]]))
    with pytest.raises(ConfigError, match=said):
        rows_of(cells, **{"scale": "raw", **options})


def test_positions_without_order_have_no_gaps():
    trace = make_trace("ab", [1, 2], config=IncrementConfig(accumulate=False))
    with pytest.raises(NotMeasurableError, match="without regard to order"):
        rows_of(Cells.of(trace), "raw")


def test_a_mean_that_is_not_positive_is_no_unit():
    cells = Cells.of(make_trace("ab", [-2, 1], config=IncrementConfig(bound="signed")))
    with pytest.raises(NotMeasurableError, match=r"the mean increment of layer 0 over this text is -0\.5"):
        rows_of(cells, "layer-mean")
    assert rows_of(cells, "raw")[0].gaps.tolist() == [-2, 1]
