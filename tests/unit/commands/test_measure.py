"""`howfar measure`, from arguments to tables and pictures."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import polars.selectors as cs
import pytest

from howfar.measures.registry import MEASURES
from howfar.models.loading import save
from howfar.text.tokenizer import byte_tokenizer
from support.copying import copying_model
from support.models import tiny

GOLD = [["一唐", "七唑"], ["丁", "一唯", "七"], ["一唐", "丁"]] * 4


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Texts and a gold segmentation to measure on, in the folder that commands run in."""
    texts = [f"The keeper of light {number} saw {number * 7} ships, and slept." for number in range(12)]
    (tmp_path / "text.txt").write_text("\n\n".join(texts), encoding="utf-8")
    (tmp_path / "gold.txt").write_text("\n".join(" ".join(words) for words in GOLD), encoding="utf-8")
    return tmp_path


def test_without_a_name_it_lists_the_measures(run):
    code, out, err = run("measure")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines if line and line.split()[0] in MEASURES] == list(MEASURES)
    assert lines[-1].startswith("For example: howfar measure")


def test_a_table_with_intervals_and_notes_is_printed(run, model_folder: Path, files: Path):
    code, out, err = run("measure", "increments", "--text", "text.txt", "--model", str(model_folder))
    assert (code, err) == (0, "")
    assert out.startswith("Mean increment, positions; ±: 95% interval")
    assert "lowercase" in out
    assert " ±" in out
    assert out.splitlines()[-1].startswith(f"{model_folder.name} · text.txt · n = 12 documents · seed 0 · howfar ")
    assert "not measurable: Chinese lead occurs in none of the texts\n" in out
    assert set(files.iterdir()) == {files / "text.txt", files / "gold.txt"}


def test_long_tables_are_cut_in_the_terminal_and_whole_in_the_file(run, model_folder: Path, files: Path):
    code, out, _ = run("measure", "vocabulary", "--model", str(model_folder), "-o", "v.csv")
    assert code == 0
    assert "These are 20 of 257 rows; --csv prints all of them." in out
    assert out.splitlines()[-1] == "The table is in v.csv"
    table = pl.read_csv(files / "v.csv")
    assert len(table) == 257
    assert table["drift"].abs().is_sorted(descending=True)


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_tables_hold_the_same_in_every_format(run, model_folder: Path, files: Path, ending: str):
    name = f"table.{ending}"
    arguments = ["measure", "gap_effects", "--text", "text.txt", "--sample", "5", "--model", str(model_folder)]
    assert run(*arguments, "-o", name)[0] == 0
    readers: dict[str, Callable[[Path], pl.DataFrame]] = {
        "csv": pl.read_csv,
        "parquet": pl.read_parquet,
        "json": lambda path: pl.DataFrame(json.loads(path.read_text(encoding="utf-8"))),
    }
    table = readers[ending](files / name)
    assert len(table) == 2 * 10  # two layers; pairs of five tokens
    assert table["predicted_piece"][-1] == "k"
    assert table["nats_per_position"].is_not_null().all()


def test_several_processes_read_and_say_the_same(run, model_folder: Path, files: Path):
    # `run` stays in this process, which the others ask for their main module.
    command = ("measure", "contexts", "--text", "text.txt", "--model", str(model_folder), "--csv")
    alone = run(*command)
    assert alone[0] == 0
    assert run(*command, "--workers", "2") == alone
    code, out, err = run(*command, "--workers", "0")
    assert (code, out) == (2, "")
    assert err.startswith("error: Invalid value for '--workers': Input should be greater than or equal to 1; see")
    assert run(*command, "--ray", "nowhere")[::2] == (
        2,
        "error: --ray 'nowhere' is not an address; give HOST:PORT, ray://HOST:PORT, or none\n",
    )


def test_a_mark_is_refused_where_no_document_is_read_and_looked_for_where_one_is(run, model_folder: Path, files: Path):
    code, _, err = run("measure", "vocabulary", "--model", str(model_folder), "--mark", "a")
    assert code == 2
    assert err == "error: vocabulary reads no document, so there is no mark before one; leave out --mark\n"
    code, _, err = run("measure", "pairs", "--model", str(model_folder), "--mark", "no such token")
    assert code == 2
    assert "no such token" in err


@pytest.mark.parametrize(
    ("ending", "magic"), [("html", b"<!doctype html"), ("svg", b"<svg"), ("png", b"\x89PNG"), ("pdf", b"%PDF")]
)
def test_pictures_in_every_format(run, model_folder: Path, files: Path, ending: str, magic: bytes):
    name = f"picture.{ending}"
    code, out, err = run("measure", "vocabulary", "--model", str(model_folder), "-o", name)
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == f"The picture is in {name}"
    assert (files / name).read_bytes().lstrip()[: len(magic)].lower() == magic.lower()


def test_boundaries_from_gold_and_by_rule(run, model_folder: Path, files: Path):
    options = ["--model", str(model_folder), "-o", "b.parquet"]
    code, out, err = run("measure", "boundaries", "--gold", "gold.txt", *options)
    assert (code, err) == (0, "")
    assert "not measurable: no training corpus (4 rows)" in out
    table = pl.read_parquet(files / "b.parquet")
    assert set(table["target"]) == {"chinese-words"}
    assert table["num_gaps"].max() == sum(len("".join(words)) - 1 for words in GOLD)
    code, _, err = run("measure", "boundaries", "--text", "text.txt", "--target", "words", *options)
    assert (code, err) == (0, "")
    assert set(pl.read_parquet(files / "b.parquet")["target"]) == {"words"}


@pytest.mark.parametrize("name", ["attention", "interventions", "extrapolation"])
def test_other_measures_of_texts(run, files: Path, name: str):
    save(copying_model(max_position_embeddings=8), files / "model")
    text = ["--text", "text.txt", "--sample", "12"]
    code, _, err = run("measure", name, *text, "--model", "model", "-o", "x.parquet")
    assert (code, err) == (0, "")
    assert len(pl.read_parquet(files / "x.parquet"))


def test_a_field_of_a_table_of_texts_may_be_named(run, model_folder: Path, files: Path):
    rows = [{"body": f"{number} " + "abcdefgh" * 4} for number in range(12)]
    (files / "body.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    arguments = ["measure", "increments", "--model", str(model_folder), "--sample", "12", "--text"]
    code, _, err = run(*arguments, "body.jsonl:body")
    assert (code, err) == (0, "")
    code, _, err = run(*arguments, "body.jsonl")
    assert (code, err.rpartition("; ")[2]) == (2, "name it: body.jsonl:FIELD\n")
    code, _, err = run(*arguments, "none.jsonl:body")
    assert (code, err) == (
        2,
        "error: none.jsonl:body cannot be read (No such file or directory); name an existing file\n",
    )


@pytest.mark.parametrize("name", ["interventions", "sensitivity"])
def test_changes_of_some_layers(run, files: Path, name: str):
    save(copying_model(blind_second_layer=True, max_position_embeddings=256), files / "model")
    (files / "long.txt").write_text("\n\n".join(f"{n} " + "abcdefgh" * 40 for n in range(12)), encoding="utf-8")
    arguments = ["measure", name, "--text", "long.txt", "--sample", "12", "--model", "model", "-o", "x.parquet"]
    code, _, err = run(*arguments, "--layer", "1")
    assert (code, err) == (0, "")
    assert pl.read_parquet(files / "x.parquet")["layer"].drop_nulls().unique().to_list() == [1]
    code, _, err = run(*arguments, "--layer", "2")
    assert (code, err) == (2, "error: layer 2 has no rotary positions to change; choose from 0, 1\n")


def test_neutrality(run, model_folder: Path, plain_folder: Path, files: Path):
    arguments = ["neutrality", "--text", "text.txt", "--model", str(model_folder), "--against", str(plain_folder)]
    code, _, err = run("measure", *arguments, "-o", "x.parquet")
    assert (code, err) == (0, "")
    assert len(pl.read_parquet(files / "x.parquet"))


def test_pairs_of_ones_own(run, model_folder: Path, files: Path):
    rows = [f"red{n},river{n},place" for n in range(12)]
    (files / "pairs.csv").write_text("\n".join(["first,second,type", *rows]), encoding="utf-8")
    code, _, err = run("measure", "pairs", "--pairs", "pairs.csv", "--model", str(model_folder), "-o", "x.parquet")
    assert (code, err) == (0, "")
    assert pl.read_parquet(files / "x.parquet")["n"].max() == 12


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("increment --text text.txt", "there is no measure 'increment'; did you mean increments"),
        ("increments", "increments needs text; give --corpus FOLDER or --text FILE"),
        ("boundaries", "boundaries needs a gold segmentation or text; give --gold FILE or --corpus FOLDER or --text"),
        ("increments --corpus nowhere", "there is no folder nowhere; make a corpus with"),
        ("increments --corpus here --text text.txt", "give either --corpus FOLDER or --text FILE, not both"),
        ("increments --text nowhere.txt", "nowhere.txt cannot be read (No such file or directory)"),
        ("increments --text empty.txt", "there is no text in the files"),
        ("increments --text bad.txt", "bad.txt is not UTF-8"),
        ("increments --text text.txt --target words", "increments does not use a target; leave out --target NAME"),
        ("pairs --text text.txt", "pairs does not use text; leave out --text FILE"),
        ("attention --text text.txt --training-length 8", "does not use a training length; leave out --training-l"),
        ("attention --text text.txt --layer 0", "attention does not use layers; leave out --layer NUMBER"),
        ("vocabulary --text text.txt", "vocabulary does not use text; leave out --text FILE"),
        ("increments --text text.txt --classes words", "'words' is not one of 'text', 'code'"),
        ("increments --text text.txt --sample 0", "increments cannot sample 0 documents; give 1 or more"),
        ("increments --text text.txt --sample 9", "9 documents with text give no interval; give at least 10"),
        ("increments --text text.txt -o x.xlsx", "'x.xlsx' ends in '.xlsx'; end it in .csv, .parquet, .json"),
        ("increments --text text.txt -o x", "'x' has no ending; end it in .csv"),
        ("increments --text text.txt -o nowhere/x.csv", "there is no folder nowhere; make it, or choose another"),
        ("increments --text text.txt -o folder.csv", "folder.csv cannot be written: it is a folder"),
        ("boundaries --text text.txt", "no document has two Chinese characters side by side"),
        ("boundaries --gold gold.txt --text text.txt", "either from --gold FILE or, by rule, from --text FILE"),
        ("boundaries --gold nowhere.txt", "nowhere.txt cannot be read (No such file or directory)"),
        ("boundaries --gold one.txt", "give labels of both"),
        ("boundaries --gold few.txt", "3 documents give no interval; give at least 10"),
        ("boundaries --gold bad.conllu", "line 1 of bad.conllu is not CoNLL-U"),
        ("boundaries --gold other.conllu", "give the segmentation of this text"),
        ("segmentation --text text.txt", "segmentation needs a gold segmentation; give --gold FILE"),
        ("segmentation --gold few.txt", "3 documents are too few to hold some out; give at least 10"),
        ("segmentation --gold bad.conllu", "line 1 of bad.conllu is not CoNLL-U"),
        ("information --gold gold.txt", "have no labels; give sentences in CoNLL-U"),
        ("information --text text.txt", "give --gold FILE.conllu, or --text FILE --classes code"),
        ("information --gold bad.conllu", "line 1 of bad.conllu is not CoNLL-U"),
        ("boundaries --gold gold.txt --target phrases", "'phrases' is not one of 'chinese-words', 'words'"),
        ("pairs --language de", "'de'"),
        ("pairs --pairs nowhere.csv", "nowhere.csv"),
        ("neutrality --text text.txt", "neutrality needs models to compare with; give --against MODEL"),
        ("neutrality --text text.txt --against no-such-model", "no-such-model"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, model_folder: Path, files: Path, arguments: str, said: str):
    (files / "empty.txt").write_text("\n\n", encoding="utf-8")
    (files / "bad.txt").write_bytes(b"ok \xff")
    (files / "one.txt").write_text("一\n" + "一唐七唑\n" * 12, encoding="utf-8")
    (files / "few.txt").write_text("一唐 七唑\n" * 3, encoding="utf-8")
    (files / "bad.conllu").write_text("no such thing\n", encoding="utf-8")
    words = "".join(f"{i}\t{word}\t_\t_\t_\t_\t_\t_\t_\t_\n" for i, word in enumerate(["一唐", "七"], start=1))
    (files / "other.conllu").write_text(f"# text = 一唐丁\n{words}\n", encoding="utf-8")
    (files / "folder.csv").mkdir()
    before = set(files.iterdir())
    code, _, err = run("measure", *arguments.split(), "--model", str(model_folder))
    assert code == 2, err
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert set(files.iterdir()) == before


def test_a_model_without_increments_is_refused_where_they_are_asked_about(run, plain_folder: Path, files: Path):
    for name in ("increments", "contexts"):
        code, _, err = run("measure", name, "--text", "text.txt", "--model", str(plain_folder))
        assert (code, err.count("\n")) == (2, 1)
        assert "increments" in err


@pytest.fixture
def long_texts(files: Path) -> list[str]:
    (files / "long.txt").write_text("\n\n".join(f"{'abc de ' * 60}{n}" for n in range(12)), encoding="utf-8")
    return ["--text", "long.txt", "--model", "model", "--sample", "12"]


@pytest.mark.parametrize("name", ["attention", "interventions", "gap_effects", "sensitivity"])
def test_a_plain_model_is_measured_and_drawn_where_no_increments_are_needed(
    run, files: Path, long_texts: list[str], name: str
):
    save(copying_model(increments=None), files / "model")
    for output in ("x.csv", "x.svg"):
        code, _, err = run("measure", name, *long_texts, "-o", output)
        assert (code, err) == (0, "")
        assert (files / output).stat().st_size


@pytest.mark.parametrize("architecture", ["llama", "qwen3", "gemma3_text", "gpt_neox"])
def test_plain_models_of_any_architecture_are_measured_as_they_are(
    run, files: Path, long_texts: list[str], architecture: str
):
    tiny(architecture, vocab_size=257, max_position_embeddings=48).save_pretrained(files / "model")
    byte_tokenizer().save_pretrained(files / "model")
    for name in ("attention", "interventions", "gap_effects", "sensitivity", "extrapolation"):
        code, _, err = run("measure", name, *long_texts, "-o", "x.parquet")
        assert (code, err) == (0, "")
        table = pl.read_parquet(files / "x.parquet")
        assert len(table)
        assert table.select((cs.float().is_null() | cs.float().is_finite()).all()).row(0).count(False) == 0
        if MEASURES[name].value:
            assert table["value"].null_count() < len(table)
            assert table.filter(pl.col("value").is_null())["note"].null_count() == 0
    code, out, err = run("show", "--model", "model", "abc de")
    assert (code, err) == (0, "")
    assert "Plain positions: every step is 1" in out


def test_what_has_no_number_is_not_drawn_but_may_be_written(run, model_folder: Path, files: Path):
    arguments = ["measure", "extrapolation", "--text", "text.txt", "--model", str(model_folder)]
    code, _, err = run(*arguments, "-o", "x.svg")
    assert code == 2
    assert "there is nothing to draw: not measurable:" in err
    assert err.rstrip().endswith("; give more text, or end the name in .csv")
    assert not (files / "x.svg").exists()
    assert run(*arguments, "-o", "x.csv")[0] == 0
    assert "not measurable" in (files / "x.csv").read_text(encoding="utf-8")


def test_a_full_disk_leaves_the_table_of_before(run, model_folder: Path, files: Path, monkeypatch: pytest.MonkeyPatch):
    (files / "x.csv").write_text("before", encoding="utf-8")

    def full(table: pl.DataFrame, file: Path) -> None:
        file.write_text("half", encoding="utf-8")
        raise OSError("No space left on device (os error 28)")  # as Polars says it

    monkeypatch.setattr(pl.DataFrame, "write_csv", full)
    code, _, err = run("measure", "vocabulary", "--model", str(model_folder), "-o", "x.csv")
    assert code == 2
    assert "x.csv cannot be written (No space left on device); choose another place" in err
    assert (files / "x.csv").read_text(encoding="utf-8") == "before"
    assert {path.name for path in files.iterdir()} == {"x.csv", "text.txt", "gold.txt"}


def test_boundaries_are_looked_for_in_many_texts_rather_than_in_long_ones(run, model_folder: Path, files: Path):
    (files / "long.txt").write_text("\n\n".join(["The keeper slept. " * 100] * 30), encoding="utf-8")
    options = ["--text", "long.txt", "--target", "words", "--sample", "500", "--model", str(model_folder)]
    code, _, err = run("measure", "boundaries", *options, "-o", "x.parquet")
    assert (code, err) == (0, "")
    assert pl.read_parquet(files / "x.parquet").filter(score="entropy", quantity="auc")["n"].item() >= 10


def test_increments_of_classes_of_code(run, model_folder: Path, files: Path):
    (files / "code.txt").write_text("\n\n".join(["def f(x):\n    return x + 1"] * 12), encoding="utf-8")
    options = ["--text", "code.txt", "--classes", "code", "--model", str(model_folder)]
    assert run("measure", "increments", *options, "-o", "x.parquet")[0] == 0
    assert {"bracket", "operator", "indentation"} <= set(pl.read_parquet(files / "x.parquet")["class"])


def test_a_claim_is_written_before_and_checked_after(run, model_folder: Path, files: Path):
    asked = ("measure", "increments", "--text", "text.txt", "--model", str(model_folder), "--register", "claim.json")
    parts = ("--claim", "class=lowercase", "--claim", "over=text", "--claim", "layer=0", "--claim", "head=0")
    parts = (*parts, "--claim", "value<1000")
    code, _, err = run(*asked)
    assert (code, err.count("there is no file claim.json; write it with")) == (2, 1)
    code, out, err = run(*asked, *parts)
    assert (code, out, err) == (0, "The claim is in claim.json; the same command without --claim checks it\n", "")
    code, out, _ = run(*asked, "--seed", "1")
    assert (code, out) == (2, "")
    code, out, err = run(*asked)
    assert (code, err) == (0, "")
    assert "The claim holds: class=lowercase, over=text, layer=0, head=0, value<1000; found " in out
    assert run("measure", "increments", "--text", "text.txt", *parts)[0] == 2


@pytest.mark.parametrize("format", ["--json", "--csv", "table.csv", "table.parquet", "table.json"])
def test_models_of_one_name_are_told_apart_without_their_local_folder(
    run, plain_folder: Path, files: Path, tmp_path: Path, format: str
):
    places = [shutil.copytree(plain_folder, tmp_path / seed / "mine") for seed in ("one", "two")]
    models = [part for place in places for part in ("-m", str(place))]
    output = [format] if format.startswith("-") else ["-o", format]
    code, out, err = run("measure", "extrapolation", "--text", "text.txt", *models, *output)
    assert code == 0
    table = out
    if format == "table.parquet":
        table = pl.read_parquet(format).write_csv()
    elif output[0] == "-o":
        table = Path(format).read_text(encoding="utf-8")
    assert str(tmp_path) not in table + out + err
    assert "one/mine" in table
    assert "two/mine" in table


def test_a_claim_about_several_models_is_refused(run, model_folder: Path, plain_folder: Path, files: Path):
    models = [word for folder in (model_folder, plain_folder) for word in ("-m", str(folder))]
    for option in (["--claim", "mean>1"], ["--register", "claim.json"]):
        code, _, err = run("measure", "attention", "--text", "text.txt", *models, *option)
        assert code == 2
        assert "a claim is about one model; give one --model" in err


def test_several_models_stand_by_themselves_and_together(run, model_folder: Path, plain_folder: Path, files: Path):
    asked = ("measure", "extrapolation", "--text", "text.txt", "-m", str(model_folder), "-m", str(plain_folder))
    code, out, err = run(*asked, "--json")
    assert (code, err) == (0, "")
    rows = json.loads(out)
    assert {row["model"] for row in rows} == {"all models", "tiny", "plain"}
    together = [row for row in rows if row["model"] == "all models" and row["value"] is not None]
    for row in together:
        assert row["n"] == 2
        assert row["low"] <= row["value"] <= row["high"]
        assert 0 <= row["seed_share"] <= 1
    assert run(*asked, "-o", "picture.svg")[0] == 2
    assert run(*asked[:-2], "-m", str(model_folder))[0] == 2
