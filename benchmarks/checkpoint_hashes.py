"""What it costs that a checkpoint's files are hashed when they are written, and again before a run goes on from them.

A model and its optimiser's state are written as a checkpoint and read again; their files are hashed, checked, and timed
in seconds of processor time, which a busy machine does not lengthen. The share is of the training between two
checkpoints of a recipe:

    python benchmarks/checkpoint_hashes.py --recipe published-per-layer --seconds-per-step 0.007

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from howfar.models.manifest import describe_files
from howfar.models.modeling import HowFarForCausalLM
from howfar.training.checkpoints import check_files
from howfar.training.recipe import Recipe


def one_round(model: Any, optimizer: torch.optim.Optimizer, folder: Path, times: dict[str, list[float]]) -> int:
    """Write, hash, check and read one checkpoint; gives its size."""

    def timed(name: str, call: Callable[[], Any]) -> Any:
        begun = time.process_time()
        result = call()
        times[name].append(time.process_time() - begun)
        return result

    state = folder / "optimizer.pt"

    def write() -> None:
        model.save_pretrained(folder)
        torch.save(optimizer.state_dict(), state)

    timed("saving", write)
    listed = timed("its hashes", lambda: describe_files(folder))
    timed("checks before", lambda: check_files(folder, listed, advice=""))
    timed("resuming", lambda: (load_file(folder / "model.safetensors"), torch.load(state, weights_only=True)))
    return sum(entry["bytes"] for entry in listed.values())


def main() -> None:
    """Write, hash and read some checkpoints; print medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="published-per-layer")
    parser.add_argument("--seconds-per-step", type=float, required=True)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    recipe = Recipe.load(options.recipe)
    model = HowFarForCausalLM(recipe.model_config())
    optimizer = torch.optim.AdamW(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    times: dict[str, list[float]] = {"saving": [], "its hashes": [], "resuming": [], "checks before": []}

    for _ in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            num_bytes = one_round(model, optimizer, Path(folder), times)
    seconds = {name: round(statistics.median(noted), 4) for name, noted in times.items()}
    between = recipe.trainer["save_steps"] * options.seconds_per_step
    shares = {name: seconds[name] / between for name in ("its hashes", "checks before")}
    print(json.dumps({"bytes": num_bytes, "seconds": seconds, "seconds_between": between, "shares": shares}))


if __name__ == "__main__":
    main()
