"""The scripts for a GPU machine, from packing to a bundled model, on a CPU and with a tiny model.

The machine is a folder. Measuring (`probe.py`) is left out: the choice is brought along.
"""

import importlib.util
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import howfar
from howfar.models.bundled import bundled_models
from howfar.training.checkpoints import read_record

ROOT = Path(__file__).parents[3]
RUN = "small-shared-seed1"
TINY = (
    "model.hidden_size=16 intermediate_size=32 num_hidden_layers=1 num_attention_heads=2 max_position_embeddings=32 "
    "per_device_train_batch_size=2 max_steps=10000000 lr_scheduler_type=constant warmup_steps=0 lr_scheduler_kwargs={} "
    "logging_steps=50 save_steps=50 save_total_limit=1 eval_strategy=no"
)
PATIENCE = 600  # seconds; on a quiet machine everything takes less than one minute

pytestmark = pytest.mark.skipif(
    any(shutil.which(program) is None for program in ("bash", "git", "xz", "setsid")), reason="no bash, git or xz"
)


def tool(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Machine:
    """A folder with a copy of the checkout and what was packed, and another for what is made there."""

    def __init__(self, folder: Path, checkout: Path) -> None:
        self.project, self.work, self.out = folder / "project", folder / "work", folder / "out"
        shutil.copytree(checkout, self.project)
        self.work.mkdir()

    def run(self, script: str, *arguments: str, **environment: Any) -> str:
        places = {"WORK": self.work, "OUT": self.out, "PYTHON": sys.executable, "FLOOR": "none", "OMP_NUM_THREADS": 1}
        values = {name: str(value) for name, value in {**places, "SECONDS_LEFT": 9_000, **environment}.items()}
        command = ["bash", f".gpu/kit/{script}", *arguments]
        done = subprocess.run(
            command, cwd=self.project, env={**os.environ, **values}, capture_output=True, text=True, timeout=PATIENCE
        )
        assert done.returncode == 0, done.stdout + done.stderr + self.logs()
        return done.stdout

    def logs(self) -> str:
        logs = [*self.work.glob("*.log"), *self.work.glob("runs/*.txt")]
        return "\n".join(f"{log.name}:\n{log.read_text()[-2_000:]}" for log in logs)

    def wait_for(self, what: str, pattern: str) -> None:
        """Until a file under the working folder is there, whose text matches."""
        until = time.monotonic() + PATIENCE
        while not any(re.search(pattern, file.read_text()) for file in self.work.glob(what)):
            assert time.monotonic() < until, self.logs()
            time.sleep(0.05)


def write_text(folder: Path) -> Path:
    generator = random.Random(0)
    folder.mkdir()
    for name, alphabet, length in (("en", "abcdefg ", 400), ("zh", "猫坐树在的", 150)):
        for part, count in (("train", 20), ("test", 6)):
            documents = ("".join(generator.choices(alphabet, k=length)) for _ in range(count))
            (folder / f"{name}_{part}.txt").write_text("\n\n".join(documents) + "\n", encoding="utf-8")
    return folder


def pack(checkout: Path, *arguments: str | Path) -> str:
    command = ["bash", "tools/gpu/pack.sh", *map(str, arguments)]
    environment = {**os.environ, "PACKAGES": "none"}
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = tmp_path / "checkout"
    for name in ("src", "tools", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_a_run_is_packed_stopped_carried_elsewhere_finished_and_bundled(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = write_text(tmp_path / "text")
    assert "MiB of 64" in pack(checkout, text)

    # The first machine: the command ends while training goes on, and then the machine is wanted back.
    first = Machine(tmp_path / "first", checkout)
    settings = " ".join(f"--set '{value}'" for value in TINY.split())
    (first.work / "choice.sh").write_text(f"JOBS=(small-shared@1)\nAT_ONCE=1\nSETTINGS=({settings})\n")
    first.run("first.sh", LIMIT=41)
    first.wait_for(f"runs/{RUN}/checkpoint-*/training.json", "sha256")
    os.kill(int((first.work / "train.pid").read_text()), signal.SIGTERM)
    first.wait_for("train.log", rf"{RUN} +at step [\d,]+; the same command goes on from there")
    (checkpoint,) = (first.work / "runs" / RUN).glob("checkpoint-*")
    step = read_record(checkpoint)["step"]
    assert f"stopped on request; saved at step {step:,}" in (first.work / "runs" / f"{RUN}.txt").read_text()

    # Its checkpoint leaves in pieces, which come to a second machine in their order or not.
    assert "go on with piece 5" in first.run("next.sh", "state", RUN, PIECE=30_000)
    assert "that is all" in first.run("next.sh", "state", RUN, "5", PIECE=30_000)
    pieces = sorted(first.out.glob(f"{RUN}.state.*"))
    assert 4 < len(pieces) <= 8
    pack(checkout, text, *reversed(pieces))
    second = Machine(tmp_path / "second", checkout)
    assert f"{RUN}: whole again" in second.run("next.sh", "gather")
    shutil.rmtree(second.project / ".gpu" / "state")  # it travels once; else the choice below would be unpacked over

    # There the run is finished, packed and handed over.
    with (second.work / "choice.sh").open("a") as choice:
        choice.write(f"SETTINGS+=(--set max_steps={step + 3})\n")
    said = second.run("first.sh", JOBS="small-shared@1", LIMIT=9_000)
    assert re.search(rf"{RUN} +\d\.\d{{4}} nats/byte held out", said), said + second.logs()
    assert {"logs.tar.gz", f"{RUN}.safetensors"} <= {file.name for file in second.out.iterdir()}

    # At home it becomes a model of the package, with the losses that it brought.
    tool("train_recipes").unpack(second.out / f"{RUN}.safetensors", tmp_path / "runs")
    bundling = tool("bundle")
    monkeypatch.setattr(bundling, "FOLDER", tmp_path / "bundled")
    monkeypatch.setattr("howfar.models.bundled.FOLDER", tmp_path / "bundled")
    monkeypatch.setattr("howfar.models.folders.FOLDER", tmp_path / "bundled")
    monkeypatch.setattr(sys, "argv", ["bundle.py", str(tmp_path / "runs" / RUN), "tiny"])
    bundling.main()
    (described,) = bundled_models()
    assert described.data == "English and Chinese Wikipedia"
    assert described.held_out_nats_per_byte is not None
    model = howfar.load("tiny")
    assert read_record(described.folder)["step"] == step + 3
    assert np.isfinite(howfar.trace(model, "abc 猫").surprisal_nats).all()
    assert str(tmp_path) not in (described.folder / "training.json").read_text()


def test_a_time_too_short_is_told_before_anything_is_trained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = write_text(tmp_path / "text")
    arguments = ["train", text, tmp_path / "out", "small-shared", "--minutes", 0.1, "--corpus", tmp_path / "corpus"]
    monkeypatch.setattr(sys, "argv", ["train_recipes.py", *map(str, arguments)])
    assert tool("train_recipes").main() == 2
    assert "0.1 minutes leave no time to train; 30 seconds are kept for saving" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()
