"""Drop the sentences of a gold segmentation that a model may have seen: those sharing a long run with training text.

    python tools/drop_seen.py GOLD TEXT [--run 12] > UNSEEN

GOLD has a sentence a line, words separated by spaces; TEXT is UTF-8. Runs are compared without spaces. A sentence that
is shorter than a run is one run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path


def runs(text: str, length: int) -> Iterator[str]:
    """Every stretch of so many characters."""
    return (text[start : start + length] for start in range(len(text) - length + 1))


def main() -> None:
    """Print the sentences that share no run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("gold", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--run", type=int, default=12)
    arguments = parser.parse_args()

    sentences = arguments.gold.read_text(encoding="utf-8").splitlines()
    plain = ["".join(sentence.split()) for sentence in sentences]
    lengths = {min(arguments.run, len(sentence)) for sentence in plain if sentence}
    wanted = {run for sentence in plain for run in runs(sentence, min(arguments.run, len(sentence)))}
    seen: set[str] = set()
    with arguments.text.open(encoding="utf-8") as lines:
        for line in lines:
            text = "".join(line.split())
            seen.update(run for length in lengths for run in runs(text, length) if run in wanted)
    kept = [
        sentence
        for sentence, own in zip(sentences, plain, strict=True)
        if own and not any(run in seen for run in runs(own, min(arguments.run, len(own))))
    ]
    print("\n".join(kept))
    print(f"kept {len(kept)} of {len(sentences)} sentences", file=sys.stderr)


if __name__ == "__main__":
    main()
