"""Start two commands on one folder at once: `python tools/campaigns/pairs.py` (20 pairs, some minutes)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

from campaign import Command, campaign, outcome_of, result_of, works


def run(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Build one corpus, train one model or make one graft twice at once; one is refused and one undisturbed."""
    chance, commands = random.Random(seed), works(folder, documents=8_000)
    expected = {}
    for kind, command in commands.items():
        Command([*command, f"{kind}-alone"], folder).ended()
        expected[kind] = result_of(folder / f"{kind}-alone")
    for index in range(number):
        kind = [*commands][index % len(commands)]
        name = f"{kind}-pair{index}"
        one = Command([*commands[kind], name], folder)
        time.sleep(chance.uniform(0, 0.1))
        other = Command([*commands[kind], name], folder)
        ended = [each.ended() for each in (one, other)]
        first, second = sorted(outcome_of(code, errors) for code, errors in ended)
        outcome = {
            ("done", "done"): "both done, one of them in vain",
            ("done", "refused by name"): "one done, one refused by name",
        }.get((first, second), f"{first} and {second}")
        if "done" in (first, second) and result_of(folder / name) != expected[kind]:
            outcome = "other bytes"
        yield outcome, f"{index}, {kind}: {ended}"


if __name__ == "__main__":
    campaign("Start two commands on one folder at once.", 20, run)
