"""`howfar measure contexts` and `howfar measure calibration`."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from howfar.foreign import harmless_lines
from howfar.measures import calibration
from howfar.measures.calibration import Setup

SIZES = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1}
TINY = Setup(
    num_units=4,
    num_training_documents=20,
    num_documents=10,
    num_characters=30,
    model=(*SIZES.items(), ("max_position_embeddings", 64)),
    num_steps=1,
    batch_size=1,
)


@pytest.fixture
def contexts(run: Callable, model_folder: Path, tmp_path: Path) -> Callable[..., tuple[int, str, str]]:
    """`howfar measure contexts` of a small text with all that a terminal or a browser might obey."""
    texts = ["The keeper [bold]saw[/bold] <b>ships</b>\x1b[31m & slept.\nAnd \u202eagain.", *["猫坐在树上。"] * 3]
    (tmp_path / "text.txt").write_text("\n\n".join(texts), encoding="utf-8")
    return lambda *more: run("measure", "contexts", "--text", "text.txt", "--model", str(model_folder), *more)


def test_passages_are_printed_as_they_are_and_on_one_line(contexts) -> None:
    code, out, err = contexts()
    assert (code, err) == (0, "")
    assert "\x1b" not in out
    assert "\u202e" not in out
    assert re.search(r"largest +0 +[\d.]+ +\w+", out)
    assert "rows; --csv prints all of them." in out.splitlines()[-2]


@pytest.mark.parametrize("form", ["--csv", "--json"])
def test_what_a_terminal_obeys_is_printed_as_codes_in_any_form(contexts, form: str) -> None:
    code, out, _ = contexts(form)
    assert code == 0
    assert harmless_lines(out) == out
    assert "u202e" in out
    if form == "--json":
        assert any("\u202e" in str(value) for row in json.loads(out) for value in row.values())


def test_a_page_to_read(contexts, tmp_path: Path) -> None:
    assert contexts("-o", "c.html")[1].splitlines()[-1] == "The picture is in c.html"
    page = (tmp_path / "c.html").read_text(encoding="utf-8")
    assert "<mark>" in page
    assert "猫" in page
    assert "&lt;b&gt;" in page
    assert "<b>ships" not in page


def test_a_file_or_a_folder_of_files_hold_the_same(contexts, tmp_path: Path) -> None:
    assert contexts("-o", "c.parquet")[0] == 0
    code, out, err = contexts("-o", "parts")
    assert (code, err) == (0, "")
    assert out.splitlines()[-1] == "The table is in the files of parts"
    assert len(list((tmp_path / "parts").rglob("kind=largest/layer=0/*.parquet"))) == 1
    whole, parts = (pl.read_parquet(tmp_path / name) for name in ("c.parquet", "parts"))
    by = ["kind", "layer", "rank", "class", "share"]
    assert parts.select(whole.columns).sort(by).equals(whole.sort(by))
    code, _, err = contexts("-o", "parts")
    assert code == 2
    assert "parts exists already; name a new folder, or end the name in .parquet" in err
    assert not list(tmp_path.glob(".*partial"))


def test_calibration_needs_no_model_and_no_text(run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "Setup", lambda: TINY)
    code, out, err = run("measure", "calibration", "-o", "c.parquet")
    assert (code, err) == (0, "")
    assert "verdict" in out
    assert set(pl.read_parquet(tmp_path / "c.parquet")["text"]) == {"marked", "predictable", "random"}


def test_calibration_refuses_what_it_makes_no_use_of(run, model_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("text", encoding="utf-8")
    for arguments, said in (
        (["--model", str(model_folder)], "calibration trains its own models; leave out --model"),
        (["--text", "text.txt"], "calibration does not use text; leave out --text FILE"),
        (["--sample", "0"], "calibration cannot sample 0 seeds; give 1 or more"),
    ):
        code, _, err = run("measure", "calibration", *arguments)
        assert code == 2
        assert said in err
