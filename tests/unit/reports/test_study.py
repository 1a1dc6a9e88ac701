import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from typer.testing import CliRunner

import howfar
from howfar import HowFarConfig, HowFarForCausalLM
from howfar.cli import app
from howfar.errors import NotMeasurableError
from howfar.reports import study as study_module
from howfar.reports.sentences import said, strongest, verdicts
from howfar.reports.study import controls_of, left_out, over_pairs, study_html, variant_table
from howfar.studies.folder import StudyFolder
from howfar.studies.runs import PlannedRun, RunState
from howfar.studies.study import Study
from support.training import INCREMENTS, MODEL, make_corpus


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Two seeds with plain and with learned positions, as a study leaves them; and one that was not begun."""
    corpus = make_corpus(tmp_path / "text")
    runs = []
    for variant, increments in (("plain", None), ("learned", INCREMENTS)):
        for seed in (0, 1, 2):
            recipe = {"seed": seed, "corpus": str(corpus.folder), "increments": increments, "trainer": {"max_steps": 1}}
            chosen = {"recipe": variant, "seed": seed}
            runs.append(PlannedRun(f"{variant}{seed}", chosen, recipe, corpus.hash, f"order{seed}"))
    made = Study(StudyFolder(tmp_path / "study"), "tiny", runs, {})
    made.write()
    for run in runs:
        if run.recipe["seed"] == 2:
            continue
        torch.manual_seed(run.recipe["seed"])
        folder = Path(made.place.path("runs", run.id))
        folder.parent.mkdir(exist_ok=True)
        howfar.save(HowFarForCausalLM(HowFarConfig(**MODEL, increments=run.recipe["increments"])), folder)
        loss = {"nats_per_byte": 5.0 + run.recipe["seed"]}
        (folder / "result.json").write_text(json.dumps({"step": 1, "held_out": loss}))
    return made


def test_a_study_is_reported_seed_by_seed(study: Study, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    told = CliRunner().invoke(app, ["report", study.place.location, "-o", str(page)], catch_exceptions=False)
    assert told.exit_code == 0
    html = page.read_text(encoding="utf-8")
    assert "6 runs: 4 finished, 2 waiting." in html
    pictures = re.findall(r"<figcaption>seed (\d)</figcaption><svg", html)
    assert pictures == ["0", "1"]  # plain positions have nothing to show
    drawn = html.partition('<div class="multiples">')[2].partition("</main>")[0]
    assert not re.search("<style|<rect", drawn)  # they have the page's colours, light or dark
    assert ".howfar .t0 { stroke: var(--t0); }" in html.partition("</head>")[0]
    assert "<h3>recipe learned</h3>" in html
    assert "Does some layer mark where Chinese words begin" in html
    assert "documents" in html.partition("over pairs")[2]  # four held-out documents are too few, and it says so
    for state in study.states()[:2]:
        assert state.run.id in html


def test_a_text_that_is_not_drawn_whole_is_said_to_be_cut(study: Study, tmp_path: Path) -> None:
    page, text = tmp_path / "page.html", tmp_path / "text.txt"
    text.write_text("a cat " * 50 + "\n\nthe other", encoding="utf-8")
    arguments = ["report", study.place.location, "--text", str(text), "-o", str(page)]
    told = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert told.stdout == f"The report is in {page}; it draws the first of 2 documents\n"
    assert "<p>The first 120 of 300 characters.</p>" in page.read_text(encoding="utf-8")
    assert "characters.</p>" not in study_html(study, "A text.")


def test_controls_that_read_other_windows_cost_no_comparison(study: Study) -> None:
    finished = [state for state in study.states() if state.state == "finished"]
    by_order = {order: [state for state in finished if state.run.data_order == order] for order in ("order0", "order1")}
    long = [replace(state, run=replace(state.run, chosen={**state.run.chosen, "length": 64})) for state in finished]
    long = [replace(state, run=replace(state.run, data_order=f"long {state.run.data_order}")) for state in long]
    tables = over_pairs(study, [*finished, *long])
    assert {name: table["against"].unique().to_list() for name, table in tables.items()} == {
        "recipe learned": ["recipe plain"],
        "recipe learned, length 64": ["recipe plain, length 64"],
    }
    (of_one_seed,) = over_pairs(study, by_order["order1"]).values()
    assert of_one_seed.select("pair", "seed").rows() == [(0, 1), (None, None)]
    apart = [by_order["order0"][0], by_order["order1"][1]]  # plain with seed 0, learned with seed 1
    assert over_pairs(study, apart) == {
        "recipe learned": "no finished run of it read the same windows as finished runs of recipe plain"
    }


def wide(study: Study, seeds: list[int]) -> list[RunState]:
    """A second control with plain positions: the first one's models, by another name; adds its runs to the study."""
    plain = [state for state in study.states() if state.run.chosen["recipe"] == "plain"]
    made = [replace(state, run=replace(state.run, chosen={**state.run.chosen, "recipe": "wide"})) for state in plain]
    study.runs += tuple(state.run for state in made)
    return [state for state in made if state.run.recipe["seed"] in seeds]


def finished_of(study: Study) -> list[RunState]:
    return [state for state in study.states() if state.state == "finished"]


@pytest.mark.parametrize(
    ("plain", "wide_ones", "pairs", "said"),
    [
        (
            [0, 1], [1], {"recipe plain": [0, 1], "recipe wide": [1]},
            ["Against recipe plain, seed 2 is left out: not finished in either.",
             "Against recipe wide, seed 0 is left out: not finished in recipe wide.",
             "Against recipe wide, seed 2 is left out: not finished in either."],
        ),
        (
            [0], [1], {"recipe plain": [0], "recipe wide": [1]},
            ["Against recipe plain, seed 1 is left out: not finished in recipe plain.",
             "Against recipe plain, seed 2 is left out: not finished in either.",
             "Against recipe wide, seed 0 is left out: not finished in recipe wide.",
             "Against recipe wide, seed 2 is left out: not finished in either."],
        ),
        (
            [0, 1], [], {"recipe plain": [0, 1]},
            ["Against recipe plain, seed 2 is left out: not finished in either.",
             "Against recipe wide, seeds 0, 1 are left out: not finished in recipe wide.",
             "Against recipe wide, seed 2 is left out: not finished in either."],
        ),
    ],
)  # fmt: skip
def test_an_unfinished_control_costs_no_pair_of_another(
    study: Study, plain: list[int], wide_ones: list[int], pairs: dict[str, list[int]], said: list[str]
) -> None:
    kept = [s for s in finished_of(study) if s.run.chosen["recipe"] == "learned" or s.run.recipe["seed"] in plain]
    kept += wide(study, wide_ones)
    (table,) = over_pairs(study, kept).values()
    assert isinstance(table, pl.DataFrame)
    found = table.filter(pl.col("pair").is_not_null())
    assert {name: found.filter(against=name)["seed"].to_list() for name in table["against"].unique()} == pairs
    assert found["pair"].to_list() == found["seed"].to_list()  # a pair has one number against every control
    assert table.filter(pl.col("pair").is_null())["against"].to_list() == list(pairs)
    assert left_out(study, kept) == {"recipe learned": said}


def test_seeds_that_are_left_out_stand_on_the_page(study: Study) -> None:
    assert "Against recipe plain, seed 2 is left out: not finished in either." in study_html(study, "A text.")
    study.runs = tuple(run for run in study.runs if run.recipe["seed"] != 2)
    assert "left out" not in study_html(study, "A text.")


def test_a_control_that_cannot_be_compared_leaves_the_others(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = finished_of(study) + wide(study, [1])
    usual = study_module.neutrality

    def refusing(models: Any, against: dict[str, Any], *args: Any, **kwargs: Any) -> pl.DataFrame:
        if "recipe wide" in against:
            raise NotMeasurableError("they are not a pair")
        return usual(models, against, *args, **kwargs)

    monkeypatch.setattr(study_module, "neutrality", refusing)
    (table,) = over_pairs(study, kept).values()
    assert isinstance(table, pl.DataFrame)
    assert table.filter(against="recipe plain")["seed"].to_list() == [0, 1, None]
    assert table.filter(against="recipe wide")["note"].to_list() == ["not measurable: they are not a pair"]
    assert over_pairs(study, [s for s in kept if s.run.chosen["recipe"] != "plain"]) == {
        "recipe learned": "they are not a pair"
    }


def test_a_study_without_held_out_documents_has_a_page(study: Study) -> None:
    for result in Path(study.place.path("runs")).glob("*/result.json"):
        result.write_text(json.dumps({"step": 1, "held_out": None}))
    assert "6 runs: 4 finished" in study_html(study, "A text.")


def test_a_study_without_finished_runs_has_no_report(study: Study) -> None:
    shutil.rmtree(study.place.path("runs"))
    with pytest.raises(NotMeasurableError, match="no run of tiny is finished; continue the study first"):
        study_html(study, "A text.")


def of_layers(*values: tuple[float, float | None], p_random: float | None = 0.5) -> pl.DataFrame:
    """What `boundaries` says of the increments of some layers: their AUC behind the same character, and its p-value."""
    rows = [
        {"quantity": quantity, "score": "increment", "layer": layer, "value": value + more, "p_together": p_value}
        for quantity, more in (("auc", 0.3), ("auc within", 0.0))
        for layer, (value, p_value) in enumerate(values)
    ]
    entropy = {"quantity": "auc within", "score": "entropy", "layer": None, "value": 0.9, "p_together": None}
    table = pl.DataFrame([*rows, entropy], schema_overrides={"layer": pl.Int64, "p_together": pl.Float64})
    return table.with_columns(p_random_together=pl.lit(p_random, pl.Float64))


def test_the_strongest_layer_of_each_seed_may_be_another_one() -> None:
    tables = {0: of_layers((0.51, 0.9), (0.3, 0.001)), 1: of_layers((0.6, 0.04), (0.5, 1.0)), 2: of_layers((0.49, 0.8))}
    found = strongest(tables)
    assert found.select("seed", "layer", "value").rows() == [(0, 1, 0.3), (1, 0, 0.6), (2, 0, 0.49)]
    assert said(found, tables).startswith("In 2 of 3 seeds some layer marks where Chinese words begin")
    assert "In 1 of them it is only the first layer or a shared step" in said(found, tables)
    assert "is 0.103 from 0.5 on average, 0.010 to 0.200;" in said(found, tables)
    assert "In 0 of them some such step marks words better than steps of networks with random" in said(found, tables)


def test_a_seed_whose_layers_mark_words_no_better_than_random_networks_does_not_count_as_trained() -> None:
    tables = {
        0: of_layers((0.6, 0.01), p_random=0.02),
        1: of_layers((0.6, 0.01), p_random=0.2),
        2: of_layers((0.6, 0.01), p_random=None),  # increments that are not learned
        3: of_layers((0.6, 0.3), p_random=0.02),
    }
    words = said(strongest(tables), tables)
    assert words.startswith("In 3 of 4 seeds some layer marks")
    assert "In 1 of them some such step marks words better" in words


def test_a_seed_counts_whichever_layer_marks_boundaries_and_whether_or_not_it_could_be_tested() -> None:
    tables = {0: of_layers((0.6, 0.2), (0.58, 0.01)), 1: of_layers((0.7, 0.01), (0.6, 0.01)), 2: of_layers((0.7, None))}
    found = strongest(tables)
    words = said(found, tables)
    assert words.startswith("In 2 of 3 seeds some layer marks")
    assert words.endswith("In 1 of the seeds there are too few documents for a p-value.")
    assert "In 0 of them it is only the first layer" in words
    assert "is 0.150 from 0.5 on average" in words


def test_without_any_p_value_nothing_is_said_of_layers() -> None:
    with pytest.raises(NotMeasurableError, match="no seed has enough documents for a p-value; give more texts"):
        strongest({0: of_layers((0.6, None))})


def test_a_variant_is_compared_with_plain_positions_and_with_its_encoding_alone() -> None:
    increments = {"scope": "shared"}
    recipes = {
        "plain": {"increments": None, "encoding": None},
        "wider": {"increments": None},
        "shared": {"increments": increments, "encoding": {"name": "rotary"}},
        "alibi": {"increments": None, "encoding": {"name": "alibi"}},
        "pope": {"increments": None, "encoding": {"name": "pope"}},
        "selective pope": {"increments": increments, "encoding": {"name": "pope"}},
    }
    assert controls_of(recipes) == {
        "shared": ["plain", "wider"],
        "alibi": ["plain", "wider"],
        "pope": ["plain", "wider"],
        "selective pope": ["plain", "wider", "pope"],
    }
    assert controls_of({name: recipes[name] for name in ("alibi", "pope")}) == {}


def test_single_pairs_are_counted_beside_what_all_of_them_say() -> None:
    schema = ["against", "source", "pair", "value", "low", "high", "seed_share"]
    rows = [
        ("plain", "all", 0, -0.006, -0.008, -0.003, None),
        ("plain", "all", 1, 0.008, 0.004, 0.012, None),
        ("plain", "all", 2, 0.001, -0.002, 0.003, None),
        ("plain", "all", None, 0.001, -0.0123, 0.0143, 0.876),
        ("plain", "en", 0, -0.006, -0.008, -0.003, None),
        ("wide", "all", 0, None, None, None, None),
    ]
    assert verdicts(pl.DataFrame(rows, schema=schema, orient="row")) == [
        "Against plain, 1 of 3 pairs shows a lower loss by itself, 1 a higher one. Over pairs the difference is "
        "+0.0010 [-0.0123, +0.0143] nats per byte, and 88% of the variance of one pair's difference comes from its "
        "seed."
    ]


def test_boundaries_are_looked_for_in_gold_words(study: Study, tmp_path: Path) -> None:
    gold, page = tmp_path / "gold.txt", tmp_path / "page.html"
    gold.write_text(
        "\n".join(["猫 坐在 树 上", "鸟 在 老树 上 看 猫", "老猫 看 鸟", "树 在 上面"] * 12), encoding="utf-8"
    )
    arguments = ["report", study.place.location, "--gold", str(gold), "-o", str(page)]
    assert CliRunner().invoke(app, arguments, catch_exceptions=False).exit_code == 0
    assert re.search(r"In \d of 2 seeds some layer marks where Chinese words begin", page.read_text(encoding="utf-8"))
    missing = CliRunner().invoke(app, ["report", study.place.location, "--gold", str(tmp_path / "none.txt")])
    assert missing.exit_code != 0


def test_variants_stand_with_their_parameters(study: Study) -> None:
    finished = [state for state in study.states() if state.state == "finished"]
    plain, learned = variant_table(study, finished).rows(named=True)
    assert (plain["nats_per_byte"], plain["seeds"], learned["seeds"]) == ("5.5", 2, 2)
    assert learned["parameters"] > plain["parameters"] > 1000
