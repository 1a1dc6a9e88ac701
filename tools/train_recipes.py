"""Train several recipes on one GPU in a limited time, so that what is not finished can go on the next time.

    python tools/train_recipes.py train TEXT OUT bilingual-rope bilingual-shared bilingual-per-layer \
        bilingual-rope@1 bilingual-rope@2 --at-once 3 --minutes 9
    python tools/train_recipes.py unpack OUT/bilingual-rope.safetensors runs

`train` builds the corpus from the text files of the folder TEXT (`en_train.txt` and `zh_train.txt`, with `en_test.txt`
and `zh_test.txt` held out) unless it is there already, and trains RECIPE or RECIPE@SEED, several at once. When the time
is up, what still runs is told to save itself; the same command goes on from there. Of each finished run it writes one
file to OUT: the weights in float16 (increment networks stay float32), and in the file's metadata its configuration,
record, log, and the losses of these rounded weights on every held-out document. `unpack` makes a run's folder of it.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from howfar.commands.train import parse_settings
from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import MANIFEST, Corpus
from howfar.corpus.sources import parse_source
from howfar.files import whole_file
from howfar.measures.statistics import ratio
from howfar.models.loading import load
from howfar.training.checkpoints import RECORD, last_complete_checkpoint, read_record
from howfar.training.evaluation import document_losses
from howfar.training.recipe import Recipe

RECORDS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", RECORD, "log.json")
WEIGHTS = "model.safetensors"
LOSSES = "document_losses.json"
SECONDS_TO_SAVE = 30  # for a run that is told to end
SECONDS_TO_PACK = 15  # for each run


def main() -> None:
    """Read the arguments and do it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    training = commands.add_parser("train")
    training.add_argument("text", type=Path)
    training.add_argument("out", type=Path)
    training.add_argument("jobs", nargs="+", metavar="RECIPE[@SEED]")
    training.add_argument("--at-once", type=int, default=1)
    training.add_argument("--minutes", type=float, default=60, help="for everything together")
    training.add_argument("--corpus", type=Path, default=Path("corpora/bilingual"))
    training.add_argument("--runs", type=Path, default=Path("runs"))
    training.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    training.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="to score on")
    unpacking = commands.add_parser("unpack")
    unpacking.add_argument("file", type=Path)
    unpacking.add_argument("runs", type=Path)
    arguments = parser.parse_args()
    if arguments.command == "unpack":
        unpack(arguments.file, arguments.runs)
        return
    started = time.monotonic()
    corpus = find_corpus(arguments.corpus, arguments.text)
    print(f"{time.monotonic() - started:6.0f} s  the corpus is there: {corpus.hash}", flush=True)
    jobs = {name: recipe_of(name, arguments) for name in arguments.jobs}
    end = started + 60 * arguments.minutes - SECONDS_TO_SAVE - SECONDS_TO_PACK * len(jobs)
    train_all(jobs, arguments.runs, arguments.at_once, started, end)
    pack_all(list(jobs), arguments, corpus)


def find_corpus(folder: Path, text: Path) -> Corpus:
    """The corpus, built if it is not there."""
    if (folder / MANIFEST).is_file():
        return Corpus.open(folder)
    sources = [
        parse_source(f"{name}={text / f'{name}_train.txt'},held_out={text / f'{name}_test.txt'}")
        for name in ("en", "zh")
    ]
    return build_corpus(folder, sources, progress=False)


def recipe_of(job: str, arguments: argparse.Namespace) -> Recipe:
    """The recipe that `RECIPE` or `RECIPE@SEED` stands for."""
    name, _, seed = job.partition("@")
    overrides = {**parse_settings(arguments.settings), "name": job, "corpus": str(arguments.corpus)}
    return Recipe.load(name, overrides={**overrides, "seed": int(seed)} if seed else overrides)


def train_all(jobs: dict[str, Recipe], runs: Path, at_once: int, started: float, end: float) -> None:
    """Run the jobs in their order, so many at a time, until `end` on the monotonic clock."""
    context = multiprocessing.get_context("spawn")  # CUDA cannot be used in a fork
    waiting = [name for name in jobs if not (runs / name / RECORD).is_file()]
    running: dict[str, BaseProcess] = {}
    threads = max(1, (os.cpu_count() or 1) // at_once)
    while (waiting or running) and time.monotonic() < end:
        while waiting and len(running) < at_once:
            name = waiting.pop(0)
            running[name] = context.Process(target=train_one, args=(jobs[name], runs / name, threads))
            running[name].start()
        time.sleep(0.2)
        for name in [name for name, process in running.items() if not process.is_alive()]:
            code = running.pop(name).exitcode
            ended = "finished" if code == 0 else f"ended with exit code {code}, see {runs / name}.txt"
            print(f"{time.monotonic() - started:6.0f} s  {name} {ended}", flush=True)
    for process in running.values():
        process.terminate()
    for process in running.values():
        process.join(SECONDS_TO_SAVE)
        process.kill()


def train_one(recipe: Recipe, folder: Path, threads: int) -> None:
    """Train in a process of its own, whose output goes to a file beside the run's folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    output = os.open(f"{folder}.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    torch.set_num_threads(threads)
    from howfar.training.run import train

    train(recipe, folder)


def pack_all(names: list[str], arguments: argparse.Namespace, corpus: Corpus) -> None:
    """Write the finished runs to the output folder, and say how far each one is."""
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in names:
        folder, file = arguments.runs / name, arguments.out / f"{name}.safetensors"
        if not (folder / RECORD).is_file():
            checkpoint = last_complete_checkpoint(folder)
            step = read_record(checkpoint)["step"] if checkpoint else 0
            print(f"{name:32} at step {step:,}; the same command goes on from there")
            continue
        if not file.is_file():
            pack(folder, file, corpus, arguments.device)
        with safe_open(file, "pt") as packed:
            losses = json.loads(packed.metadata()[LOSSES])
        estimate = ratio(losses["nats"], losses["bytes"])
        interval = f"[{estimate.low:.4f}, {estimate.high:.4f}]"
        print(f"{name:32} {estimate.value:.4f} nats/byte {interval}  {file.stat().st_size / 1e6:.1f} MB", flush=True)


def pack(folder: Path, file: Path, corpus: Corpus, device: str) -> None:
    """Write one finished run as one file."""
    weights = {
        name: tensor if "increments" in name.split(".") else tensor.to(torch.float16)
        for name, tensor in load_file(folder / WEIGHTS).items()
    }
    model: Any = load(folder)
    unfit = model.load_state_dict(weights, strict=False)  # rounded, then computed in float32
    assert not unfit.unexpected_keys, unfit
    assert set(unfit.missing_keys) <= set(model.all_tied_weights_keys), unfit
    losses = document_losses(model.to(device), corpus.held_out, length=model.config.max_position_embeddings)
    metadata = {name: (folder / name).read_text(encoding="utf-8") for name in RECORDS if (folder / name).is_file()}
    by_document = {"nats": losses.nats, "bytes": losses.num_bytes, "sources": losses.sources}
    metadata[LOSSES] = json.dumps(
        {"source_names": losses.source_names, **{name: values.tolist() for name, values in by_document.items()}}
    )
    with whole_file(file) as partial:
        save_file(weights, partial, metadata={"format": "pt", **metadata})


def unpack(file: Path, runs: Path) -> None:
    """Make the folder of a run out of its one file."""
    folder = runs / file.stem
    folder.mkdir(parents=True)
    with safe_open(file, "pt") as packed:
        for name in (*RECORDS, LOSSES):
            if name in packed.metadata():
                (folder / name).write_text(packed.metadata()[name], encoding="utf-8")
    save_file(load_file(file), folder / WEIGHTS, metadata={"format": "pt"})
    print(folder)


if __name__ == "__main__":
    main()
