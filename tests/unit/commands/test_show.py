import io
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from howfar.models.loading import load
from howfar.reading import trace

TEXT = "Two cats.\n"


def test_it_prints_the_layers_and_writes_the_picture(run, model_folder: Path, tmp_path: Path):
    code, out, err = run("show", TEXT, "--model", str(model_folder))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split("  ")[0] for line in lines[:3]] == ["plain", "layer 0", "layer 1"]
    assert lines[0].replace(" ", "").endswith("Two␣cats.⏎")
    assert lines[-1] == "The picture is in howfar.html"
    assert (tmp_path / "howfar.html").read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")


@pytest.mark.parametrize(("name", "magic"), [("x.svg", b"<svg"), ("x.png", b"\x89PNG"), ("x.pdf", b"%PDF")])
def test_the_ending_decides_the_format(run, model_folder: Path, tmp_path: Path, name: str, magic: bytes):
    assert run("show", TEXT, "--model", str(model_folder), "-o", name)[0] == 0
    assert (tmp_path / name).read_bytes().startswith(magic)


def test_json_holds_the_traces_numbers_to_the_last_digit(run, model_folder: Path, tmp_path: Path):
    code, out, _ = run("show", TEXT, "--model", str(model_folder), "--json")
    numbers, expected = json.loads(out), trace(load(model_folder), TEXT)
    assert code == 0
    assert numbers["increments"] == expected.increments.tolist()
    assert numbers["positions"] == expected.positions.tolist()
    assert numbers["surprisal_nats"] == expected.surprisal_nats.tolist()
    assert list(tmp_path.iterdir()) == []


def test_the_text_may_come_from_a_file_or_from_standard_input(
    run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    from_file = run("show", "--file", "text.txt", "--model", str(model_folder), "--json")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TEXT.encode())))
    from_input = run("show", "-", "--model", str(model_folder), "--json")
    assert from_file == from_input == run("show", TEXT, "--model", str(model_folder), "--json")


@pytest.mark.parametrize("text", ["a\x00b", "👩‍👩‍👧 é", "שלום עולם", "中", "a" * 2000])
def test_unusual_texts_are_drawn(run, model_folder: Path, text: str):
    assert run("show", text, "--model", str(model_folder), "-o", "x.html")[0] == 0


def write_invalid_utf8() -> list[str]:
    Path("bad.txt").write_bytes(b"ok \xff")
    return ["--file", "bad.txt"]


def write_long_text() -> list[str]:
    Path("long.txt").write_text("a" * 60_000, encoding="utf-8")
    return ["--file", "long.txt"]


def make_folder_for_picture() -> list[str]:
    Path("folder.svg").mkdir()
    return [TEXT, "-o", "folder.svg"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (lambda: [], "show needs one text"),
        (lambda: [TEXT, "--file", "x.txt"], "show needs one text"),
        (lambda: [""], "the text is empty"),
        (lambda: ["lone \udc80"], "lone surrogate"),
        (lambda: ["--file", "missing.txt"], "missing.txt cannot be read (No such file or directory)"),
        (write_invalid_utf8, "bad.txt is not UTF-8 (byte 0xff at 3)"),
        (write_long_text, "has 60,000 characters and a picture holds 50,000"),
        (lambda: [TEXT, "-o", "x.gif"], "no kind of picture"),
        (lambda: [TEXT, "-o", "nowhere/x.svg"], "there is no folder nowhere"),
        (make_folder_for_picture, "folder.svg cannot be written: it is a folder; choose another name"),
        (lambda: ["--file", "."], ". cannot be read (Is a directory); give a text file"),
        (lambda: [TEXT, "--layer", "7"], "there is no layer 7"),
        (lambda: [TEXT, "--head", "7"], "there is no head 7"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    run, model_folder: Path, tmp_path: Path, arguments: Callable[[], list[str]], said: str
):
    given = arguments()
    before = set(tmp_path.iterdir())
    code, _, err = run("show", *given, "--model", str(model_folder))
    assert code == 2
    assert err.startswith("error: ")
    assert said in err
    assert err.count("\n") == 1
    assert set(tmp_path.iterdir()) == before


def cut_short(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def disguised(folder: Path) -> None:
    torch.save({"weight": torch.ones(1)}, folder / "model.safetensors")


def of_another_size(folder: Path) -> None:
    configure(folder, hidden_size=32)


def of_no_size(folder: Path) -> None:
    configure(folder, hidden_size=-3)


def of_no_known_kind(folder: Path) -> None:
    configure(folder, model_type="mystery")


def with_a_bound_of_its_own(folder: Path) -> None:
    configure(folder, increments={"bound": "tanh"})


def without_sense(folder: Path) -> None:
    (folder / "config.json").write_text("{", encoding="utf-8")


def without_numbers(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.increments.output.bias"].fill_(float("nan"))
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def configure(folder: Path, **values: object) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text(encoding="utf-8")), **values}), encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (cut_short, "model.safetensors is damaged or cut short"),
        (pickled, "are pickled (pytorch_model.bin), and unpickling can run any code, so it is never done"),
        (disguised, "model.safetensors is damaged or cut short"),
        (of_another_size, "has another shape and 27 more; use the weights and the configuration that belong together"),
        (of_no_size, "The hidden size (-3) is not a multiple"),
        (of_no_known_kind, "cannot build a causal language model from damaged (model_type 'mystery')"),
        (with_a_bound_of_its_own, "increments: bound is 'tanh'; it must be 'softplus' or 'sigmoid' or 'signed'"),
        (without_sense, "config.json is not JSON"),
        (without_numbers, "of the model's increments are infinite or NaN (its type is float32)"),
    ],
)
def test_a_damaged_model_is_one_line_and_leaves_nothing(
    run, model_folder: Path, tmp_path: Path, damage: Callable[[Path], None], said: str
):
    shutil.copytree(model_folder, "damaged")
    damage(Path("damaged"))
    code, out, err = run("show", TEXT, "--model", "damaged", "-o", "x.svg")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith("error: ")
    assert said in err
    assert [path.name for path in tmp_path.iterdir()] == ["damaged"]


def test_a_name_that_no_file_can_have_is_no_model(run):
    code, _, err = run("show", TEXT, "--model", "x" * 300)
    assert (code, err.count("\n")) == (2, 1)
    assert "names no folder (File name too long)" in err


def test_a_long_text_is_refused_before_it_is_read(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("howfar.models.loading.load", None)
    assert "a picture holds 50,000" in run("show", "--file", *write_long_text()[1:])[2]


def test_an_unknown_model_is_named(run):
    code, _, err = run("show", TEXT, "--model", "no-such-model")
    assert code == 2
    assert "no-such-model" in err
    assert err.count("\n") == 1


def test_a_full_disk_leaves_the_picture_of_before(
    run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "howfar.html").write_text("before", encoding="utf-8")

    def full(path: Path, content: bytes) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(Path, "write_bytes", full)
    code, _, err = run("show", TEXT, "--model", str(model_folder))
    assert code == 2
    assert "No space left on device" in err
    assert [path.name for path in tmp_path.iterdir()] == ["howfar.html"]
    assert (tmp_path / "howfar.html").read_text(encoding="utf-8") == "before"
