"""Time of `boundaries`, or of `segmentation`, with all its baselines, against one bare forward pass over the same text.

The bar: at most 3 times the bare pass and 30 seconds. The bare pass runs the model over the same windows that a trace
reads, in the same batches, with nothing watched and nothing kept. It runs before and after each run of the measure, so
that whatever else the machine does falls on both alike; the ratio is of medians. Time is the processor's, of this
process, so that other processes on the machine count for little; the wall's is reported too.

    OMP_NUM_THREADS=1 python benchmarks/boundaries.py --corpus corpora/bilingual --gold gold.txt
    OMP_NUM_THREADS=1 python benchmarks/boundaries.py --corpus corpora/bilingual --gold gold.txt --measure segmentation

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import PreTrainedModel

import howfar
from howfar.corpus.corpus import Corpus
from howfar.measures.boundaries import boundaries
from howfar.measures.boundaries.targets import TARGETS
from howfar.measures.segmentation import segmentation
from howfar.reading.reader import Reader
from howfar.reading.windows import side_by_side
from howfar.text.segmentation import Segmentation, read_spaced

TARGET = "chinese-words"
MEASURES: dict[str, Callable[..., object]] = {"boundaries": boundaries, "segmentation": segmentation}


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of the processor and on the wall."""
    processor, wall = time.process_time(), time.perf_counter()
    work()
    return time.process_time() - processor, time.perf_counter() - wall


def enough(documents: list[Segmentation], num_gaps: int) -> list[Segmentation]:
    """The documents that the measure will read."""
    chosen, found = [], 0
    for document in documents:
        if found < num_gaps and (own := int(TARGETS[TARGET].candidates(document.text).sum())):
            chosen.append(document)
            found += own
    return chosen


def run_bare(model: PreTrainedModel, documents: list[Segmentation]) -> None:
    reader = Reader(model)
    windows = [w for document in documents for w in reader.cover(reader.tokenize(document.text).tokens)]
    with torch.inference_mode():
        for batch in reader.batches(windows):
            model(input_ids=side_by_side(batch), use_cache=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="name, folder or Hub id; the first of `howfar models` where absent")
    parser.add_argument("--corpus", type=Path, required=True, help="what the model was trained on, to count in")
    parser.add_argument("--gold", type=Path, required=True, help="words parted by spaces, a sentence a line")
    parser.add_argument("--gaps", type=int, default=40_000)
    parser.add_argument("--measure", choices=tuple(MEASURES), default="boundaries")
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()

    measure = MEASURES[arguments.measure]
    model, corpus = howfar.load(arguments.model), Corpus.open(arguments.corpus)
    documents = enough(list(read_spaced(arguments.gold)), arguments.gaps)
    run_bare(model, documents[:100])  # warms up
    bare, measured = [timed(lambda: run_bare(model, documents))], []
    for number in range(arguments.rounds):
        measured.append(timed(lambda: measure(model, documents, target=TARGET, corpus=corpus, max_gaps=arguments.gaps)))
        bare.append(timed(lambda: run_bare(model, documents)))
        print(f"round {number + 1}: {measured[-1][0]:.1f} s, bare {bare[-1][0]:.1f} s", flush=True)
    seconds = statistics.median(processor for processor, _ in measured)
    seconds_bare = statistics.median(processor for processor, _ in bare)
    result = {
        "benchmark": arguments.measure,
        "gaps": arguments.gaps,
        "documents": len(documents),
        "bytes": sum(len(document.text.encode()) for document in documents),
        "processor_seconds": round(seconds, 2),
        "processor_seconds_bare": round(seconds_bare, 2),
        "wall_seconds": round(statistics.median(wall for _, wall in measured), 2),
        "wall_seconds_bare": round(statistics.median(wall for _, wall in bare), 2),
        "allowed_seconds": round(3 * seconds_bare + 30, 2),
        "met": seconds <= 3 * seconds_bare + 30,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
