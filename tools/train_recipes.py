"""Train several recipes on one GPU in a limited time, so that what is not finished can go on the next time.

    python tools/train_recipes.py train TEXT OUT published-rope published-shared published-per-layer \
        published-rope@1 published-rope@2 --at-once 3 --minutes 9
    python tools/train_recipes.py unpack OUT/published-rope.safetensors runs

`train` builds the corpus from the text files of the folder TEXT (`en_train.txt` and `zh_train.txt`, with `en_test.txt`
and `zh_test.txt` held out; one language does) unless it is there already, and trains RECIPE or RECIPE@SEED, several at
once. When the time is up, or when it is told to end, what still runs is told to save itself; the same command goes on
from there. As soon as a run is finished, one file of it is written to OUT: the weights in float16 (increment networks
stay float32), and in the file's metadata its configuration, record, log, and the losses of these rounded weights on
every held-out document. `unpack` makes a run's folder of it. The run of RECIPE@SEED is called RECIPE-seedSEED.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import MANIFEST, Corpus
from howfar.corpus.sources import parse_source
from howfar.files import whole_file
from howfar.models.loading import load
from howfar.models.manifest import write_manifest
from howfar.studies.processes import SAVED, SECONDS_TO_SAVE, Processes
from howfar.training.checkpoints import RECORD, last_complete_checkpoint, read_record
from howfar.training.evaluation import document_losses
from howfar.training.recipe import Recipe

RECORDS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json", RECORD, "log.json")
WEIGHTS = "model.safetensors"
LOSSES = "document_losses.json"
LANGUAGES = ("en", "zh")


def main() -> int:
    """Read the arguments and do it; returns the exit code."""
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
        return 0
    end = time.monotonic() + 60 * arguments.minutes - SECONDS_TO_SAVE
    corpus = find_corpus(arguments.corpus, arguments.text)
    print(f"the corpus is there: {corpus.hash}", flush=True)
    if time.monotonic() >= end:
        print(f"{arguments.minutes} minutes leave no time to train; {SECONDS_TO_SAVE} seconds are kept for saving")
        return 2
    recipes = [recipe_of(job, arguments) for job in arguments.jobs]
    arguments.out.mkdir(parents=True, exist_ok=True)
    train_all(recipes, arguments, end)
    for recipe in recipes:
        print(state_of(recipe.name, arguments), flush=True)
    return 0


def find_corpus(folder: Path, text: Path) -> Corpus:
    """The corpus, built if it is not there."""
    if (folder / MANIFEST).is_file():
        return Corpus.open(folder)
    names = [name for name in LANGUAGES if (text / f"{name}_train.txt").is_file()]
    sources = [
        parse_source(f"{name}={text / f'{name}_train.txt'},held_out={text / f'{name}_test.txt'}") for name in names
    ]
    return build_corpus(folder, sources, progress=False)


def recipe_of(job: str, arguments: argparse.Namespace) -> Recipe:
    """The recipe that `RECIPE` or `RECIPE@SEED` stands for, under the name of its run."""
    name, _, seed = job.partition("@")
    recipe = Recipe.load(name, overrides={"corpus": str(arguments.corpus)}, settings=arguments.settings)
    values = recipe.to_dict()
    if seed:
        values |= {"seed": int(seed), "name": f"{recipe.name}-seed{int(seed)}"}
    return Recipe.from_dict(values)


def train_all(recipes: list[Recipe], arguments: argparse.Namespace, end: float) -> None:
    """Run them in their order, so many at a time, until `end` on the monotonic clock or until told to end."""
    told: list[bool] = []
    before = signal.signal(signal.SIGTERM, lambda *_: told.append(True))
    waiting = deque(recipe for recipe in recipes if not packed_file(recipe.name, arguments).is_file())
    processes = Processes(train_one, at_once=arguments.at_once, preload=("howfar.training.run",))
    began = time.monotonic()
    try:
        while (waiting or processes.running) and time.monotonic() < end and not told:
            while waiting and len(processes.running) < arguments.at_once:
                recipe = waiting.popleft()
                processes.start(recipe.name, (recipe, arguments), arguments.runs / f"{recipe.name}.txt")
            for name, error in processes.wait(0.1):
                ended = f"broke off: {error}; see {arguments.runs / name}.txt" if error else "finished"
                print(f"{time.monotonic() - began:6.0f} s  {name} {ended}", flush=True)
    finally:
        for name, error in processes.stop():
            if error not in (None, SAVED):
                print(f"{name} could not save itself: {error}", flush=True)
        signal.signal(signal.SIGTERM, before)


def train_one(job: tuple[Recipe, argparse.Namespace]) -> None:
    """Train and pack, in a process of its own."""
    recipe, arguments = job
    folder = arguments.runs / recipe.name
    if not (folder / RECORD).is_file():
        from howfar.training.run import train

        train(recipe, folder)
    pack(folder, packed_file(recipe.name, arguments), Corpus.open(arguments.corpus), arguments.device)


def packed_file(name: str, arguments: argparse.Namespace) -> Path:
    """The one file that is written of a finished run."""
    return Path(arguments.out / f"{name}.safetensors")


def state_of(name: str, arguments: argparse.Namespace) -> str:
    """How far a run is, in one line."""
    folder, file = arguments.runs / name, packed_file(name, arguments)
    if file.is_file():
        with safe_open(file, "pt") as packed:
            losses = json.loads(packed.metadata()[LOSSES])
        nats_per_byte = sum(losses["nats"]) / sum(losses["bytes"])
        return f"{name:36} {nats_per_byte:.4f} nats per byte held out, {file.stat().st_size / 1e6:.1f} MB"
    if (folder / RECORD).is_file():
        return f"{name:36} finished, and not packed; the same command packs it"
    checkpoint = last_complete_checkpoint(folder)
    step = read_record(checkpoint)["step"] if checkpoint else 0
    return f"{name:36} at step {step:,}; the same command goes on from there"


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
    write_manifest(folder)
    print(folder)


if __name__ == "__main__":
    sys.exit(main())
