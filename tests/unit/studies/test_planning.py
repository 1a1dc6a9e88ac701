import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from howfar import cli
from howfar.corpus.corpus import Corpus
from howfar.errors import ConfigError, HowFarError, StudyError
from howfar.foreign import harmless_lines
from howfar.progress import bars_on
from howfar.studies.folder import StudyFolder
from howfar.studies.planning import plan
from howfar.studies.runs import PlannedRun
from howfar.studies.specification import Specification
from howfar.studies.study import Study
from howfar.training.parameter_matching import count_parameters
from howfar.training.recipe import Recipe
from support.training import MODEL

VERSIONS = {"torch": "2"}


def planned(values: dict[str, Any]) -> list[PlannedRun]:
    return plan(Specification.from_dict(values), VERSIONS)


def test_runs_are_every_choice_from_the_grid_with_every_variant(asked: Any, recipe: Path) -> None:
    runs = planned(
        asked(
            set={"max_steps": 4, "trainer": {"learning_rate": 0.5}},
            grid={"seed": [0, 1], "trainer": {"weight_decay": [0.0, 0.1]}},
            variant=[{"increments": {"bound": "sigmoid"}}, {"increments.scope": "shared", "max_steps": 5}],
        )
    )
    assert len(runs) == 8
    assert runs[-1].chosen == {"increments.scope": "shared", "max_steps": 5, "seed": 1, "trainer.weight_decay": 0.1}
    by_hand = ["increments.scope=shared", "max_steps=5", "learning_rate=0.5", "weight_decay=0.1", "seed=1", "name=tiny"]
    assert Recipe.load(recipe, settings=by_hand).to_dict() == runs[-1].recipe
    assert runs[0].recipe["increments"]["bound"] == "sigmoid"
    assert "bound" not in Recipe.load(recipe).increments


def test_pairs_are_runs_of_one_seed_corpus_and_window(asked: Any) -> None:
    runs = planned(asked(grid={"seed": [0, 1], "learning_rate": [0.1, 0.2], "max_position_embeddings": [16, 32]}))
    assert len({run.data_order for run in runs}) == 4
    told = {(run.data_order, run.chosen["seed"], run.chosen["max_position_embeddings"]) for run in runs}
    assert len(told) == 4
    (run,) = planned(asked())
    for other in ({"max_steps": 7}, {"per_device_train_batch_size": 8}, {"gradient_accumulation_steps": 2}):
        assert planned(asked(set=other))[0].data_order != run.data_order
    halved = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 2}
    assert planned(asked(set=halved))[0].data_order == run.data_order


def test_a_model_to_start_from_is_found_from_every_folder_and_known_by_its_weights(
    asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for folder, weights in (("a", b"1"), ("b", b"1"), ("c", b"2")):
        (tmp_path / folder / "mine").mkdir(parents=True)
        (tmp_path / folder / "mine" / "model.safetensors").write_bytes(weights)
        monkeypatch.chdir(tmp_path / folder)
        found += planned(asked(set={"start_from": "mine"}))
        assert found[-1].recipe["start_from"] == str(tmp_path / folder / "mine")
    assert found[0].id == found[1].id != found[2].id
    assert planned(asked(set={"start_from": "bilingual-rope"}))[0].recipe["start_from"] == "bilingual-rope"


def test_an_address_is_of_what_decides_the_result(asked: Any, recipe: Path, tmp_path: Path, corpus: Corpus) -> None:
    (run,) = planned(asked())
    moved = tmp_path / "elsewhere"
    moved.symlink_to(corpus.folder)
    assert [run.id] == [other.id for other in planned(asked(name="other", set={"corpus": str(moved)}))]
    assert run.id != plan(Specification.from_dict(asked()), {"torch": "3"})[0].id
    assert run.id != planned(asked(set={"seed": 1}))[0].id


def test_a_grid_of_recipes_mixes_encodings(asked: Any, corpus: Corpus) -> None:
    values = asked(set={"corpus": str(corpus.folder)}, grid={"recipe": ["small-rope", "small-shared"]})
    del values["recipe"]
    plain, shared = planned(values)
    assert plain.recipe["increments"] is None
    assert shared.recipe["increments"]["scope"] == "shared"
    assert plain.data_order == shared.data_order


def test_a_rate_of_increments_for_all_runs_is_for_those_that_have_increments(asked: Any, corpus: Corpus) -> None:
    values = asked(set={"corpus": str(corpus.folder), "increment_learning_rate": 0.5})
    del values["recipe"]
    recipes = [{"recipe": "small-rope"}, {"recipe": "small-shared"}]
    controls = [{"recipe": "small-shared", "parameter_matched": True}]
    runs = planned({**values, "variant": recipes + controls})
    assert [run.recipe["increment_learning_rate"] for run in runs] == [None, 0.5, None]
    with pytest.raises(StudyError, match=r"\[set\] has increment_learning_rate, but no run has increments to train"):
        planned({**values, "variant": recipes[:1] + controls})
    del values["set"]["increment_learning_rate"]
    with pytest.raises(ConfigError, match=r"increment_learning_rate is 0\.5, but the model has no increments"):
        planned({**values, "variant": recipes, "grid": {"increment_learning_rate": [0.5]}})


def test_a_control_has_as_many_parameters_and_plain_positions(asked: Any) -> None:
    widened = {"model": {"intermediate_size": 25}}
    for values in ({"variant": [{}, {"parameter_matched": True}]}, {"grid": {"parameter_matched": [False, True]}}):
        own, control = planned(asked(set=widened, **values))
        assert control.recipe["increments"] is None
        assert control.recipe["model"]["intermediate_size"] > 25
        assert own.recipe["model"]["intermediate_size"] == 25
        assert control.data_order == own.data_order
        sizes = [count_parameters(Recipe.from_dict(run.recipe)) for run in (own, control)]
        one_unit = 3 * MODEL["hidden_size"] * MODEL["num_hidden_layers"]
        assert abs(sizes[0] - sizes[1]) <= one_unit / 2


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"grid": {"learning_rat": [1]}},
            r"\[grid\] learning_rat: a recipe has no such option; did you mean .*rate",
        ),
        ({"variant": [{"trainer.lr": 1}]}, r"\[trainer\] has no option 'lr'"),
        ({"set": {"sede": 1}}, r"\[set\] sede: a recipe has no such option; did you mean seed"),
        (
            {"grid": {"max_steps": [1], "trainer.max_steps": [2]}},
            r"\[grid\] max_steps and \[grid\] trainer.max_steps set the same value",
        ),
        (
            {"set": {"seed": 5}, "grid": {"seed": [0, 1]}},
            r"\[set\] seed and \[grid\] seed set the same value; keep one",
        ),
        (
            {"set": {"corpus": "{corpus}", "bound": "sigmoid"}, "grid": {"recipe": ["small-rope", "small-shared"]}},
            "'bound' is set for all runs, but the recipe small-rope has no increments and would get some; put it in",
        ),
        (
            {"variant": [{"recipe": "small-rope"}], "grid": {"recipe": ["small-per-layer"]}},
            r"\[\[variant\]\] recipe and \[grid\] recipe set the same value; keep one",
        ),
        (
            {"variant": [{"parameter_matched": True}, {}], "grid": {"parameter_matched": [False]}},
            r"\[\[variant\]\] parameter_matched and \[grid\] parameter_matched set the same value; keep one",
        ),
        ({"grid": {"recipe": [["small-rope"]]}}, r"recipe is \['small-rope'\]; it must be a string"),
        (
            {"grid": {"model": [{}]}, "variant": [{"num_hidden_layers": 1}]},
            r"\[\[variant\]\] num_hidden_layers and \[grid\] model set the same value",
        ),
        ({"grid": {"seed": [0, 0]}}, "two runs are the same, seed 0 and seed 0; remove one"),
        ({"variant": [{"seed": 0}, {}]}, "two runs are the same"),
        ({"grid": {"seed": 3}}, r"\[grid\] seed is 3; give a list"),
        ({"grid": {"seed": []}}, r"\[grid\] seed is \[\]; give a list"),
        ({"grid": {"seed": [-1]}}, "seed is -1; it must be 0 or more"),
        ({"grid": {"name": ["a"]}}, r"\[grid\] has 'name', which follows from the recipe"),
        ({"variant": []}, "variant is an empty list, so there is no run; leave it out"),
        ({"axes": {}}, "study: the file has no option 'axes'"),
        ({"variant": {"seed": 1}}, r"variant is .*; it must be a list of tables"),
        ({"recipe": "nowhere"}, "there is no recipe 'nowhere'"),
        ({"grid": {"corpus": ["nowhere"]}}, "there is no folder"),
        ({"set": {"recipe": "small-rope"}}, "put it above all tables"),
        ({"set": {"parameter_matched": True}}, r"put it in a \[\[variant\]\]"),
        ({"variant": [{"parameter_matched": 1}]}, "parameter_matched is 1; it must be true or false"),
        ({"grid": {"parameter_matched": ["yes"]}}, "parameter_matched is 'yes'; it must be true or false"),
        (
            {"variant": [{"recipe": "small-rope", "parameter_matched": True}], "set": {"corpus": "{corpus}"}},
            "has no increments to match",
        ),
        (
            {
                "variant": [{"recipe": "graft-lora", "parameter_matched": True}],
                "set": {"corpus": "{corpus}", "base": "b"},
            },
            "in a study of grafts, whose models have a fixed size",
        ),
    ],
)
def test_what_is_impossible_is_one_line(asked: Any, corpus: Corpus, values: dict[str, Any], message: str) -> None:
    if "corpus" in values.get("set", {}):
        values = {**values, "set": {**values["set"], "corpus": str(corpus.folder)}}
    with pytest.raises(HowFarError, match=message) as raised:
        planned(asked(**values))
    assert "\n" not in str(raised.value)
    assert ";" in str(raised.value)


def test_a_recipe_without_a_corpus_is_told_so(asked: Any, tmp_path: Path) -> None:
    bare = tmp_path / "bare.toml"
    bare.write_text("[trainer]\nmax_steps = 1\n")
    with pytest.raises(HowFarError, match="'corpus' is missing; a recipe needs at least name and corpus"):
        planned(asked(recipe=str(bare)))


def test_a_study_may_grow_and_is_not_mixed_with_another(asked: Any, tmp_path: Path) -> None:
    place = StudyFolder(tmp_path / "study")
    both, first, second = (planned(asked(grid={"seed": seeds})) for seeds in ([0, 1], [0], [1]))
    begun = Study(place, "tiny", first, VERSIONS)
    begun.write()
    Study(place, "tiny", second, VERSIONS).check_extends(Study.open(place.location))  # nothing is lost
    place.write(f"runs/{first[0].id}/result.json", {"step": 6})
    Study(place, "tiny", both, VERSIONS).check_extends(Study.open(place.location))
    for other, message in (
        (Study(place, "tiny", second, VERSIONS), "1 finished runs that the study no longer has, for example seed 0"),
        (Study(place, "mine", both, VERSIONS), "contains the study 'tiny', not 'mine'; give another folder"),
        (Study(place, "tiny", both, {"torch": "3"}), "started with torch 2, but this machine has 3; install"),
    ):
        with pytest.raises(StudyError, match=message):
            other.check_extends(begun)
    (tmp_path / "study" / "study.json").write_text("{")
    with pytest.raises(StudyError, match="is not a plan that this howfar reads"):
        Study.open(place.location)
    with pytest.raises(StudyError, match=r"holds no study: it has no study\.json"):
        Study.open(tmp_path)


@pytest.mark.parametrize("lost", ["name", "runs", "versions"])
def test_a_damaged_plan_is_one_line(asked: Any, tmp_path: Path, lost: str) -> None:
    place = StudyFolder(tmp_path)
    Study(place, "tiny", planned(asked()), VERSIONS).write()
    whole = place.read_file("study.json")
    for part in ({key: value for key, value in whole.items() if key != lost}, {**whole, lost: 3}):
        place.write("study.json", part)
        with pytest.raises(StudyError, match=r"study\.json is damaged: .*; give another folder"):
            Study.open(tmp_path)


@pytest.mark.parametrize("damaged", [{}, {"step": "x"}, {"step": 6, "held_out": 3}])
def test_a_damaged_result_is_one_line(asked: Any, tmp_path: Path, damaged: dict[str, Any]) -> None:
    place = StudyFolder(tmp_path)
    (run,) = planned(asked())
    study = Study(place, "tiny", [run], VERSIONS)
    place.write(f"runs/{run.id}/result.json", damaged)
    with pytest.raises(StudyError, match=r"result\.json is damaged; remove it, and the study writes it again"):
        study.rows()
    (tmp_path / "runs" / run.id / "result.json").write_text("[]")
    (tmp_path / "failures").mkdir()
    (tmp_path / "failures" / f"{run.id}.json").write_text("[]")
    assert study.rows()[0]["state"] == "waiting"


def test_a_thousand_runs_are_planned_and_listed_soon(
    asked: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[Any] = []
    usual = Corpus.open
    monkeypatch.setattr(Corpus, "open", lambda folder: opened.append(folder) or usual(folder))
    begun = time.process_time()
    rates = [step / 1000 for step in range(1, 101)]
    controlled = [{}, {"parameter_matched": True}]
    runs = planned(asked(grid={"seed": list(range(5)), "learning_rate": rates}, variant=controlled))
    Study(StudyFolder(tmp_path), "tiny", runs, VERSIONS).write()
    states = Study.open(tmp_path).states()
    assert time.process_time() - begun < 5
    assert [state.state for state in states] == ["waiting"] * 1000
    assert len({run.id for run in runs}) == 1000
    assert len(opened) == 1


def test_settings_that_have_no_parts_are_told_by_their_axis(asked: Any) -> None:
    with pytest.raises(ConfigError, match=r"study: trainer\.bf16\.x: trainer\.bf16 is True, not a table"):
        planned(asked(set={"trainer.bf16": True}, grid={"trainer.bf16.x": [1]}))


def test_a_table_of_runs_holds_nothing_that_a_terminal_obeys(
    asked: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    runs = planned(asked(set={"max_steps": 1}))
    study = Study(StudyFolder(tmp_path / "study"), "n\x1b[31m[/b]", runs, VERSIONS)
    study.write()
    study.note(runs[0].id, "no \x1b[2J\x9b1m \u202egnp", 1)
    for form in ([], ["--json"]):
        monkeypatch.setattr("sys.argv", ["howfar", "study", "status", str(tmp_path / "study"), *form])
        with pytest.raises(SystemExit):
            cli.main()
        said = capsys.readouterr().out
        assert harmless_lines(said) == said
        assert "u202egnp" in said
    assert json.loads(said)[0]["error"] == "no \x1b[2J\x9b1m \u202egnp"


def test_a_bar_of_any_name_is_drawn_as_it_is() -> None:
    console = Console(file=io.StringIO(), force_terminal=True)
    with bars_on(console) as bars:
        bars.add_task("[/b] [red]a")
    assert "[/b] [red]a" in console.file.getvalue()  # type: ignore[attr-defined]
