"""The charts of the measures: drawn from real tables of a tiny model, they say what is to be said."""

import json
import re
from itertools import islice
from typing import Any

import polars as pl
import pytest
import torch

from howfar.charts.intervals import layer_names, layers_in_order
from howfar.charts.measured import draw
from howfar.charts.measures.attention import draw_attention
from howfar.charts.measures.boundaries import draw_boundaries
from howfar.charts.measures.extrapolation import draw_extrapolation
from howfar.charts.measures.gap_effects import draw_gap_effects
from howfar.charts.measures.increments import draw_increments
from howfar.charts.measures.indexing import draw_indexing
from howfar.charts.measures.information import draw_information
from howfar.charts.measures.interventions import draw_interventions
from howfar.charts.measures.neutrality import draw_neutrality
from howfar.charts.measures.pairs import draw_pairs
from howfar.charts.measures.segmentation import draw_segmentation
from howfar.charts.measures.vocabulary import draw_vocabulary
from howfar.charts.picture import Picture
from howfar.charts.theme import COLOURS
from howfar.errors import NotMeasurableError
from howfar.measures.attention import attention
from howfar.measures.boundaries import boundaries
from howfar.measures.extrapolation import extrapolation
from howfar.measures.gap_effects import gap_effects
from howfar.measures.increments import increments
from howfar.measures.indexing import indexing
from howfar.measures.information import information
from howfar.measures.interventions import interventions
from howfar.measures.neutrality import neutrality
from howfar.measures.pairs import pairs
from howfar.measures.pairs.lists import bundled_pairs
from howfar.measures.registry import MEASURES
from howfar.measures.segmentation import segmentation
from howfar.measures.vocabulary import vocabulary
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.text.indexing import IndexingTask
from howfar.text.segmentation import Segmentation
from support.copying import copying_model, repeating_texts
from support.lookup import lookup_model

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
        ("set to one", "matched control"),  # what could not be measured is not drawn
    ]
    check_drawn(picture, "set to one", "layer 0", "change of loss, nats per byte", "over 10 held-out documents")


def test_attention() -> None:
    table = attention(copying_model(blind_second_layer=True), TEXTS)
    picture = draw_attention(table)
    assert {(row["layer"], row["unit"]) for row in rows_of(picture)} == {
        (layer, unit) for layer in (0, 1) for unit in ("tokens", "positions")
    }
    check_drawn(picture, "layer 1", "mean attention distance, tokens", "mean attention distance, learned positions")
    deep = pl.concat([table.with_columns(layer=pl.col("layer") + 2 * number) for number in range(4)])
    svg = draw_attention(deep).render("svg").decode()  # no eight colours can be told apart
    assert "layer 7" not in re.sub("aria-label=.*?>", "", svg)
    assert ">layer</text>" in svg


def test_extrapolation() -> None:
    picture = draw_extrapolation(extrapolation(copying_model(), TEXTS, training_length=12, factors=[1, 2]))
    assert len(rows_of(picture)) == 2 * (2 + 4)  # all documents, and their one source
    check_drawn(picture, "12 tokens", "24 tokens", "position in the window, tokens")


def test_neutrality() -> None:
    table = neutrality([copying_model()], {"plain": [copying_model(increments=None)]}, TEXTS)
    picture = draw_neutrality(table)
    assert [row["which"] for row in rows_of(picture)] == ["plain"]  # over one pair nothing can be said
    check_drawn(picture, "plain", "differences within 0.0015")
    second = table.filter(pl.col("low").is_not_null()).with_columns(pair=pl.lit(1, pl.Int64))
    over_pairs = second.with_columns(pair=pl.lit(None, pl.Int64))
    several = draw_neutrality(pl.concat([table, second, over_pairs]))
    assert [row["which"] for row in rows_of(several)] == ["plain, pair 0", "plain, pair 1", "plain, over pairs"]


def test_pairs() -> None:
    model = copying_model()
    table = pairs(model, bundled_pairs("en")[:12])
    assert rows_of(draw_pairs(table)) == []  # its increments are all alike
    planted = table.filter(control="reversed", type="all").with_columns(effect_size=-0.5, p_holm=0.01)
    picture = draw_pairs(planted)
    assert [row["evidence"] for row in rows_of(picture)] == ["p < 0.05 (Holm)"]
    check_drawn(picture, "reversed (space)", "layer 0")


def test_layers_stand_in_the_order_of_their_numbers() -> None:
    table = layer_names(pl.DataFrame({"layer": [10, 2, None, 0]}), "all layers")
    assert layers_in_order(table) == ["all layers", "layer 0", "layer 2", "layer 10"]


@pytest.mark.parametrize("text", ["ab cd\n", "a\"b'c"])
def test_gap_effects(text: str) -> None:
    picture = draw_gap_effects(gap_effects(copying_model(off_target=0.5), text).table(), layer=0)
    assert len(rows_of(picture)) == len(text) * (len(text) - 1) / 2
    check_drawn(picture, "layer 0", "wider gap before")
    if " " in text:
        check_drawn(picture, "␣", "⏎")


def test_indexing() -> None:
    documents = list(islice(IndexingTask(length=12, largest_offset=2, questions=5).documents(seed=0), 60))
    table = indexing(lookup_model({}, certainty={ord("="): 5.0}), documents)
    picture = draw_indexing(table)
    assert sorted({row["offset"] for row in rows_of(picture)}) == [-2, -1, 1, 2]
    value, low, high = table.select("value", "low", "high").row(1)
    check_drawn(picture, f"2 hops: {value:.1%} right [{low:.1%}, {high:.1%}].", "1 hop: ", "share of right answers")


def test_increments() -> None:
    table = increments(lookup_model({ord(" "): 9.99, ord("a"): 2.0}, {}), ["ab ba ", "b a a "] * 6)
    picture = draw_increments(table)
    drawn = {(row["class_name"], row["layer"], row["over"]): row for row in rows_of(picture)}
    assert drawn["space", 0, "text"]["at"] == "half or more at the bound"
    assert drawn["lowercase", 1, "text"]["at"] == "within the bounds"
    row = drawn["lowercase", 0, "text"]
    assert row["spread_low"] <= row["relative_low"] <= row["relative"] <= row["relative_high"] <= row["spread_high"]
    assert "digit" not in {name for name, *_ in drawn}  # there is none in the texts
    check_drawn(picture, "layer 1", "end of document", "half or more at the bound", "over the tokens of the vocabulary")


def test_a_notebook_shows_a_chart_as_svg() -> None:
    drawn = draw_increments(increments(copying_model(), TEXTS))
    bundle = drawn._repr_mimebundle_()
    assert set(bundle) == {"text/plain", "image/svg+xml"}
    assert bundle["text/plain"] == drawn.description
    assert bundle["image/svg+xml"].startswith("<svg")
    assert "lowercase" in bundle["image/svg+xml"]


def test_increments_of_heads_and_of_no_layer() -> None:
    heads = draw_increments(increments(lookup_model([{ord("a"): 2.0}, {}]), ["ab"] * 10))
    assert "yOffset" in json.dumps(heads.chart.to_dict())
    check_drawn(heads, "layer 0")
    shared = draw_increments(increments(lookup_model({ord("a"): 2.0}, scope="shared"), ["ab"] * 10))
    check_drawn(shared, "all layers")


def test_boundaries() -> None:
    gold = [Segmentation("一唐七唑丁", (2, 4)), Segmentation("丁一唯七", (1, 3))] * 6
    picture = draw_boundaries(boundaries(lookup_model({0xE4: 3.0}, {}), gold))
    assert {row["what"] for row in rows_of(picture) if row["scored_at"]} == {
        "increment of the lead byte",
        "increment of the whole character",
        "increment of the byte before",
    }
    check_drawn(
        picture,
        *("Inside runs of Chinese characters: does a word begin here?", "layer 1", "entropy + surprisal"),
        *("linear probe of the residual stream", "42 gaps, 24 of them boundaries", "over 12 documents"),
    )


def test_boundaries_without_fitted_models_and_with_heads() -> None:
    gold = [Segmentation("一唐七唑丁", (2, 4)), Segmentation("丁一唯七", (1, 3))] * 6
    picture = draw_boundaries(boundaries(lookup_model([{0xE4: 3.0}, {}]), gold, fitted=False))
    check_drawn(picture, "layer 0, head 1")


def test_segmentation() -> None:
    gold = [Segmentation("一唐七唑丁", (2, 4)), Segmentation("丁一唯七", (1, 3))] * 6
    picture = draw_segmentation(segmentation(lookup_model({0xE4: 3.0}, {}), gold, probed=False))
    assert {row["quantity"] for row in rows_of(picture)} == {"boundary F1", "word F1", "boundary enrichment"}
    check_drawn(
        picture,
        *("increment, whole character", "every gap", "anything else", "42 gaps, 24 of them boundaries"),
        "95% intervals over 12 texts",
    )


def test_information() -> None:
    files = [f"def f{number}(x):\n    return x + {number}2 * (x)\n" * 3 for number in range(12)]
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = HowFarForCausalLM(HowFarConfig(**sizes, initializer_range=0.4, increments={"start": "random"})).eval()
    table = information(model, files, classes="code", num_draws=9)
    picture = draw_information(table)
    assert {row["scored_at"] for row in rows_of(picture)} == {"this token", "token before"}
    check_drawn(picture, "class of code", "layer 1", "bits per token", "beyond the tokens themselves")


@pytest.mark.parametrize("format", ["svg", "png", "pdf"])
def test_vocabulary(format: str) -> None:
    table = vocabulary(lookup_model({ord(" "): 2.0, 0: 1.5, ord("<"): 1.2, ord("a"): 0.5}))
    picture = draw_vocabulary(table)
    drawn = rows_of(picture)
    assert [row["token"] for row in drawn[:3]] == ["␣", "\\x00", "<"]  # the farthest first
    assert drawn[-1]["token"] == "a"  # the nearest last
    content = picture.render(format)  # also what no XML may hold
    if format == "svg":
        assert "It is not known which of them the model was trained on" in content.decode()


def test_vocabulary_leaves_out_what_was_never_seen() -> None:
    table = vocabulary(lookup_model({ord(" "): 2.0, ord("a"): 0.5}))
    counted = table.with_columns(count=pl.when(pl.col("token") == " ").then(0).otherwise(5))
    assert " " not in [row["token"] for row in rows_of(draw_vocabulary(counted))]


def test_gap_effects_of_all_layers() -> None:
    table = gap_effects(copying_model(off_target=0.5, blind_second_layer=True), "ab\x00中").table()
    picture = draw_gap_effects(table)
    check_drawn(picture, "layer 0", "layer 1", "\\x00", "E4")


def test_charts_of_one_head_or_of_the_first_tokens_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    words = vocabulary(lookup_model({ord(" "): 2.0, ord("a"): 0.5}))
    effects = gap_effects(copying_model(off_target=0.5), "ab cd").table()
    for table, draw_table in ((words, draw_vocabulary), (effects, draw_gap_effects)):
        both = pl.concat([table, table.with_columns(head=pl.lit(1, table["head"].dtype))])
        assert "Head 1 of 2, numbered from 0." in draw_table(both, head=1).render("svg").decode()
        assert "Head 0" not in draw_table(table).render("svg").decode()
    assert "The first" not in draw_gap_effects(effects).render("svg").decode()
    monkeypatch.setattr("howfar.charts.measures.gap_effects.MOST_TOKENS", 3)
    assert "The first 3 of the 5 tokens that were measured." in draw_gap_effects(effects).render("svg").decode()


def test_the_foot_says_what_was_measured_and_what_could_not_be() -> None:
    table = increments(lookup_model({ord("a"): 2.0}, {}), ["ab ba "] * 12)
    svg = draw(MEASURES["increments"], table, source="tiny · 12 texts · seed 0").render("svg").decode()
    assert "tiny · 12 texts · seed 0" in svg
    assert "digit occurs in none of the texts" in svg


def test_a_chart_without_anything_in_it_is_refused_with_the_reason() -> None:
    same = pairs(copying_model(), bundled_pairs("en")[:12])
    with pytest.raises(NotMeasurableError, match=r"nothing to draw: .*the increment is the same for every pair"):
        draw(MEASURES["pairs"], same)
    few = neutrality([copying_model()], {"plain": [copying_model(increments=None)]}, TEXTS[:6])
    with pytest.raises(NotMeasurableError, match="nothing to draw: not measurable: 6 documents"):
        draw(MEASURES["neutrality"], few)
    with pytest.raises(NotMeasurableError, match="nothing to draw"):
        draw(MEASURES["vocabulary"], vocabulary(lookup_model({})))


def test_several_heads_are_named_beside_their_layer_in_their_order() -> None:
    heads = pl.DataFrame({"layer": [1, 1, None, 0, 0], "head": [0, 1, None, 1, 0]})
    table = layer_names(heads, "all layers", with_heads=True)
    expected = ["layer 1, head 0", "layer 1, head 1", "all layers", "layer 0, head 1", "layer 0, head 0"]
    assert table["layer_name"].to_list() == expected
    assert layers_in_order(table) == [expected[place] for place in (2, 3, 4, 0, 1)]
    one = layer_names(heads.filter(pl.col("head") == 0), "all layers", with_heads=True)
    assert one["layer_name"].to_list() == ["layer 1", "layer 0"]


def test_charts_of_measures_leave_the_colours_of_closer_and_farther_alone() -> None:
    for colours in COLOURS.values():
        closer, _, _, _, farther = colours["diverging"]
        assert not {*colours["measures"]} & {closer, farther, colours["heatmap"][0], colours["heatmap"][-1]}
        assert not {*colours["measures"]} & {*colours["category"][:2]}
