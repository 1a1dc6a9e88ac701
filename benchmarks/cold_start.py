"""From a cold start to the written picture, beside merely importing PyTorch and Transformers.

    python benchmarks/cold_start.py [--rounds 5]

Both run in turn in fresh processes. The last line is JSON: medians in seconds, and the bar that `show` is to keep,
1.5 times the import and a second.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SENTENCE = "Marie Curie, a Polish-born physicist, won two Nobel Prizes."
IMPORT = [sys.executable, "-c", "import torch, transformers"]


def seconds(command: list[str]) -> float:
    """How long a command takes."""
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    """Time both in turn, after a first round that warms the disk's cache."""
    parser = argparse.ArgumentParser(description="Time `howfar show` from a cold start.")
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        show = [sys.executable, "-c", "from howfar.cli import main; main()", "show", SENTENCE]
        show += ["-o", str(Path(folder, "picture.html"))]
        times = [(seconds(IMPORT), seconds(show)) for _ in range(rounds + 1)][1:]
    imports, shows = (statistics.median(column) for column in zip(*times, strict=True))
    bar = 1.5 * imports + 1
    print(json.dumps({"import": imports, "show": shows, "bar": bar, "within": shows <= bar, "rounds": rounds}))


if __name__ == "__main__":
    main()
