"""From a cold start to the written picture, beside merely importing PyTorch and Transformers.

    python benchmarks/cold_start.py [--rounds 5]

Both run in turn in fresh processes, after a first round that warms the disk's cache and keeps compiled modules, as an
installation does. `show` uses two cores where it has them. The last line is JSON: medians in seconds with their
quartiles, of the time that passes and of the processors' (of both processes that `show` needs), and the bar that `show`
is to keep, 1.5 times the import and a second.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SENTENCE = "Marie Curie, a Polish-born physicist, won two Nobel Prizes."
IMPORT = [sys.executable, "-c", "import torch, transformers"]


def seconds(command: list[str]) -> tuple[float, float]:
    """How long a command takes, and how much of the processors' time."""
    # Modules that are compiled anew at every start are nobody's ordinary case.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    begun, used = time.perf_counter(), processor_seconds()
    subprocess.run(command, check=True, capture_output=True, env=environment)
    return time.perf_counter() - begun, processor_seconds() - used


def processor_seconds() -> float:
    """What finished child processes have used so far."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def main() -> None:
    """Time both in turn."""
    parser = argparse.ArgumentParser(description="Time `howfar show` from a cold start.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        show = [sys.executable, "-c", "from howfar.cli import main; main()", "show", SENTENCE]
        show += ["-o", str(Path(folder, "picture.html"))]
        measured = [(*seconds(IMPORT), *seconds(show)) for _ in range(rounds + 1)][1:]
    names = ("import", "import_processor", "show", "show_processor")
    quartiles = {
        name: [round(value, 2) for value in statistics.quantiles(column, n=4, method="inclusive")]
        for name, column in zip(names, zip(*measured, strict=True), strict=True)
    }
    medians = {name: quartiles[name][1] for name in names}
    bar = 1.5 * medians["import"] + 1
    result = {**medians, "bar": round(bar, 2), "within": medians["show"] <= bar, "quartiles": quartiles}
    print(json.dumps({**result, "rounds": rounds}))


if __name__ == "__main__":
    main()
