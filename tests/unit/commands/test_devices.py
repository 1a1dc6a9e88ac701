"""`--device` and `--dtype`: where commands run a model, and in which type."""

import json
from pathlib import Path

import polars as pl
import pytest
import torch

import howfar
from howfar.errors import ConfigError
from howfar.explorer.inference import Inference
from howfar.models.bundled import named_models
from howfar.models.devices import known_devices

from .conftest import Run

TEXTS = "\n\n".join(f"The keeper of light {number} saw {number * 7} ships, and slept." for number in range(12))
REFUSED = f"error: PyTorch cannot use the device 'ipu' here; choose from {', '.join(known_devices())}\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "text.txt"
    path.write_text(TEXTS, encoding="utf-8")
    return path


def shown(run: Run, model: Path, *options: str) -> list[float]:
    code, out, err = run("show", "Two cats.", "--json", "-m", str(model), *options)
    assert (code, err) == (0, "")
    return json.loads(out)["surprisal_nats"]


def test_show(run: Run, model_folder: Path) -> None:
    plain = shown(run, model_folder)
    for device in ("cpu", "auto"):
        assert shown(run, model_folder, "--device", device) == plain
    assert shown(run, model_folder, "--dtype", "auto") == plain  # its file holds float32
    in_bfloat16 = shown(run, model_folder, "--dtype", "bfloat16")
    assert in_bfloat16 != plain
    assert in_bfloat16 == pytest.approx(plain, abs=0.1)


def test_measure_and_the_model_to_compare_with(run: Run, model_folder: Path, plain_folder: Path, text: Path) -> None:
    arguments = ["measure", "neutrality", "--text", str(text), "-m", str(model_folder), "--against", str(model_folder)]
    for options in ([], ["--dtype", "bfloat16"], ["--device", "auto"]):
        code, _, err = run(*arguments, "-o", "x.parquet", *options)
        assert (code, err) == (0, "")
        assert pl.read_parquet("x.parquet")["value"][0] == 0, "a model equals itself in any type"


def test_report(run: Run, model_folder: Path, text: Path) -> None:
    options = ["--device", "cpu", "--dtype", "bfloat16", "--measure", "increments"]
    code, out, err = run("report", str(model_folder), "--text", str(text), *options, "-o", "x.html")
    assert (code, err, out) == (0, "", "The report is in x.html\n")


@pytest.mark.parametrize(
    "words",
    ["show abc", "measure increments --text text.txt", "report bilingual-rope --text text.txt", "explore --no-browser"],
)
def test_an_unknown_device_is_refused(run: Run, text: Path, words: str) -> None:
    before = {path: path.stat().st_size for path in text.parent.iterdir()}
    assert run(*words.split(), "--device", "ipu") == (2, "", REFUSED)
    assert {path: path.stat().st_size for path in text.parent.iterdir()} == before


def test_calls_without_a_meaning_are_refused(run: Run, model_folder: Path) -> None:
    said = "error: calibration trains its own models; leave out --device\n"
    assert run("measure", "calibration", "--device", "cpu") == (2, "", said)
    assert "--dtype" in run("show", "abc", "--dtype", "int8")[2]
    with pytest.raises(ConfigError, match="device and device_map are both given; give one of them"):
        howfar.load(model_folder, device="cpu", device_map="auto")
    for device in ("meta", "nothing", "cpu:x"):
        with pytest.raises(ConfigError, match=f"PyTorch cannot use the device '{device}' here; choose from cpu"):
            howfar.load(model_folder, device=device)


def test_a_model_by_a_map_of_its_parts(model_folder: Path) -> None:
    model = howfar.load(model_folder, device_map={"": "cpu"}, dtype="bfloat16")
    assert model.dtype == torch.bfloat16
    assert howfar.trace(model, "Two cats.").increments.shape == (2, 1, 9)


def test_the_explorer_reads_where_it_is_told(model_folder: Path) -> None:
    inference = Inference(named_models([str(model_folder)]), device="cpu", dtype="bfloat16")
    found = inference.trace(model_folder.name, "Two cats.")
    expected = howfar.trace(howfar.load(model_folder, dtype="bfloat16"), "Two cats.")
    assert (found.surprisal_nats == expected.surprisal_nats).all()


@pytest.mark.usefixtures("run")
def test_too_little_memory_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch, run: Run, model_folder: Path) -> None:
    def full(*_: object, **__: object) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total ...")

    monkeypatch.setattr("howfar.reading.trace", full)
    code, out, err = run("show", "abc", "-m", str(model_folder))
    assert (code, out) == (2, "")
    assert err.startswith("error: the device has too little memory (CUDA out of memory. Tried to allocate 20.00 MiB. ")
    assert err.endswith("); give a shorter text or smaller sample, --dtype bfloat16, or --device cpu\n")
