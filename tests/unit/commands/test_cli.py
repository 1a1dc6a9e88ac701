import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest

from howfar.charts import rows as charts_rows
from howfar.charts.spacing import colours, scales
from howfar.commands import corpus, graft, show
from howfar.corpus import selection
from howfar.models import bundled
from howfar.training import graft_recipe


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_help_does_not_wait_for_heavy_packages():
    heavy = "('torch', 'transformers', 'altair', 'polars', 'scipy')"
    result = python(f"import sys, howfar.cli; print([name for name in {heavy} if name in sys.modules])")
    assert result.stdout.strip() == "[]", result.stderr


def test_choices_are_those_that_the_library_takes():
    for ours, theirs in (
        (show.Scale, charts_rows.Scale),
        (show.Colour, colours.Colour),
        (show.Rows, scales.Rows),
        (corpus.Balance, selection.Balance),
        (graft.Trained, graft_recipe.Trained),
    ):
        assert get_args(ours) == get_args(theirs)


def test_it_says_its_version(run):
    assert run("--version")[1].strip() == f"howfar {version('howfar')}"


def test_every_command_has_help_with_an_example_or_none_to_give(run):
    for command in ("show", "models", "train", "recipes", "graft", "explore", "corpus build"):
        code, out, _ = run(*command.split(), "--help")
        assert code == 0
        assert "Usage" in out


def test_an_unknown_option_exits_with_2(run):
    code, _, err = run("show", "x", "--colr", "gap")
    assert (code, err.count("\n")) == (2, 1)
    assert err.startswith("error: No such option: --colr")


def test_nothing_at_all_shows_the_help(run):
    code, out, err = run()
    assert code == 2
    assert "Usage" in out + err
    assert "error" not in err


def test_what_nobody_foresaw_is_one_line_too(run, monkeypatch: pytest.MonkeyPatch):
    def fails() -> list[bundled.BundledModel]:
        raise RuntimeError("the roof\nfell in")

    monkeypatch.setattr(bundled, "bundled_models", fails)
    code, _, err = run("models")
    assert code == 2
    assert err == "error: RuntimeError: the roof fell in (run `howfar --debug …` for the traceback)\n"


def test_debug_shows_the_traceback(run):
    with pytest.raises(Exception, match="no-such-model"):
        run("--debug", "show", "x", "--model", "no-such-model")


def test_models_lists_what_lies_in_the_folder(run, model_folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(bundled, "FOLDER", model_folder.parent)
    assert "tiny" in run("models")[1]
    assert [model["name"] for model in json.loads(run("models", "--json")[1])] == ["tiny"]


def test_recipes_lists_those_of_the_package(run):
    shown = dict(line.split(maxsplit=1) for line in run("recipes")[1].splitlines() if line.startswith("  "))
    assert shown["published-per-layer-per-head"] == "learned steps, per head, per layer"
    assert shown["small-rope"] == "plain positions"
    assert "graft-lora" in shown
    listed = {recipe["name"]: recipe for recipe in json.loads(run("recipes", "--json")[1])}
    assert listed.keys() == shown.keys()
    assert listed["graft-lora"]["kind"] == "graft"


def test_a_corpus_is_built_and_trained_on(run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("\n\n".join(f"Document {i}\nsome words {i}" for i in range(40)), encoding="utf-8")
    code, out, err = run("corpus", "build", "made", "--source", "a.txt", "--held-out-documents", "10")
    assert code == 0, err
    assert out.splitlines()[0].startswith("train: 30 documents")
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    settings = [f"model.{name}={value}" for name, value in {**sizes, "max_position_embeddings": 16}.items()]
    settings += ["trainer.max_steps=2", "trainer.logging_steps=1", "trainer.eval_steps=2", "trainer.save_steps=2"]
    settings += ['trainer.lr_scheduler_type="constant"', "trainer.lr_scheduler_kwargs={}"]
    options = [part for setting in settings for part in ("--set", setting)]
    code, out, err = run("train", "small-per-layer", "--corpus", "made", "-o", "out", *options)
    assert code == 0, err
    assert "howfar show --model out" in out
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_a_corpus_is_built_by_several_processes(run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("\n\n".join(f"Document {i}\nsome words {i}" for i in range(40)), encoding="utf-8")
    command = ("corpus", "build", "--source", "a.txt", "--held-out-documents", "10")
    alone = run(*command, "alone")
    assert alone[0] == 0
    assert run(*command, "by_two", "--workers", "2") == alone
    made = [{file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("alone", "by_two")]
    assert made[0] == made[1]
    for wrong, said in (
        (("--ray", "--workers", "0"), "Invalid value for '--workers': Input should be greater than or equal to 1; see"),
        (("--ray", "nowhere"), "--ray 'nowhere' is not an address; give HOST:PORT, ray://HOST:PORT, or none"),
    ):
        code, out, err = run(*command, "refused", *wrong)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"error: {said}")
    assert not any("refused" in path.name for path in tmp_path.iterdir())


def test_a_missing_source_and_recipe_are_named(run):
    code, _, err = run("corpus", "build", "made", "--source", "nowhere.txt")
    assert (code, err.count("\n")) == (2, 1)
    assert "nowhere.txt" in err
    code, _, err = run("train", "no-such-recipe")
    assert (code, err.count("\n")) == (2, 1)
    assert "no-such-recipe" in err


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("trainer.max_step=2", "did you mean 'max_steps'?"),
        ("modle.hidden_size=3", "did you mean 'model'?"),
        ("max_stpes=3", "a recipe has no such option; did you mean trainer.max_steps"),
        ("hidden_size=3", "[model] and [increments] have it; write model.hidden_size"),
        ("model.hidden_size=0", "hidden_size is 0; it must be a whole number of at least 1"),
        ("model.num_attention_heads=3", "is not a multiple of the number of attention heads"),
        ("increments.max_increment=0.5", "it must be a number greater than 1"),
        ("seed", "is not KEY=VALUE"),
    ],
)
def test_an_impossible_recipe_is_one_line_and_leaves_nothing(run, tmp_path: Path, setting: str, said: str):
    code, out, err = run("train", "small-per-layer", "-o", "out", "--set", setting)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert not (tmp_path / "out").exists()
