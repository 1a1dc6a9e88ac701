import numpy as np
import pytest

from howfar.charts.rows import Cells, check_scale, rows_of
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
    assert rows_of(cells)[0].gaps.tolist() == [2, 8]


def test_a_cells_surprisal_is_its_tokens_sum_and_its_entropy_its_last_tokens():
    trace = make_trace("居a", [1, 1, 1, 1])
    cells = Cells.of(trace)
    np.testing.assert_allclose(cells.surprisal_nats, [trace.surprisal_nats[:3].sum(), trace.surprisal_nats[3]])
    np.testing.assert_array_equal(cells.entropy_nats, trace.entropy_nats[[2, 3]])


def test_gaps_are_in_positions_beside_the_mean_of_their_row():
    rows = rows_of(Cells.of(make_trace("ab", [[1, 2], [6, 3]])))
    np.testing.assert_allclose([row.gaps for row in rows], [[1, 2], [6, 3]])
    assert [row.mean_increment for row in rows] == [1.5, 4.5]


def test_heads_are_averaged_chosen_or_all_shown():
    trace = make_trace("ab", [[[1, 2], [3, 6]], [[1, 1], [1, 1]]], config=PER_HEAD)
    cells = Cells.of(trace)
    assert [row.gaps.tolist() for row in rows_of(cells)] == [[2, 4], [1, 1]]
    assert [row.gaps.tolist() for row in rows_of(cells, head=1)] == [[3, 6], [1, 1]]
    heads = rows_of(cells, layer=0)
    assert [row.name for row in heads] == ["head 0", "head 1"]
    assert [row.gaps.tolist() for row in heads] == [[1, 2], [3, 6]]


def test_shared_increments_are_one_row():
    trace = make_trace("ab", [[1, 2], [1, 2]], config=IncrementConfig(scope="shared"))
    assert [row.name for row in rows_of(Cells.of(trace))] == ["all layers"]
    assert [row.name for row in rows_of(Cells.of(trace), layer=1)] == ["layer 1"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"layer": 2}, "there is no layer 2 with positions of its own; choose from 0, 1"),
        ({"head": 1}, "there is no head 1"),
        ({"layer": True}, "there is no layer True"),  # though it equals 1
        ({"head": False}, "there is no head False"),
    ],
)
def test_what_is_not_there_is_refused(options, said: str):
    cells = Cells.of(make_trace("ab", [[1, 2], [1, 2]]))
    with pytest.raises(ConfigError, match=said):
        rows_of(cells, **options)


def test_positions_without_order_have_no_gaps():
    trace = make_trace("ab", [1, 2], config=IncrementConfig(accumulate=False))
    with pytest.raises(NotMeasurableError, match="without regard to order"):
        rows_of(Cells.of(trace))


def test_a_mean_that_is_not_positive_is_no_unit():
    rows = rows_of(Cells.of(make_trace("ab", [[-2, 1], [1, 1]], config=IncrementConfig(bound="signed"))))
    with pytest.raises(NotMeasurableError, match=r"the mean increment of layer 0 over this text is -0\.5"):
        check_scale(rows, "layer-mean")
    check_scale(rows, "shared")  # of both layers it is 0.25
    check_scale(rows, "raw")
    with pytest.raises(NotMeasurableError, match=r"the mean increment of all rows over this text is -0\.5"):
        check_scale(rows[:1], "shared")


def test_a_scale_that_does_not_exist_is_refused():
    with pytest.raises(ConfigError, match="scale is 'log'; it must be one of layer-mean, raw, shared, contrast"):
        check_scale([], "log")  # type: ignore[arg-type]
