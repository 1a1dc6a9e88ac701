import contextlib
import gzip
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Callable
from io import TextIOWrapper
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from howfar.foreign import harmless
from howfar.models.loading import load
from howfar.reading import trace

TEXT = "Two cats.\n"


def test_it_prints_the_layers_and_writes_the_picture(run, model_folder: Path, tmp_path: Path):
    code, out, err = run("show", TEXT, "--model", str(model_folder))
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].strip() == "Two cats."
    assert [line.split("  ")[0] for line in lines[1:4]] == ["plain", "layer 0", "layer 1"]
    assert lines[-1] == "The picture is in howfar.html"
    assert (tmp_path / "howfar.html").read_text(encoding="utf-8").lstrip().lower().startswith("<!doctype html")


def test_of_a_plain_model_it_says_so_and_what_there_is_to_see(run, plain_folder: Path, model_folder: Path):
    code, out, err = run("show", TEXT, "--model", str(plain_folder), "-o", "x.svg")
    assert (code, err) == (0, "")
    assert "Plain positions: every step is 1, and colours show surprisal." in out
    assert f"howfar measure sensitivity -m {plain_folder}" in " ".join(out.split())
    assert "surprisal" in Path("x.svg").read_text(encoding="utf-8")
    assert "colours show entropy" in run("show", TEXT, "--model", str(plain_folder), "--colour", "entropy")[1]
    code, out, err = run("show", TEXT, "--model", str(plain_folder), "--json")
    assert json.loads(out)["increments"][0][0][0] == 1
    assert "Plain positions" in err
    assert "Plain positions" not in run("show", TEXT, "--model", str(model_folder))[1]


def test_what_it_suggests_for_a_plain_model_can_be_copied_and_is_something_else(run, plain_folder: Path):
    shutil.copytree(plain_folder, "a model")
    out = " ".join(run("show", TEXT, "--model", "a model", "--colour", "entropy")[1].split())
    assert "howfar measure sensitivity -m 'a model'" in out
    assert "howfar explore 'a model'" in out
    assert "Try --color surprisal" in out


def test_of_two_texts_the_model_is_named_once(run):
    code, _, err = run("show", "Two", "--beside-text", "Too", "-o", "x.svg")
    assert (code, err.count("Read by")) == (0, 1)


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
        (write_invalid_utf8, "bad.txt is not UTF-8 (byte 0xff at 3 in line 1)"),
        (write_long_text, "has 60,000 characters, but a picture holds 50,000"),
        (lambda: [TEXT, "-o", "x.gif"], "not a picture format"),
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
        (cut_short, "model.safetensors is damaged or truncated"),
        (pickled, "are pickled (pytorch_model.bin), and unpickling can run any code, so pickles are never read"),
        (disguised, "model.safetensors is damaged or truncated"),
        (of_another_size, "has another shape and 27 more; use the weights and the configuration that belong together"),
        (of_no_size, "hidden_size is '-3'; it must be a whole number from 1"),
        (of_no_known_kind, "cannot build a causal language model from damaged (model_type 'mystery')"),
        (with_a_bound_of_its_own, "increments: bound is 'tanh'; it must be 'softplus' or 'sigmoid' or 'signed'"),
        (without_sense, "config.json is not JSON"),
        (without_numbers, "values of model.layers.1.increments.output.bias are NaN or infinite"),
    ],
)
def test_a_damaged_model_is_one_line_and_leaves_nothing(
    run, model_folder: Path, tmp_path: Path, damage: Callable[[Path], None], said: str
):
    shutil.copytree(model_folder, "damaged")
    damage(Path("damaged"))
    code, out, err = run("show", TEXT, "--model", "damaged", "-o", "x.svg")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert re.match(r"error: damaged/(config\.json|model\.safetensors) is missing or damaged \(", err)
    Path("damaged/howfar_files.json").unlink()  # as in a folder that howfar did not save
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


def test_of_two_long_texts_each_must_fit_its_own_half_of_the_picture(run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("howfar.commands.show._trace", None)  # called: neither text is too long
    code, _, err = run("show", "a" * 30_000, "--beside-text", "b" * 30_000)
    assert (code, "a picture holds" in err) == (2, False)
    assert "the text has 50,001 characters" in run("show", "a", "--beside-text", "b" * 50_001)[2]


def test_json_of_two_texts_holds_both(run, model_folder: Path):
    code, out, _ = run("show", "ab", "--model", str(model_folder), "--json", "--beside-text", "cdef", "--layer", "1")
    numbers = json.loads(out)
    assert code == 0
    assert (numbers["text"], numbers["beside"]["text"]) == ("ab", "cdef")
    assert numbers["beside"]["layers"] == [1]


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


def test_json_of_one_layer_and_head(run, model_folder: Path):
    code, out, _ = run("show", TEXT, "--model", str(model_folder), "--json", "--layer", "1", "--head", "0")
    numbers, expected = json.loads(out), trace(load(model_folder), TEXT)
    assert (code, numbers["layers"]) == (0, [1])
    assert numbers["increments"] == expected.increments[1:, :1].tolist()
    assert numbers["positions"] == expected.positions[1:, :1].tolist()


@pytest.mark.parametrize("option", [("--layer", "99"), ("--head", "7"), ("--layer", "-1")])
def test_json_too_refuses_what_is_not_there(run, model_folder: Path, option: tuple[str, str]):
    code, out, err = run("show", TEXT, "--model", str(model_folder), "--json", *option)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"there is no {option[0][2:]} {option[1]}" in err


def test_json_holds_nothing_that_a_terminal_obeys(run, model_folder: Path):
    text = "a\x1b[31m\x9b1m\u202eb\u2066"
    code, out, _ = run("show", text, "--model", str(model_folder), "--json")
    assert code == 0
    assert json.loads(out)["text"] == text
    assert harmless(out) == out.strip()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["-5 degrees"], "put arguments that begin with a dash after --: howfar show -- '-5 degrees'"),
        (["--- a line"], "put arguments that begin with a dash after --: howfar show -- '--- a line'"),
        (["hello", "world"], 'put quotes around them: howfar show "hello world"'),
        (["x", "--debug"], "No such option: --debug; it comes before the command: `howfar --debug …`"),
        (["x", "--scale", "wrong"], "see `howfar show --help`"),
    ],
)
def test_arguments_that_are_likely_to_be_mistaken_are_explained(run, arguments: list[str], said: str):
    code, out, err = run("show", *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


@pytest.mark.parametrize("text", ["-5 degrees", "--debug", "--json", "--ray"])
def test_a_text_behind_two_dashes_is_a_text(run, model_folder: Path, text: str):
    code, out, err = run("show", "--json", "--model", str(model_folder), "--", text)
    assert (code, err) == (0, "")
    assert json.loads(out)["text"] == text


def test_a_text_that_the_locale_cannot_tell_is_read_as_utf8(run, model_folder: Path):
    as_given = "café 汉".encode().decode("ascii", "surrogateescape")
    code, out, _ = run("show", as_given, "--model", str(model_folder), "--json")
    assert code == 0
    assert json.loads(out)["text"] == "café 汉"


def test_the_picture_goes_through_links_and_pipes(run, model_folder: Path, tmp_path: Path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "link.svg").symlink_to("inner/there.svg")
    os.mkfifo(tmp_path / "pipe.svg")
    got: list[bytes] = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe.svg").read_bytes()), daemon=True)
    reader.start()
    for name in ("link.svg", "pipe.svg"):
        assert run("show", TEXT, "--model", str(model_folder), "-o", name)[0] == 0
    reader.join(timeout=60)
    assert (tmp_path / "link.svg").is_symlink()
    assert (tmp_path / "pipe.svg").is_fifo()
    for picture in ((tmp_path / "inner" / "there.svg").read_bytes(), *got):
        assert picture.startswith(b"<svg")
        assert picture.endswith(b"</svg>")


@pytest.mark.parametrize("stream", ["stdin", "stdout"])
def test_a_stream_that_was_closed_before_the_start_is_no_accident(
    run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stream: str
):
    monkeypatch.setattr(f"sys.{stream}", None)
    code, _, err = run("show", {"stdin": "-", "stdout": TEXT}[stream], "-m", str(model_folder), "-o", "x.svg")
    if stream == "stdin":
        assert (code, err.strip()) == (2, "error: standard input is closed; give the text in quotes, or --file FILE")
    else:
        assert (code, (tmp_path / "x.svg").exists()) == (0, True)


def closed_pipe() -> TextIOWrapper:
    read, write = os.pipe()
    os.close(read)
    return os.fdopen(write, "w", encoding="utf-8")


@pytest.mark.parametrize(
    ("output", "code", "said"),
    [
        (closed_pipe, 1, ""),
        (lambda: open("/dev/full", "w", encoding="utf-8"), 2, "standard output cannot be written (No space left"),  # noqa: PTH123, SIM115
        (lambda: TextIOWrapper(io.BytesIO(), encoding="cp1252"), 0, ""),
        (lambda: TextIOWrapper(io.BytesIO(), encoding="ascii"), 0, ""),
    ],
)
@pytest.mark.parametrize("command", ["show", "measure"])
def test_what_is_written_does_not_hang_on_what_is_printed(
    run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, output, code: int, said: str
):
    arguments = {"show": ["show", TEXT, "-o", "x.svg"], "measure": ["measure", "vocabulary", "-o", "x.csv"]}[command]
    printed = output()
    monkeypatch.setattr("sys.stdout", printed)
    got, _, err = run(*arguments, "--model", str(model_folder))
    monkeypatch.undo()
    assert got == code
    assert said in err
    assert len(list(tmp_path.glob("x.*"))) == 1
    with contextlib.suppress(OSError):
        printed.close()


def test_both_spellings_of_colour_are_known(run, model_folder: Path, tmp_path: Path):
    for name, option in (("a.svg", "--colour"), ("b.svg", "--color")):
        assert run("show", TEXT, "--model", str(model_folder), option, "surprisal", "-o", name)[0] == 0
        assert "surprisal" in (tmp_path / name).read_text(encoding="utf-8")


def test_two_models_and_two_texts_are_compared(run, model_folder: Path, tmp_path: Path):
    assert run("show", TEXT, "--model", str(model_folder), "--beside-text", "Two dogs.", "-o", "x.svg")[0] == 0
    assert "two texts, A and B (means over both)" in (tmp_path / "x.svg").read_text(encoding="utf-8")
    shutil.copytree(model_folder, "other")
    assert run("show", TEXT, "--model", str(model_folder), "--beside-model", "other", "-o", "y.svg")[0] == 0
    assert "How tiny (A) and other (B) space this text" in (tmp_path / "y.svg").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(b"a cat", mtime=0), "is compressed; unpack it first: gunzip -k x"),
        (b"%PDF-1.7", "is a PDF, not text; save"),
    ],
    ids=["compressed", "pdf"],
)
def test_a_file_that_is_no_text_is_told_by_its_kind(run, content: bytes, said: str) -> None:
    Path("x").write_bytes(content)
    code, _, errors = run("show", "--file", "x")
    assert code == 2
    assert said in errors
