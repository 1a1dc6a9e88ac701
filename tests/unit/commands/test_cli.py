import json
import shlex
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


def test_python_runs_it_as_a_module(run):
    command = [sys.executable, "-m", "howfar", "--version"]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == run("--version")[1]


def test_every_command_has_help_with_an_example_or_none_to_give(run):
    for command in ("show", "models", "train", "recipes", "graft", "explore", "corpus build"):
        code, out, _ = run(*command.split(), "--help")
        assert code == 0
        assert "Usage" in out


def test_flags_are_shown_without_a_type(run):
    for group in ((), ("corpus",), ("study",)):
        assert "<bool>" not in run(*group, "--help")[1]


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


@pytest.mark.parametrize("command", [["models"], ["--version"]])
def test_no_room_for_what_is_printed_is_one_line(command: list[str]):
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        run = [sys.executable, "-m", "howfar", *command]
        result = subprocess.run(run, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert result.returncode == 2
    assert result.stderr.startswith("error: ")
    assert "written (No space left on device); " in result.stderr
    assert result.stderr.count("\n") == 1


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
    settings += ['trainer.lr_scheduler_type="constant"', "trainer.lr_scheduler_kwargs={}", "trainer.warmup_steps=0"]
    options = [part for setting in settings for part in ("--set", setting)]
    code, out, err = run("train", "small-per-layer", "--corpus", "made", "-o", "out", *options)
    assert code == 0, err
    assert "howfar show --model out" in out
    loss = json.loads((tmp_path / "out" / "training.json").read_text(encoding="utf-8"))["held_out"]["nats_per_byte"]
    assert out.splitlines()[0] == f"{loss:.4f} nats per byte on 10 held-out documents"
    assert (tmp_path / "out" / "model.safetensors").is_file()


def test_it_says_that_text_without_empty_lines_leaves_nothing_to_hold_out(run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("A book\nof two lines.", encoding="utf-8")
    code, out, err = run("corpus", "build", "made", "--source", "a.txt")
    assert (code, err) == (0, "")
    assert out.splitlines()[0] == "train: 1 document, 20 bytes"
    assert "No document is held out" in out.splitlines()[-1]


def test_it_says_what_a_corpus_leaves_out(run, tmp_path: Path):
    (tmp_path / "a.txt").write_text("one\nline\n\ntwo\n\nthree\n\ntwo\n", encoding="utf-8")
    (tmp_path / "windows.txt").write_bytes(b"one\r\nline\r\n\r\nthree\r\n")
    code, out, err = run("corpus", "build", "made", "--source", "a.txt,held_out=windows.txt")
    assert (code, err) == (0, "")
    assert out.splitlines() == [
        "train: 1 document, 3 bytes",
        "held out: 2 documents, 13 bytes",
        "left out: 1 document that is there already",
        "left out: 2 documents that are held out, too",
    ]
    code, out, err = run("corpus", "build", "none", "--source", "windows.txt,held_out=windows.txt")
    assert "No document is left to train on." in out.splitlines()
    code, out, err = run("corpus", "build", "few", "--source", "a.txt")
    assert out.splitlines()[-1].endswith("no loss can be measured: build it again with --held-out-documents 1 or more.")


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_line_ends_of_other_systems_change_no_number(run, tmp_path: Path, end: str):
    (tmp_path / "a.txt").write_text("Some words.\nMore.\n", encoding="utf-8")
    (tmp_path / "b.txt").write_bytes("Some words.\nMore.\n".replace("\n", end).encode())
    first, second = (json.loads(run("show", "--file", name, "--json")[1]) for name in ("a.txt", "b.txt"))
    assert first == second


def test_indirect_indexing_is_written_trained_on_and_measured(run, tmp_path: Path):
    how = ("--documents", "300", "--held-out-documents", "12", "--length", "12", "--questions", "3")
    code, out, err = run("corpus", "indexing", "texts", *how)
    assert (code, err) == (0, "")
    said, _, command = out.strip().partition("; make a corpus: howfar ")
    assert said == "The documents are in texts"
    assert run(*shlex.split(command))[0] == 0
    sizes = ("model.hidden_size=16", "intermediate_size=32", "num_hidden_layers=1", "num_attention_heads=2")
    steps = ("max_steps=2", "warmup_steps=1", "lr_scheduler_kwargs.num_decay_steps=1", "eval_strategy=no")
    options = [part for setting in (*sizes, *steps, "max_position_embeddings=64") for part in ("--set", setting)]
    assert run("train", "small-rope", "--corpus", "corpora/indexing", "-o", "out", *options)[0] == 0
    code, out, err = run("measure", "indexing", "-m", "out", "--corpus", "corpora/indexing", "-o", "indexing.csv")
    assert (code, err) == (0, "")
    assert "Share of right answers; ±: 95% interval" in out
    assert run("report", "out", "--corpus", "corpora/indexing", "--measure", "indexing")[0] == 0
    assert "accuracy of indirect indexing, one hop" in (tmp_path / "report.html").read_text(encoding="utf-8")
    again = (tmp_path / "texts" / "held_out.txt").read_bytes()
    code, _, err = run("corpus", "indexing", "texts", *how)
    assert (code, err.count("\n")) == (2, 1)
    assert "texts" in err
    assert run("corpus", "indexing", "other", *how[2:], "--documents", "5")[0] == 0
    assert (tmp_path / "other" / "held_out.txt").read_bytes() == again
    for option in ("--documents", "--held-out-documents", "--hops", "--length"):
        code, _, err = run("corpus", "indexing", "none", option, "0")
        assert (code, err.count("\n")) == (2, 1)
        assert not (tmp_path / "none").exists()


def test_subwords_from_a_text_to_a_model(run, tmp_path: Path):
    texts = [f"The keeper of lighthouse {number} counted the ships. 灯塔立在岩石上。" for number in range(60)]
    (tmp_path / "a.txt").write_text("\n\n".join(texts), encoding="utf-8")
    build = ("corpus", "build", "--source", "a.txt", "--held-out-documents", "12")
    assert run(*build, "of-bytes")[0] == 0
    code, out, err = run("corpus", "tokenizer", "bpe", "--corpus", "of-bytes", "--vocabulary", "300")
    assert (code, err) == (0, "")
    assert out.startswith("The tokenizer of 300 tokens, from ")
    code, out, err = run(*build, "made", "--tokenizer", "bpe")
    assert (code, err) == (0, "")
    assert out.startswith("Token between documents: <|endofdocument|>")
    sizes = ("model.hidden_size=16", "intermediate_size=16", "num_hidden_layers=1", "num_attention_heads=2")
    steps = ("max_steps=2", "warmup_steps=1", "lr_scheduler_kwargs.num_decay_steps=1", "save_steps=1", "eval_steps=1")
    small = [part for setting in (*sizes, *steps, "max_position_embeddings=16") for part in ("--set", setting)]
    train = ("train", "small-bpe", "--corpus", "made", *small)
    code, _, err = run(*train, "-o", "out")
    assert (code, err.count("\n")) == (2, 1)
    assert "vocab_size of 4096, but the corpus in made has 300 tokens; name another corpus, or --set" in err
    train = (*train, "--set", "model.vocab_size=300")
    assert run(*train, "-o", "out")[0] == 0
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["bos_token_id"], config["eos_token_id"], config["vocab_size"]) == (299, 299, 300)
    for command in (
        ("show", "--model", "out", "Two roads. 灯塔"),
        ("measure", "increments", "-m", "out", "--corpus", "made"),
        ("measure", "increments", "-m", "out", "--corpus", "of-bytes"),
        ("measure", "vocabulary", "-m", "out"),
    ):
        code, _, err = run(*command)
        assert (code, err) == (0, "")
    longer = (*train, "-o", "out", "--set", "max_steps=3")
    assert run(*longer)[0] == 0
    (tmp_path / "bpe").rename(tmp_path / "gone")
    code, _, err = run(*train, "-o", "other")
    assert (code, err.count("error: the tokenizer of the corpus in made cannot be read: ")) == (2, 1)
    assert run("corpus", "tokenizer", "bpe", "--corpus", "of-bytes", "--vocabulary", "299")[0] == 0
    code, _, err = run(*train, "-o", "other")
    assert (code, err.count("\n")) == (2, 1)
    assert "the corpus in made was built with another tokenizer than the one that is now in bpe; build it again" in err


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
