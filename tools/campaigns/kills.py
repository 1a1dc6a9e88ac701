"""Kill builds of a corpus and resume them: `python tools/campaigns/kills.py` (60 kills, half an hour).

Training and grafting are killed at random moments by tests/unit/training/test_processes.py.
"""

from __future__ import annotations

import random
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from campaign import COMMAND, campaign, outcome_of, process

from howfar.corpus.corpus import Corpus


def build(name: str) -> list[str]:
    """The command."""
    return ["corpus", "build", name, "--source", "a.txt", "--held-out-documents", "10"]


def run(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Kill a build at a random moment, build again, and compare with a build that nobody disturbed."""
    chance = random.Random(seed)
    documents = (f"document {index} " + "words and more words " * chance.randrange(40) for index in range(60_000))
    (folder / "a.txt").write_text("\n\n".join(documents), encoding="utf-8")
    begun = time.monotonic()
    subprocess.run([*COMMAND, *build("whole")], cwd=folder, check=True, capture_output=True)
    seconds, expected = time.monotonic() - begun, Corpus.open(folder / "whole").hash
    for index in range(number):
        with process(*build(f"killed{index}"), cwd=folder) as killed:
            time.sleep(chance.uniform(0, seconds))
            killed.kill()
        again = subprocess.run(
            [*COMMAND, *build(f"killed{index}")], cwd=folder, capture_output=True, text=True, timeout=30 * seconds
        )
        path = folder / f"killed{index}"
        was_whole = again.returncode == 2 and "exists already" in again.stderr
        if again.returncode and not was_whole:
            outcome = outcome_of(again.returncode, again.stderr) + " where it was to go on"
        else:
            same = Corpus.open(path).hash == expected and not list(folder.glob(f".{path.name}.partial"))
            outcome = "resumed to the same bytes" if same else "other bytes"
        yield outcome, f"{index}: {again.stderr}"


if __name__ == "__main__":
    campaign("Kill builds of a corpus and resume them.", 60, run)
