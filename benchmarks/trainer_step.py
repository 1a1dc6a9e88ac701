"""Time of a training step as a run takes it: windows, forward, backward, clipping, optimiser and Trainer's own work.

Each variant is trained for some steps by a recipe of the package; the peer `stock` is Transformers' Llama under its
Trainer, with the same options and windows, read by worker processes as usual. The times of the last steps are taken in
blocks, and the median block counts, with its quartiles; compilation and the first steps do not. The variants are run
one after another, forwards and then backwards, so that a drift of the machine shows. On a GPU it also counts the
places at which the host waits for the device between logs, by PyTorch's own debug mode, in a few steps apart.

    python benchmarks/trainer_step.py CORPUS
    python benchmarks/trainer_step.py CORPUS --set trainer.torch_compile_mode=reduce-overhead

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM, Trainer, TrainerCallback

from howfar.corpus.corpus import Corpus
from howfar.models.modeling import HowFarForCausalLM
from howfar.text.tokenizer import byte_tokenizer
from howfar.training.attention import maskless_attention
from howfar.training.data import TrainingWindows
from howfar.training.recipe import Recipe
from howfar.training.run import fit
from howfar.training.runs import Run, training_arguments
from howfar.training.trainer import IncrementTrainer

VARIANTS = ("rope", "shared", "per-layer", "shared-per-head", "per-layer-per-head")
STEPS_IN_A_BLOCK = 10
LAST_STEPS = 8  # in which waits are counted


class Stopwatch(TrainerCallback):
    """Notes the time at the end of every so many steps, once the device has done them."""

    def __init__(self, skip: int, last: int) -> None:
        self.skip, self.last = skip, last
        self.times: list[float] = []
        self.waits: list[warnings.WarningMessage] = []

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.is_cuda = torch.cuda.is_available() and torch.cuda.memory_allocated() > 0
        self.catch = warnings.catch_warnings(record=True)

    def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
        if self.skip <= state.global_step <= self.last and (state.global_step - self.skip) % STEPS_IN_A_BLOCK == 0:
            if self.is_cuda:
                torch.cuda.synchronize()
            self.times.append(time.perf_counter())
        if self.is_cuda and state.global_step == self.last:
            self.waits = self.catch.__enter__()
            warnings.simplefilter("always")
            torch.cuda.set_sync_debug_mode("warn")
        if self.is_cuda and state.global_step == self.last + LAST_STEPS - 1:  # the last one logs
            torch.cuda.set_sync_debug_mode("default")
            self.catch.__exit__(None, None, None)

    @property
    def milliseconds(self) -> list[float]:
        """Of a step, in each block."""
        return [1e3 * (end - start) / STEPS_IN_A_BLOCK for start, end in itertools.pairwise(self.times)]


class Unevaluated(IncrementTrainer):
    """Training alone."""

    watch: Stopwatch

    def __init__(self, **options: Any) -> None:
        super().__init__(**{**options, "callbacks": [*options["callbacks"], self.watch]})


def run(variant: str, options: argparse.Namespace) -> Stopwatch:
    watch = Stopwatch(options.skip, options.skip + options.steps)
    whole = options.skip + options.steps + LAST_STEPS
    quiet = {"max_steps": whole, "logging_steps": whole, "save_strategy": "no", "eval_strategy": "no"}
    settings = [*options.settings, *(f"trainer.{name}={value}" for name, value in quiet.items())]
    name = f"published-{'rope' if variant == 'stock' else variant}"
    recipe = Recipe.load(name, overrides={"corpus": options.corpus}, settings=settings)
    corpus = Corpus.open(recipe.corpus)
    torch.compiler.reset()
    torch.manual_seed(0)
    config = recipe.model_config()
    length = config.max_position_embeddings
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if variant == "stock":
            model = LlamaForCausalLM(LlamaConfig.from_dict({**config.to_dict(), "model_type": "llama"}))
            workers: dict[str, Any] = {"dataloader_num_workers": options.workers, "disable_tqdm": True}
            workers["accelerator_config"] = {"non_blocking": True}
            plan = Recipe.from_dict({**recipe.to_dict(), "resident": False, "trainer": {**recipe.trainer, **workers}})
            arguments = training_arguments(plan, folder)
            windows = TrainingWindows(corpus.train, length, recipe.seed, whole * arguments.train_batch_size)
            trainer = Trainer(model, arguments, train_dataset=windows, callbacks=[watch])
            trainer.train()
        else:
            model = HowFarForCausalLM(config)
            kind = type("Watched", (Unevaluated,), {"watch": watch})
            with maskless_attention(model):
                tokenizer = byte_tokenizer()
                model.config.pad_token_id = tokenizer.pad_token_id
                run = Run(recipe=recipe, corpus=corpus, output=folder, length=length)
                fit(run, model, tokenizer, trainer_class=kind, max_held_out_windows=1, progress=False)
    return watch


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("corpus")
    parser.add_argument("--variants", nargs="+", default=["stock", *VARIANTS[:3]], choices=["stock", *VARIANTS])
    parser.add_argument("--steps", type=int, default=200, help="that are timed")
    parser.add_argument("--skip", type=int, default=30, help="steps before those")
    parser.add_argument("--workers", type=int, default=4, help="that read windows for the peer")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()

    figures: dict[str, dict[str, Any]] = {name: {"blocks": [], "waits": None} for name in options.variants}
    for name in [*options.variants, *reversed(options.variants)]:
        watch = run(name, options)
        figures[name]["blocks"].append(watch.milliseconds)
        if watch.is_cuda:
            figures[name]["waits"] = sorted({f"{warning.filename}:{warning.lineno}" for warning in watch.waits})
    blocks = {name: list(itertools.chain.from_iterable(own["blocks"])) for name, own in figures.items()}
    base = statistics.median(blocks[options.variants[0]])
    for name, own in figures.items():
        low, median, high = statistics.quantiles(blocks[name], n=4)
        own.update(milliseconds=median, quartiles=[low, high], ratio=median / base)
        own["runs"] = [statistics.median(times) for times in own.pop("blocks")]
        waits = "" if own["waits"] is None else f"  waits at {own['waits'] or 'no place'}"
        print(f"{name:20} {median:8.2f} ms [{low:.2f}, {high:.2f}]  x {own['ratio']:.3f}{waits}")
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    settings = {"settings": options.settings, "threads": torch.get_num_threads(), "versions": torch.__version__}
    print(json.dumps({"device": device, **settings, "variants": figures}))


if __name__ == "__main__":
    main()
