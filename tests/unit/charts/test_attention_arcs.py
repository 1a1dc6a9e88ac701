import numpy as np
import pytest

import howfar
from howfar.charts.attention import Gaze, attention_arcs, attention_by_cell, attention_by_distance, gazes
from howfar.charts.rows import Cells
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from support.traces import make_trace

TEXT = "ab 图 cd"


@pytest.fixture(scope="module")
def trace():
    config = HowFarConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        increments={"start": "random", "per_head": True},
    )
    return howfar.trace(HowFarForCausalLM(config).eval(), TEXT, attention=True)


@pytest.fixture(scope="module")
def weights(trace):
    return trace.attention[:, :, 8, :9]  # from the last byte of the text's `c` back, document mark first


def test_a_layer_has_a_row_a_head_with_its_key_heads_positions(trace, weights):
    rows = gazes(trace, trace.layers, weights, 1)
    assert [row.name for row in rows] == ["head 0", "head 1", "head 2", "head 3"]
    for head, row in enumerate(rows):
        np.testing.assert_array_equal(row.weights, weights[1, head])
        np.testing.assert_array_equal(row.positions, trace.positions[1, head // (4 // trace.positions.shape[1])])


def test_all_layers_have_a_row_each_with_the_mean_over_heads(trace, weights):
    rows = gazes(trace, trace.layers, weights, None)
    assert [row.name for row in rows] == ["layer 0", "layer 1"]
    np.testing.assert_allclose(rows[1].weights, weights[1].mean(axis=0))
    np.testing.assert_allclose(rows[0].positions, trace.positions[0].mean(axis=0))


def test_a_characters_bytes_are_added_and_distances_are_learned(trace, weights):
    rows = gazes(trace, trace.layers, weights, 0)
    table = attention_by_cell(Cells.of(trace), rows, 7, -1).filter(row=2)
    assert table["label"].to_list() == ["⟨start⟩", "a", "b", "␣", "图", "␣", "c"]
    assert table["tokens"].to_list() == [8, 7, 6, 5, 2, 1, 0]
    assert table["weight"].sum() == pytest.approx(1, abs=1e-5)
    assert table["weight"][4] == pytest.approx(weights[0, 2, 4:7].sum(), rel=1e-5)
    assert table["distance"][4] == pytest.approx(rows[2].positions[5] - rows[2].positions[7])
    assert table["distance"][-1] == 0


@pytest.mark.parametrize("draw", [attention_arcs, attention_by_distance])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_it_is_drawn(trace, weights, draw, theme):
    rows = gazes(trace, trace.layers, weights, None)
    drawn = draw(Cells.of(trace), rows, 7, -1, theme=theme).render("svg").decode()
    assert "layer 1" in drawn


def test_one_token_is_in_the_singular_and_the_token_itself_is_not_back():
    trace = make_trace("abc", np.ones(3))
    own, before, two = (np.eye(4, dtype=np.float32)[place] for place in (3, 2, 1))
    rows = [Gaze(f"head {head}", row, trace.positions[0, 0]) for head, row in enumerate((own, before, two))]
    said = attention_arcs(Cells.of(trace), rows, 2, -1).description
    assert "head 0 attends most to c (100%), itself. head 1 attends most to b (100%), 1 token back. " in said
    assert "head 2 attends most to a (100%), 2 tokens back. " in said


def test_what_goes_farther_back_than_the_drawn_text_is_said():
    trace = make_trace("x" * 101, np.ones(101))
    weights = np.full(102, 0.001, dtype=np.float32)
    weights[[0, 7]] = 0.5, 0.4
    picture = attention_arcs(Cells.of(trace), [Gaze("head 0", weights, trace.positions[0, 0])], 100, -1)
    told = "; 92% of the attention goes farther back"
    assert f"An arc for each of the last 80 characters that gets 1% or more{told}." in picture.description
    assert f"learned distance from the selected character{told}" in str(picture.chart.to_dict())
