"""Kill studies on Ray: the driver, or the whole cluster: `python tools/campaigns/cluster.py` (10 cases, half an hour).

Workers are killed by tests/unit/studies/test_ray.py.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from campaign import campaign

from howfar.corpus.build import build_corpus
from howfar.corpus.selection import BuildOptions
from howfar.corpus.sources import parse_source
from howfar.studies.study import Study

COMMAND = [sys.executable, "-c", "from howfar.cli import main; main()"]
STUDY = """
name = "killed"
recipe = "small-per-layer"
[set]
corpus = {corpus}
max_steps = 60
model.hidden_size = 16
model.intermediate_size = 32
model.num_hidden_layers = 2
model.num_attention_heads = 2
model.max_position_embeddings = 32
trainer.per_device_train_batch_size = 4
trainer.use_cpu = true
trainer.warmup_steps = 0
trainer.lr_scheduler_kwargs.num_decay_steps = 10
trainer.save_steps = 2
trainer.save_total_limit = 40
[grid]
seed = [0, 1, 2]
"""
CLUSTER = """
from ray.cluster_utils import Cluster
import signal
machine = {"num_cpus": 1, "num_gpus": 0, "object_store_memory": 80_000_000}
cluster = Cluster(initialize_head=True, head_node_args={**machine, "include_dashboard": False})
cluster.add_node(**machine)
print(cluster.address, flush=True)
signal.pause()
"""
PATIENCE_SECONDS = 600


@contextmanager
def cluster() -> Iterator[tuple[str, int]]:
    """Two machines with one CPU each, which are processes here; their address, and the session that they are in."""
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", CLUSTER],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        address = process.stdout.readline().strip()
        assert address, "no cluster began; wait until the machine is less busy"
        yield address, process.pid
    finally:
        kill_all(process.pid)
        process.wait()


def kill_all(pid: int) -> None:
    """SIGKILL for a process and all that it has started, and what these have."""
    import psutil

    try:
        everyone = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for one in everyone:
        try:
            one.kill()
        except psutil.NoSuchProcess:
            continue


def written(folder: Path) -> dict[str, int]:
    """When each checkpoint's record and each result was written."""
    files = [*folder.glob("runs/*/checkpoint-*/training.json"), *folder.glob("runs/*/result.json")]
    found = {}
    for file in files:
        try:
            found[str(file.relative_to(folder))] = file.stat().st_mtime_ns
        except FileNotFoundError:
            continue
    return found


def weights(folder: Path) -> dict[str, bytes]:
    """Each run's weights, as they lie in their file."""
    return {path.parent.name: path.read_bytes() for path in folder.glob("runs/*/model.safetensors")}


def run(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Kill a study at a random checkpoint, go on with it, and compare with one that nobody disturbed."""
    chance = random.Random(seed)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "looked", "at", "birds", "near", "old", "trees"]
    (folder / "a.txt").write_text("\n\n".join(" ".join(chance.choices(words, k=30)) for _ in range(24)))
    corpus = build_corpus(
        folder / "corpus", [parse_source(str(folder / "a.txt"))], BuildOptions(held_out_documents=4), progress=False
    )
    (folder / "study.toml").write_text(STUDY.format(corpus=f'"{corpus.folder}"'))
    command = [*COMMAND, "study", "study.toml", "-o"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    here: dict[str, Any] = {"cwd": folder, "env": environment, "capture_output": True, "text": True}
    subprocess.run([*command, "whole"], check=True, **here)
    expected = weights(folder / "whole")
    for index in range(number):
        place, at = folder / f"killed{index}", chance.randrange(2, 60)
        kind = ("cluster", "driver")[index % 2]
        with cluster() as (address, pid):
            driver = subprocess.Popen(
                [*command, place.name, "--ray", address],
                cwd=folder,
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            until = time.monotonic() + PATIENCE_SECONDS
            while len(written(place)) < at and driver.poll() is None and time.monotonic() < until:
                time.sleep(0.005)
            if kind == "driver":
                os.kill(driver.pid, signal.SIGKILL)
            else:
                kill_all(pid)
            driver.kill()
            driver.wait()
            before = written(place)
            if kind == "driver":  # on the same cluster, where its tasks may still be ending
                again = subprocess.run([*command, place.name, "--ray", address], **here)
        if kind == "cluster":
            with cluster() as (address, _):
                again = subprocess.run([*command, place.name, "--ray", address], **here)
        after = written(place)
        redone = [file for file in before if file in after and after[file] != before[file]]
        finished = [state.state for state in Study.open(place).states()]
        if again.returncode or finished != ["finished"] * 3:
            outcome = f"{kind}: not finished"
        elif redone:
            outcome = f"{kind}: something was run twice"
        else:
            outcome = "resumed to the same bytes" if weights(place) == expected else f"{kind}: other bytes"
        yield outcome, f"{index}, {kind} at {len(before)} files: {redone[:2]} {again.stderr[-300:]}"


if __name__ == "__main__":
    campaign("Kill studies on Ray: the driver, or the whole cluster.", 10, run)
