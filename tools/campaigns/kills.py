"""Kill builds of a corpus, trainings and grafts and resume them: `python tools/campaigns/kills.py` (60 kills)."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

from campaign import Command, campaign, outcome_of, result_of, works


def run(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Kill a command at a random moment, give it again, and compare with one that nobody disturbed."""
    chance, undisturbed = random.Random(seed), {}
    commands = works(folder, documents=8_000)
    for kind, command in commands.items():
        begun = time.monotonic()
        code, said = Command([*command, f"{kind}-whole"], folder).ended()
        if code:
            yield outcome_of(code, said), f"{kind}, undisturbed: {said}"
            return
        undisturbed[kind] = time.monotonic() - begun, result_of(folder / f"{kind}-whole")
    for index in range(number):
        kind = [*commands][index % len(commands)]
        seconds, expected = undisturbed[kind]
        name = f"{kind}-killed{index}"
        killed = Command([*commands[kind], name], folder)
        time.sleep(chance.uniform(0, seconds))
        killed.kill()
        code, said = Command([*commands[kind], name], folder).ended(60 + 30 * seconds)
        was_whole = kind == "corpus" and code == 2 and "exists already" in said
        if code and not was_whole:
            outcome = outcome_of(code, said) + " where it was to go on"
        else:
            left = [path.name for path in folder.glob(f".*{name}*")] + [*folder.glob(".howfar.*")]
            outcome = "resumed to the same bytes" if result_of(folder / name) == expected else "other bytes"
            outcome = f"left {left}" if left else outcome
        yield outcome, f"{index}, {kind}: {said}"


if __name__ == "__main__":
    campaign("Kill builds of a corpus, trainings and grafts and resume them.", 60, run)
