"""Reading by several processes against reading by one, and the memory of the process that hands out.

`contexts` looks through documents by this process and by workers, in turns, after both have read a little; the ratio
is of bytes a second. Then a tiny model reads as much of the text as a time limit allows, and the resident memory of
this process is noted at every 10 MB.

    OMP_NUM_THREADS=1 python benchmarks/workers.py TEXT --bytes 1_000_000 --workers 2 --seconds 120

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import torch
from transformers import PreTrainedModel

import howfar
from howfar.measures.contexts import contexts
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM

NOTED_EVERY = 10_000_000  # bytes
TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 16}


def documents(path: Path) -> Iterator[str]:
    """Paragraphs between blank lines, one at a time."""
    lines: list[str] = []
    with path.open(encoding="utf-8") as file:
        for line in file:
            lines.append(line)
            if not line.strip() and len(lines) > 1:
                yield "".join(lines).strip()
                lines = []
    if lines:
        yield "".join(lines)


def first(path: Path, num_bytes: int) -> list[str]:
    taken, size = [], 0
    for document in documents(path):
        taken.append(document)
        size += len(document.encode())
        if size >= num_bytes:
            break
    return taken


def timed(model: PreTrainedModel, texts: Iterable[str]) -> float:
    started = time.perf_counter()
    contexts(model, texts)
    return time.perf_counter() - started


def ratios(path: Path, num_bytes: int, workers: int, rounds: int) -> list[dict[str, float]]:
    """Bytes a second by one process and by workers, in turns, each on text of its own."""
    model, texts = howfar.load(), first(path, 2 * num_bytes * rounds)
    size = len(texts) // rounds
    found = []
    with howfar.workers(workers):
        timed(model, texts[:100])  # workers load the model
        for number in range(rounds):
            own = texts[number * size : (number + 1) * size]
            halves = own[::2], own[1::2]
            by_workers = sum(len(text.encode()) for text in halves[0]) / timed(model, halves[0])
            with howfar.workers(1):
                by_one = sum(len(text.encode()) for text in halves[1]) / timed(model, halves[1])
            found.append({"one": round(by_one), "workers": round(by_workers), "ratio": round(by_workers / by_one, 3)})
            print(found[-1], flush=True)
    return found


def memory(path: Path, workers: int, seconds: float) -> dict[str, float]:
    """Resident megabytes of this process, by megabytes of text that it has handed out."""
    noted: dict[str, float] = {}
    process, until = psutil.Process(), time.monotonic() + seconds

    def noting() -> Iterator[str]:
        size, then = 0, NOTED_EVERY
        for document in documents(path):
            if time.monotonic() > until:
                break
            yield document
            size += len(document.encode())
            if size >= then:
                noted[str(size // 1_000_000)] = round(process.memory_info().rss / 1e6, 1)
                print(noted, flush=True)
                then += NOTED_EVERY
        noted[f"{size / 1e6:.1f} (end)"] = round(process.memory_info().rss / 1e6, 1)

    with tempfile.TemporaryDirectory() as folder, howfar.workers(workers):
        torch.manual_seed(0)
        config = HowFarConfig(**TINY, max_position_embeddings=256, increments={"start": "random"})
        howfar.save(HowFarForCausalLM(config).eval(), Path(folder, "tiny"))
        contexts(howfar.load(Path(folder, "tiny")), noting())
    return noted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="UTF-8, with blank lines between documents")
    parser.add_argument("--bytes", type=int, default=1_000_000, help="that each way reads in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=120, help="for the memory's part")
    arguments = parser.parse_args()
    found = ratios(arguments.text, arguments.bytes, arguments.workers, arguments.rounds)
    result = {"benchmark": "workers", "workers": arguments.workers, "rounds": found}
    result["median_ratio"] = statistics.median(one["ratio"] for one in found)
    result["resident_megabytes"] = memory(arguments.text, arguments.workers, arguments.seconds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
