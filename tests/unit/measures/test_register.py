"""Claims that are written down before, and checked after."""

import json
from pathlib import Path

import polars as pl
import pytest

from howfar.errors import ConfigError
from howfar.measures.inputs import Inputs
from howfar.measures.register import Claim, register, registered
from howfar.measures.registry import measure_named
from howfar.text.segmentation import Segmentation
from support.grafts import make_base
from support.lookup import lookup_model

MEASURE = measure_named("boundaries")
LAYER = ["quantity=auc within", "score=increment", "layer=2"]
GOLD = [Segmentation("一唐唐", (1,))]


def table(low: float = 0.3, high: float = 0.4) -> pl.DataFrame:
    rows = [
        {"quantity": quantity, "score": "increment", "layer": layer, "value": (low + high) / 2}
        | {"low": low, "high": high, "note": None}
        for quantity in ("auc", "auc within")
        for layer in (1, 2)
    ]
    return pl.DataFrame(rows)


@pytest.mark.parametrize(
    ("bounds", "verdict"),
    [
        (["value<0.45"], "holds"),
        (["value<0.45", "value>0.25"], "holds"),
        (["value<0.35"], "not shown"),
        (["value<0.4"], "not shown"),
        (["value<0.3"], "contradicted"),
        (["value > 0.5"], "contradicted"),
    ],
)
def test_a_claim_is_judged_by_the_whole_interval(bounds: list[str], verdict: str) -> None:
    assert f" {verdict}: " in Claim.parse([*LAYER, *bounds], MEASURE).verdict(table())


def test_a_row_without_an_interval_says_why() -> None:
    empty = table().with_columns(low=None, note=pl.lit("not measurable: too few"))
    assert Claim.parse([*LAYER, "value<1"], MEASURE).verdict(empty).endswith("not measurable: too few")


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        (["layer=2"], "does not say what the value will be; add value<NUMBER"),
        (["layer", "value<1"], "the claim 'layer' cannot be read; give column=value"),
        (["place=2", "value<1"], "boundaries has no column 'place'; choose from quantity, score, scored_at"),
        (["value<much"], "has no number after its sign; give"),
        (["value<nan"], "has no number after its sign; give"),
    ],
)
def test_what_is_no_claim(parts: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Claim.parse(parts, MEASURE)


@pytest.mark.parametrize(("parts", "num"), [(["score=increment"], 4), (["layer=7"], 0)])
def test_a_claim_of_no_single_row_has_no_verdict(parts: list[str], num: int) -> None:
    with pytest.raises(ConfigError, match=f"matches {num} rows; register one"):
        Claim.parse([*parts, "value<1"], MEASURE).verdict(table())


def test_what_was_registered_is_read_back(tmp_path: Path) -> None:
    claim = Claim.parse([*LAYER, "value<0.45"], MEASURE)
    model, inputs = lookup_model({0xE4: 2.0}), Inputs(gold=GOLD, target="words", seed=3)
    register(tmp_path / "claim.json", claim, MEASURE, model, inputs)
    assert registered(tmp_path / "claim.json", MEASURE, model, inputs) == claim
    with pytest.raises(ConfigError, match="is already a register; leave out --claim"):
        register(tmp_path / "claim.json", claim, MEASURE, model, inputs)


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("gold", Inputs(gold=[Segmentation("一唐唐", (2,))], seed=3)),
        ("gold", Inputs(gold=[*GOLD, *GOLD], seed=3)),
        ("seed", Inputs(gold=GOLD, seed=4)),
        ("sample", Inputs(gold=GOLD, seed=3, sample=100)),
        ("target", Inputs(gold=GOLD, seed=3, target="words")),
    ],
)
def test_a_register_of_something_else_is_refused(tmp_path: Path, name: str, inputs: Inputs) -> None:
    path, model = tmp_path / "claim.json", lookup_model({0xE4: 2.0})
    register(path, Claim({"layer": "2"}, below=0.45), MEASURE, model, Inputs(gold=GOLD, seed=3))
    with pytest.raises(ConfigError, match=f"was registered for another {name} .*; measure what was registered"):
        registered(path, MEASURE, model, inputs)


def test_another_model_or_measure_is_refused(tmp_path: Path) -> None:
    path, inputs, model = tmp_path / "claim.json", Inputs(gold=GOLD), lookup_model({0xE4: 2.0})
    register(path, Claim({}, below=0.45), MEASURE, model, inputs)
    with pytest.raises(ConfigError, match="for another model"):
        registered(path, MEASURE, lookup_model({0xE4: 2.5}), inputs)
    with pytest.raises(ConfigError, match="for another measure"):
        registered(path, measure_named("increments"), model, inputs)


def test_a_model_to_compare_with_that_was_trained_again_is_refused(tmp_path: Path) -> None:
    path, other, model = tmp_path / "claim.json", str(tmp_path / "other"), lookup_model({})
    inputs = Inputs(texts=["a text"], against=[other])
    for seed in (0, 1):
        make_base(tmp_path / "other", seed=seed)
        if not seed:
            register(path, Claim({}, below=0.1), measure_named("neutrality"), model, inputs)
            registered(path, measure_named("neutrality"), model, inputs)
    with pytest.raises(ConfigError, match="was registered for another against"):
        registered(path, measure_named("neutrality"), model, inputs)


@pytest.mark.parametrize("content", ["", "{}", "[]", json.dumps({"claim": {"layers": 1}})])
def test_what_is_no_register(tmp_path: Path, content: str) -> None:
    (tmp_path / "claim.json").write_text(content)
    with pytest.raises(ConfigError, match=r"is not a register .*; write one with --register and --claim"):
        registered(tmp_path / "claim.json", MEASURE, None, Inputs())
    with pytest.raises(ConfigError, match=r"there is no file .*; write it with --register"):
        registered(tmp_path / "none.json", MEASURE, None, Inputs())
