"""The charts of the measures: drawn from real tables of a tiny model, they say what is to be said."""

import json
from typing import Any

import pytest

from howfar.charts.attention_distances import draw_attention
from howfar.charts.extrapolation import draw_extrapolation
from howfar.charts.gap_effects import draw_gap_effects
from howfar.charts.interventions import draw_interventions
from howfar.charts.neutrality import draw_neutrality
from howfar.charts.pairs import draw_pairs
from howfar.charts.picture import Picture
from howfar.measures.attention import attention
from howfar.measures.extrapolation import extrapolation
from howfar.measures.gap_effects import gap_effects
from howfar.measures.interventions import interventions
from howfar.measures.neutrality import neutrality
from howfar.measures.pair_lists import bundled_pairs
from howfar.measures.pairs import pairs
from support.copying import copying_model, repeating_texts

TEXTS = repeating_texts(10, length=60)


def rows_of(picture: Picture) -> list[dict[str, Any]]:
    """The table that a chart is drawn from."""
    datasets = picture.chart.to_dict()["datasets"].values()
    return [row for table in datasets if isinstance(table, str) for row in json.loads(table)]


def check_drawn(picture: Picture, *said: str) -> None:
    svg, page = (picture.render(format).decode() for format in ("svg", "html"))
    for text in said:
        assert text in svg
    assert picture.description in page


def test_interventions() -> None:
    kinds = ["set to one", "swapped with next layer"]
    picture = draw_interventions(interventions(copying_model(), TEXTS, kinds=kinds))
    assert [(row["kind"], row["side"]) for row in rows_of(picture)] == [
        ("set to one", "intervention"),
        ("set to one", "random control"),  # what could not be measured is not drawn
    ]
    check_drawn(picture, "set to one", "layer 0", "change of loss, nats per byte", "over 10 held-out documents")


def test_attention() -> None:
    picture = draw_attention(attention(copying_model(blind_second_layer=True), TEXTS))
    assert {(row["layer"], row["unit"]) for row in rows_of(picture)} == {
        (layer, unit) for layer in (0, 1) for unit in ("tokens", "positions")
    }
    check_drawn(picture, "layer 1", "mean attention distance, tokens", "mean attention distance, learned positions")


def test_extrapolation() -> None:
    picture = draw_extrapolation(extrapolation(copying_model(), TEXTS, training_length=12, factors=[1, 2]))
    assert len(rows_of(picture)) == 2 * (2 + 4)  # all documents, and their one source
    check_drawn(picture, "12 tokens", "24 tokens", "position in the window, tokens")


def test_neutrality() -> None:
    table = neutrality([copying_model()], {"plain": [copying_model(increments=None)]}, TEXTS)
    picture = draw_neutrality(table)
    assert [row["which"] for row in rows_of(picture)] == ["pair 0"]  # over one pair nothing can be said
    check_drawn(picture, "pair 0", "differences within 0.005")


def test_pairs() -> None:
    model = copying_model()
    table = pairs(model, bundled_pairs("en")[:12])
    assert rows_of(draw_pairs(table)) == []  # its increments are all alike
    planted = table.filter(control="reversed", type="all").with_columns(effect_size=-0.5, p_holm=0.01)
    picture = draw_pairs(planted)
    assert [row["evidence"] for row in rows_of(picture)] == ["p < 0.05 (Holm)"]
    check_drawn(picture, "reversed (space)", "layer 0")


@pytest.mark.parametrize("text", ["ab cd\n", "a\"b'c"])
def test_gap_effects(text: str) -> None:
    picture = draw_gap_effects(gap_effects(copying_model(off_target=0.5), text).table(), layer=0)
    assert len(rows_of(picture)) == len(text) * (len(text) - 1) / 2
    check_drawn(picture, "layer 0", "wider gap before")
    if " " in text:
        check_drawn(picture, "␣", "⏎")
