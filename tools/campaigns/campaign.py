"""What the campaigns share: a tiny model, the command line in this process or another, and what came of a call."""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path

GOOD = frozenset(
    {"done", "refused by name", "resumed to the same bytes", "one done, one refused by name", "both the same"}
)
COMMAND = [sys.executable, "-c", "from howfar.cli import main; main()"]


def campaign(description: str, number: int, run: Callable[[int, int, Path], Iterator[tuple[str, str]]]) -> None:
    """Run cases, count what came of them, and exit with 1 if any is not as promised.

    Args:
        description: What is tried.
        number: How many cases there are where `--number` does not say.
        run: Gives a case's outcome and what to say of it, from the number of cases, the seed and a folder.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--number", type=int, default=number)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    begun, counts = time.monotonic(), Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        for outcome, case in run(options.number, options.seed, Path(folder)):
            counts[outcome] += 1
            if outcome not in GOOD:
                print(f"{outcome}: {case}", flush=True)
    print(json.dumps({"cases": counts.total(), **counts, "seconds": round(time.monotonic() - begun)}))
    sys.exit(any(outcome not in GOOD for outcome in counts))


def tiny_model(folder: Path) -> Path:
    """Save a model whose increments vary strongly."""
    import torch

    from howfar.models.configuration import HowFarConfig
    from howfar.models.loading import save
    from howfar.models.modeling import HowFarForCausalLM

    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
    config = HowFarConfig(**sizes, max_position_embeddings=64, initializer_range=0.4, increments={"start": "random"})
    save(HowFarForCausalLM(config).eval(), folder / "tiny")
    return folder / "tiny"


def outcome_of(code: int, errors: str) -> str:
    """What came of a call, by its exit code and what it said."""
    if code == 0:
        return "done"
    lines = errors.strip().splitlines()
    if code == 2 and lines and lines[-1].startswith("error: ") and "howfar --debug" not in lines[-1]:
        return "refused by name" if "Traceback" not in errors else "traceback"
    return "traceback" if "Traceback" in errors else "unnamed error"


def call(*arguments: str) -> tuple[int, str, str]:
    """Run the command line in this process; gives the exit code and both outputs."""
    from howfar.cli import main

    output, errors, before = io.StringIO(), io.StringIO(), sys.argv
    sys.argv = ["howfar", *arguments]
    try:
        with redirect_stdout(output), redirect_stderr(errors):
            main()
        code = 0
    except SystemExit as stop:
        code = int(stop.code or 0)
    finally:
        sys.argv = before
    return code, output.getvalue(), errors.getvalue()


@contextmanager
def process(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Run the command line in a process of its own, which does not outlive the block."""
    with subprocess.Popen(
        [*COMMAND, *arguments], cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as started:
        try:
            yield started
        finally:
            started.kill()
