"""`howfar report`, from arguments to a page."""

import re
from pathlib import Path

import pytest


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Texts to measure on, in the folder that commands run in."""
    texts = [f"The keeper of light {number} saw {number * 7} ships, and slept." for number in range(12)]
    (tmp_path / "text.txt").write_text("\n\n".join(texts), encoding="utf-8")
    (tmp_path / "taken").write_text("", encoding="utf-8")
    return tmp_path


def test_it_writes_a_page_and_tables(run, model_folder: Path, files: Path):
    arguments = ["--text", "text.txt", "--measure", "increments", "--measure", "vocabulary", "--tables", "tables"]
    code, out, err = run("report", str(model_folder), *arguments)
    assert (code, err) == (0, "")
    assert out == "The report is in report.html\n2 tables are in tables\n"
    page = (files / "report.html").read_text(encoding="utf-8")
    assert page.lower().startswith("<!doctype html")
    assert '<section id="increments">' in page
    assert {path.name for path in (files / "tables").iterdir()} == {
        "tiny-increments.parquet",
        "tiny-vocabulary.parquet",
    }


def test_what_cannot_be_measured_is_in_the_page(run, model_folder: Path, files: Path):
    code, _, err = run("report", str(model_folder), "--measure", "increments", "-o", "x.html")
    assert (code, err) == (0, "")
    page = (files / "x.html").read_text(encoding="utf-8")
    assert "Not measured: increments needs text; give --corpus FOLDER or --text FILE." in page


def test_the_published_table_of_code_stands_beside_the_measured_one(run, model_folder: Path, files: Path):
    (files / "code.txt").write_text("\n\n".join(["def f(x):\n    return x + 1"] * 12), encoding="utf-8")
    arguments = ["--text", "code.txt", "--measure", "increments", "--classes", "code"]
    code, _, err = run("report", str(model_folder), *arguments)
    assert (code, err) == (0, "")
    page = (files / "report.html").read_text(encoding="utf-8")
    assert "mean increment of brackets, in code" in page
    (files / "study.json").touch()
    code, _, err = run("report", ".", "--classes", "code")
    assert (code, err) == (2, "error: the page of a study compares no classes of tokens; leave out --classes\n")
    for option, value in {"corpus": "c", "measure": "attention", "tables": "tables", "seed": "1"}.items():
        code, _, err = run("report", str(files), f"--{option}", value)
        assert code == 2
        assert re.match(f"error: the page of a study .*; leave out .*--{option}", err)


def test_a_study_is_reported_alone_and_with_one_text(run, model_folder: Path, files: Path):
    (files / "study.json").touch()
    for models in ([".", "."], [".", str(model_folder)], [str(model_folder), "."]):
        code, _, err = run("report", *models)
        assert (code, err) == (2, "error: . is a study, which is reported alone; leave out what else is named\n")
    code, _, err = run("report", ".", "--text", "text.txt", "--text", "text.txt")
    assert (code, err) == (2, "error: the page of a study draws one text; give --text once\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("no-such-model --text text.txt", "no-such-model"),
        ("{model} --text nowhere.txt", "nowhere.txt cannot be read (No such file or directory)"),
        ("{model} --corpus nowhere", "there is no folder nowhere"),
        ("{model} --gold nowhere.txt", "nowhere.txt cannot be read"),
        ("{model} --measure increment", "there is no measure 'increment'; did you mean increments"),
        ("{model} -o report.pdf", "'report.pdf' ends in '.pdf'; a report is a web page: end it in .html"),
        ("{model} -o nowhere/report.html", "there is no folder nowhere; make it, or choose another"),
        ("{model} --tables taken", "taken is a file; choose another name"),
        ("{model} --tables nowhere/tables", "there is no folder nowhere; make it, or choose another"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(run, model_folder: Path, files: Path, arguments: str, said: str):
    before = set(files.iterdir())
    code, _, err = run("report", *arguments.format(model=model_folder).split())
    assert code == 2, err
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert set(files.iterdir()) == before
