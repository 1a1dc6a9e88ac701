"""Start two commands on one folder at once: `python tools/campaigns/pairs.py` (20 pairs, some minutes)."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

from campaign import campaign, outcome_of, process

from howfar.corpus.corpus import Corpus


def run(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Build one corpus twice at once: no work may be lost, and nothing may be done twice in silence."""
    chance = random.Random(seed)
    documents = (f"document {index} " + "words and more words " * chance.randrange(40) for index in range(20_000))
    (folder / "a.txt").write_text("\n\n".join(documents), encoding="utf-8")
    for index in range(number):
        name = f"pair{index}"
        command = ["corpus", "build", name, "--source", "a.txt", "--held-out-documents", "10"]
        with process(*command, cwd=folder) as one, process(*command, cwd=folder) as other:
            said = [each.communicate(timeout=600)[1] for each in (one, other)]
            codes = [one.returncode, other.returncode]
        outcomes = sorted(outcome_of(code, errors) for code, errors in zip(codes, said, strict=True))
        outcome = {
            ("done", "done"): "both done, one of them in vain",
            ("done", "refused by name"): "one done, one refused by name",
        }.get(tuple(outcomes), " and ".join(outcomes))
        if "done" in outcomes:
            Corpus.open(folder / name).verify()
        yield outcome, f"{index}: {said}"


if __name__ == "__main__":
    campaign("Start two commands on one folder at once.", 20, run)
