"""One measure of several models: which rows are combined, and with which intervals."""

from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from howfar.errors import NotMeasurableError
from howfar.measures.declaration import Measure
from howfar.measures.increments import increments
from howfar.measures.neutrality import neutrality
from howfar.measures.over_models import ALL, over_models
from howfar.measures.registry import MEASURES, measure_named
from support.lookup import lookup_model

TEXTS = [f"text {'the ' * number}of {number % 5 * 'what'} texts" for number in range(12)]


def combined(tables: dict[str, pl.DataFrame], name: str, **row: Any) -> dict[str, Any]:
    return over_models(tables, measure_named(name)).filter(model=ALL, **row).row(0, named=True)


def table(value: float, reach: float = 0.1, **row: Any) -> pl.DataFrame:
    ends = {"value": value, "low": value - reach, "high": value + reach, "n": 20, "note": None}
    return pl.DataFrame([row | ends], schema_overrides={"note": pl.String})


def test_every_measure_of_models_says_what_identifies_its_rows() -> None:
    for measure in MEASURES.values():
        assert measure.rows or not measure.of_model or measure.identifies


@pytest.mark.parametrize(
    ("name", "quantity", "place"),
    [
        ("sensitivity", "split-half reliability", {"change": "closed", "class": None, "layer": None}),
        ("attention", "rank correlation over heads", {"unit": "tokens", "layer": None, "head": None}),
        ("attention", "correlation over layers", {"unit": "tokens", "layer": None, "head": None}),
    ],
)
def test_intervals_that_are_not_over_documents_are_not_taken_for_such(
    name: str, quantity: str, place: dict[str, Any]
) -> None:
    tables = {model: table(value, quantity=quantity, **place) for model, value in (("a", 0.8), ("b", 0.9))}
    found = combined(tables, name, quantity=quantity)
    assert (found["value"], found["seed_share"], found["n"]) == (None, None, 2)
    assert found["note"] == "not measurable: a model's interval is not over documents"
    # Other rows of the measure are combined.
    others = {model: table(value, quantity="another", **place) for model, value in (("a", 0.8), ("b", 0.9))}
    assert combined(others, name)["value"] == pytest.approx(0.85)


def test_the_same_loss_of_several_models_is_combined_whatever_their_statements_say() -> None:
    plain = lookup_model({})
    models = {"a": lookup_model({}, certainty={ord("e"): 1.0}), "b": lookup_model({}, certainty={ord("t"): 2.0})}
    tables = {name: neutrality([model], {"plain": [plain]}, TEXTS) for name, model in models.items()}
    statements = [own.filter(pair=0)["statement"].item() for own in tables.values()]
    assert statements[0] != statements[1]
    found = combined(tables, "neutrality", pair=0)
    values = [own.filter(pair=0)["value"].item() for own in tables.values()]
    assert found["value"] == pytest.approx(np.mean(values))
    assert found["low"] < found["value"] < found["high"]
    # The losses of the models keep their column, under another name.
    losses = [own.filter(pair=0)["model"].item() for own in tables.values()]
    every = over_models(tables, measure_named("neutrality"))
    assert every.filter(pl.col("model") != ALL, pair=0)["of_model"].to_list() == losses


def test_exact_values_have_an_interval_over_seeds_alone() -> None:
    tables = {str(step): increments(lookup_model({ord("e"): step}), TEXTS) for step in (2.0, 3.0, 5.0)}
    values = [own.filter(over="vocabulary").filter(pl.col("class") == "all")["value"].item() for own in tables.values()]
    every = over_models(tables, measure_named("increments")).filter(model=ALL, over="vocabulary")
    found = every.filter(pl.col("class") == "all").row(0, named=True)
    reach = stats.t.ppf(0.975, 2) * np.std(values, ddof=1) / np.sqrt(3)
    assert found["value"] == pytest.approx(np.mean(values))
    assert [found["low"], found["high"]] == pytest.approx([np.mean(values) - reach, np.mean(values) + reach])
    assert (found["seed_share"], found["n"]) == (1.0, 3)


def test_a_value_without_an_interval_is_not_taken_for_an_exact_one() -> None:
    place = {"quantity": "auc", "score": "increment", "scored_at": "lead byte", "layer": 0, "head": 0}
    few = table(0.7, **place).with_columns(low=pl.lit(None, pl.Float64), high=pl.lit(None, pl.Float64))
    found = combined({"a": few, "b": few}, "boundaries")
    assert (found["value"], found["note"]) == (None, "not measurable: a model has no interval")


@pytest.mark.parametrize(
    ("name", "row", "limits"),
    [
        ("boundaries", {"quantity": "auc"}, (0, 1)),
        ("boundaries", {"quantity": "auc within"}, (0, 1)),
        ("boundaries", {"quantity": "auc gain"}, (-1, 1)),
        ("segmentation", {"quantity": "sentence F1"}, (0, 1)),
        ("attention", {"quantity": "rank correlation over queries"}, (-1, 1)),
        ("indexing", {"hops": 1, "offset": 2}, (0, 1)),
        ("segmentation", {"quantity": "surprising gaps"}, None),
    ],
)
def test_an_interval_ends_at_the_smallest_and_the_largest_possible_value(
    name: str, row: dict[str, Any], limits: tuple[float, float] | None
) -> None:
    found = combined({"a": table(0.5, **row), "b": table(0.9, **row)}, name)
    ends = (found["low"], found["high"])
    if limits is None:
        assert ends[0] < -1 < 1 < ends[1]
    else:
        assert ends == limits


def test_two_rows_of_one_model_are_not_taken_for_those_of_two() -> None:
    measure = measure_named("attention")
    place = {"quantity": "distance", "unit": "tokens", "layer": 0, "head": 0}
    twice = pl.concat([table(0.8, **place), table(0.9, **place)])
    other = table(0.5, **place | {"layer": 1})
    found = over_models({"a": twice, "b": other}, measure)
    assert found.filter(model=ALL).is_empty()
    found = over_models({"a": pl.concat([twice, other]), "b": pl.concat([twice, other])}, measure)
    assert found.filter(model=ALL, layer=0)["note"].item() == "not measurable: a model has several such rows"
    assert found.filter(model=ALL, layer=1)["value"].item() == 0.5


def test_rows_that_cannot_be_matched_are_refused_or_say_so() -> None:
    place = {"quantity": "auc", "score": "increment", "scored_at": "lead byte", "layer": 0, "head": 0}
    twice = pl.concat([table(0.7, **place), table(0.8, **place)])
    assert combined({"a": twice, "b": twice}, "boundaries")["note"] == "not measurable: a model has several such rows"
    unknown = Measure(name="x", question="?", run=lambda *_: twice, value="a", counts="b", columns=("quantity",))
    with pytest.raises(NotMeasurableError, match="x does not say what identifies a row"):
        over_models({"a": twice, "b": twice}, unknown)
    with pytest.raises(NotMeasurableError, match="rows of vocabulary are not estimates"):
        over_models({"a": twice, "b": twice}, measure_named("vocabulary"))
