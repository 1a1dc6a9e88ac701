"""Measure a training step on this machine in about a minute, compiled in several ways, and choose what to train.

Each way is a process of its own: all compile at the same time, then they take turns on the GPU, and last they run side
by side, which says what is gained by training several models at once. The choice is written to WORK/choice.sh and, with
all figures, to WORK/choice.json.

    python probe.py WORK --seconds-left 1300 --jobs published-per-layer published-rope published-shared
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import shlex
import statistics
import tempfile
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

COMPILED = {"trainer.torch_compile": True, "trainer.torch_compile_mode": "default", "lean_step": True}
WAYS: dict[str, dict[str, Any]] = {
    "uncompiled": {"trainer.torch_compile": False, "lean_step": True},
    "compiled, not lean": {**COMPILED, "lean_step": False},
    "compiled": COMPILED,
    "max-autotune-no-cudagraphs": {**COMPILED, "trainer.torch_compile_mode": "max-autotune-no-cudagraphs"},
    "reduce-overhead": {**COMPILED, "trainer.torch_compile_mode": "reduce-overhead"},
}
# Measured beside them, and not chosen: TensorFloat-32 makes increments less exact.
ONLY_MEASURED = {"compiled, tf32": {**COMPILED, "trainer.tf32": True}}
COMPARED = "compiled"  # other recipes are timed in this way, for what a step with increments costs
WARM_STEPS = 20
PUBLISHED_STEPS = 50_000
FEWEST_STEPS = 15_000  # rather fewer models than models trained for less
AT_ONCE = 3
MARGIN = 0.92  # of the time that is left is planned for
SECONDS_TO_FINISH = 20  # of a run: held-out documents, writing and packing
WORTH_IT = 1.05  # so much more must three at once do than one


def main() -> None:
    """Measure, choose and write the choice."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("work", type=Path)
    parser.add_argument("--seconds-left", type=float, required=True, help="for measuring and training")
    parser.add_argument("--compile-seconds", type=float, default=100, help="a way that takes longer is given up")
    parser.add_argument("--jobs", nargs="+", required=True, help="in their order, RECIPE[@SEED]")
    parser.add_argument("--ways", nargs="+", default=[*WAYS, *ONLY_MEASURED], choices=[*WAYS, *ONLY_MEASURED])
    parser.add_argument("--compare", nargs="*", default=[], metavar="RECIPE", help="timed too, compiled; not chosen")
    parser.add_argument("--block", type=float, default=2.0, help="seconds of a measurement")
    parser.add_argument("--steps", type=int, help="do not choose: so many")
    parser.add_argument("--set", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()

    began = time.monotonic()
    figures = measure(options)
    if not figures["milliseconds"]:
        raise SystemExit("no way of training could be measured")
    left = options.seconds_left - (time.monotonic() - began)
    choice = {**choose(figures, options.jobs, left, options.steps), "figures": figures}
    (options.work / "choice.json").write_text(json.dumps(choice, indent=1), encoding="utf-8")
    way = WAYS[choice["way"]]
    steps = choice["steps"]
    schedule = {
        "trainer.max_steps": steps,
        "trainer.warmup_steps": max(1, steps // 100),
        "trainer.logging_steps": max(1, steps // 200),
        "trainer.eval_steps": max(1, steps // 10),
        "trainer.save_steps": max(1, steps // 10),
    }
    values = [f"{name}={json.dumps(value)}" for name, value in (way | schedule).items()] + options.settings
    lines = [
        f"JOBS=({' '.join(map(shlex.quote, choice['jobs']))})",
        f"AT_ONCE={choice['at_once']}",
        f"SETTINGS=({' '.join(f'--set {shlex.quote(value)}' for value in values)})",
    ]
    (options.work / "choice.sh").write_text("\n".join(lines) + "\n", encoding="utf-8")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds of a step in each way, alone; what side by side gains; seconds until the first step was taken."""
    context = multiprocessing.get_context("spawn")
    began, processes, pipes = time.monotonic(), {}, {}
    kinds = {way: (options.jobs[0], way) for way in options.ways}
    kinds |= {f"{COMPARED}, {recipe}": (recipe, COMPARED) for recipe in options.compare}
    for way, (job, settings_of) in kinds.items():
        pipes[way], theirs = context.Pipe()
        arguments = (way, {**WAYS, **ONLY_MEASURED}[settings_of], options.work, job, options.settings, theirs)
        processes[way] = context.Process(target=train, args=arguments, daemon=False)
        processes[way].start()
        theirs.close()
    first_step: dict[str, float] = {}
    pending = dict(pipes)
    while pending and (left := options.compile_seconds - (time.monotonic() - began)) > 0:
        ready = wait(list(pending.values()), timeout=left)
        for way, pipe in [(name, own) for name, own in pending.items() if own in ready]:
            del pending[way]
            seconds = answer(pipe)
            if seconds is not None:
                first_step[way] = seconds
            said = "failed, see its log" if seconds is None else f"first step after {seconds:.0f} s"
            print(f"{time.monotonic() - began:5.0f} s  {way}: {said}", flush=True)
    for way in pending:
        print(f"{time.monotonic() - began:5.0f} s  {way}: not compiled in time, left out", flush=True)
    for way, process in processes.items():
        if way not in first_step:
            process.kill()

    alone: dict[str, list[float]] = {way: [] for way in first_step}
    for round_of in (list(first_step), list(reversed(first_step))):
        for way in round_of:
            pipes[way].send(options.block)
            alone[way].append(answer(pipes[way]) or float("nan"))
    milliseconds = {
        way: statistics.mean(times) for way, times in alone.items() if times == [t for t in times if t == t]
    }
    for way, mean in sorted(milliseconds.items(), key=lambda item: item[1]):
        times = " and ".join(f"{time:.2f}" for time in alone[way])
        print(f"{way:28} {mean:8.2f} ms a step ({times})", flush=True)

    compared = {way: milliseconds.pop(way) for way in list(milliseconds) if way not in WAYS}
    together: dict[str, float] = {}
    company = sorted(milliseconds, key=milliseconds.__getitem__)[:AT_ONCE]
    if len(company) > 1:
        for way in company:
            pipes[way].send(2 * options.block)
        for way in company:
            together[way] = answer(pipes[way]) or float("nan")
    gain = 1.0
    if together and together[company[0]] > 0:  # not NaN
        # Of the fastest way, as if it ran beside itself. Slower ways, whose host keeps the GPU waiting, gain more.
        gain = len(company) * milliseconds[company[0]] / together[company[0]]
        print(f"{company[0]}, {len(company)} side by side: {gain:.2f} times the steps of one", flush=True)
    for way in first_step:
        processes[way].kill()
    return {
        "milliseconds": milliseconds,
        "compared": compared,
        "blocks": alone,
        "side_by_side": together,
        "gain": gain,
        "seconds_to_first_step": first_step,
    }


def answer(pipe: Connection) -> float | None:
    """What a process says; None where it has ended."""
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None


def choose(figures: dict[str, Any], jobs: list[str], left: float, steps: int | None) -> dict[str, Any]:
    """Which way, how many at once, how many steps, and which of the jobs."""
    way = min(figures["milliseconds"], key=figures["milliseconds"].__getitem__)
    step, gain = figures["milliseconds"][way] / 1e3, figures["gain"]
    at_once = AT_ONCE if gain >= WORTH_IT else 1
    start = 0.6 * figures["seconds_to_first_step"][way]  # fewer compile at a time than here

    def seconds(num_jobs: int, num_steps: int) -> float:
        """Until so many jobs are done, so many at once."""
        whole = 0.0
        for begin in range(0, num_jobs, at_once):
            several = min(at_once, num_jobs - begin)
            rate = 1 + (gain - 1) * (several - 1) / (AT_ONCE - 1)  # models at once, in units of one alone
            whole += start + SECONDS_TO_FINISH + num_steps * step * several / rate
        return whole

    usable = MARGIN * left
    fitting = [count for count in range(1, len(jobs) + 1) if seconds(count, PUBLISHED_STEPS) <= usable]
    if steps is not None:
        num_jobs, chosen = len(jobs), steps
    elif fitting and fitting[-1] >= min(3, len(jobs)):
        num_jobs, chosen = fitting[-1], PUBLISHED_STEPS
    else:
        # Fewer steps of the same schedule, decided before the start.
        for num_jobs in range(min(3, len(jobs)), 0, -1):
            within = [s for s in range(1_000, PUBLISHED_STEPS + 1, 1_000) if seconds(num_jobs, s) <= usable]
            chosen = within[-1] if within else 1_000
            if chosen >= FEWEST_STEPS:
                break
    expected = seconds(num_jobs, chosen)
    print(f"{way}: {num_jobs} models of {chosen:,} steps, {at_once} at once: {expected:.0f} of {left:.0f} s")
    return {
        "way": way,
        "at_once": at_once,
        "steps": chosen,
        "jobs": jobs[:num_jobs],
        "expected_seconds": expected,
        "seconds_left": left,
    }


def train(way: str, values: dict[str, Any], work: Path, job: str, settings: list[str], pipe: Connection) -> None:
    """Take steps when told to; the process ends with the pipe."""
    log = work / f"probe-{way.replace(', ', '-').replace(' ', '-')}.txt"
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(output, 1)
    os.dup2(output, 2)
    began = time.monotonic()
    import torch
    from transformers import TrainerCallback

    from howfar.corpus.corpus import Corpus
    from howfar.models.modeling import HowFarForCausalLM
    from howfar.text.tokenizer import byte_tokenizer
    from howfar.training.attention import maskless_attention
    from howfar.training.recipe import Recipe
    from howfar.training.run import fit
    from howfar.training.runs import Run
    from howfar.training.trainer import IncrementTrainer

    class Turns(TrainerCallback):
        """Between two blocks of steps it waits to be told how many seconds the next one takes."""

        until: float | None = None
        begin = 0.0
        begin_step = 0

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            if state.global_step == 1:
                self.synchronize()
                self.first = time.monotonic() - began
            if state.global_step < WARM_STEPS:
                return
            if self.until is None:
                self.synchronize()
                pipe.send(self.first)
            elif time.perf_counter() < self.until:
                return
            else:
                self.synchronize()
                steps = state.global_step - self.begin_step
                pipe.send(1e3 * (time.perf_counter() - self.begin) / steps)
            try:
                block = pipe.recv()
            except EOFError:
                os._exit(0)
            self.begin_step, self.begin = state.global_step, time.perf_counter()
            self.until = self.begin + block

        @staticmethod
        def synchronize() -> None:
            if torch.cuda.is_available():
                torch.cuda.synchronize()

    class Watched(IncrementTrainer):
        def __init__(self, **options: Any) -> None:
            super().__init__(**{**options, "callbacks": [*options["callbacks"], Turns()]})

    quiet = {"max_steps": 50_000, "logging_steps": 50_000, "save_strategy": "no", "eval_strategy": "no"}
    values = {f"trainer.{name}": value for name, value in quiet.items()} | values
    settings = [*settings, *(f"{name}={json.dumps(value)}" for name, value in values.items())]
    recipe = Recipe.load(job.partition("@")[0], overrides={"corpus": str(work / "corpus")}, settings=settings)
    torch.manual_seed(0)
    model, tokenizer = HowFarForCausalLM(recipe.model_config()), byte_tokenizer()
    model.config.pad_token_id = tokenizer.pad_token_id
    length = model.config.max_position_embeddings
    with tempfile.TemporaryDirectory() as folder, maskless_attention(model):
        run = Run(recipe=recipe, corpus=Corpus.open(recipe.corpus), output=Path(folder), length=length)
        fit(run, model, tokenizer, trainer_class=Watched)


if __name__ == "__main__":
    main()
