"""Show fuzzed texts: `python tools/campaigns/texts.py` (10,000 texts, a quarter of an hour).

Each text goes through the whole command line; the model is read from its folder once.
"""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Iterator
from pathlib import Path

from campaign import call, campaign, outcome_of, tiny_model

from howfar.models import loading

PIECES = (
    "a", " ", "\n", "\r", "\t", "\0", "\x1b[2J", "\x9b31m", "\ufeff", "\u202e", "\u2066", "\u2028", "\u3000", "é",
    "e\u0301", "中文", "שלום", "مرحبا", "👩‍👩‍👧‍👦", "🏳️‍🌈", "\ud800", "\udcff", "\U0010ffff", "\u200d",
    "</script>", "{{7*7}}", "--debug", "-m",
)  # fmt: skip


def fuzzed(chance: random.Random) -> str:
    """A short text of odd pieces and of any characters."""
    pieces = [chance.choice(PIECES) if chance.random() < 0.7 else chr(chance.randrange(0x110000)) for _ in range(12)]
    return "".join(pieces[: chance.randrange(13)])


def run(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Read each text as an argument; what is printed must mean the text."""
    model, chance = str(tiny_model(folder)), random.Random(seed)
    loading.load = functools.cache(loading.load)
    for _ in range(number):
        text = fuzzed(chance)
        code, output, errors = call("show", "--json", "--model", model, "--", text)
        outcome = outcome_of(code, errors)
        if outcome == "done" and json.loads(output)["text"] != text:
            outcome = "another text"
        if outcome == "refused by name" and text and not any(0xD800 <= ord(character) < 0xE000 for character in text):
            outcome = "refused for nothing" if text != "-" else outcome
        yield outcome, repr(text)


if __name__ == "__main__":
    campaign("Show fuzzed texts.", 10_000, run)
