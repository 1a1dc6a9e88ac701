"""Reading by several processes against reading by one, and the memory of the process that hands out.

`contexts` looks through documents by this process and by workers, in turns, after both have read a little; the ratio
is of bytes a second. On a busy machine that says little, so processor time is compared too: `of_processor_time` is what
the ratio would be on as many free cores as there are workers, if none of them ever waited. Then a tiny model reads as
much of the text as a time limit allows, and the resident memory of this process is noted at every 2 MB.

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

NOTED_EVERY = 2_000_000  # bytes
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


def processor_seconds() -> dict[int, float]:
    """Of this process and all that it has started."""
    own = psutil.Process()
    times = {process.pid: process.cpu_times() for process in (own, *own.children(recursive=True))}
    return {pid: time.user + time.system for pid, time in times.items()}


def timed(model: PreTrainedModel, texts: Iterable[str]) -> tuple[float, float]:
    """Seconds, and processor seconds of all processes together."""
    started, before = time.perf_counter(), processor_seconds()
    contexts(model, texts)
    elapsed, after = time.perf_counter() - started, processor_seconds()
    return elapsed, sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def ratios(path: Path, num_bytes: int, workers: int, rounds: int) -> list[dict[str, float]]:
    """Bytes a second by one process and by workers, in turns, each on text of its own."""
    model, texts = howfar.load(), first(path, 2 * num_bytes * rounds)
    size = len(texts) // rounds
    found = []
    with howfar.workers(workers):
        timed(model, texts[:4])  # workers load the model
        for number in range(rounds):
            own = texts[number * size : (number + 1) * size]
            halves = own[::2], own[1::2]
            sizes = [sum(len(text.encode()) for text in half) for half in halves]
            by_workers = timed(model, halves[0])
            with howfar.workers(1):
                by_one = timed(model, halves[1])
            rates = {"workers": round(sizes[0] / by_workers[0]), "one": round(sizes[1] / by_one[0])}
            found.append({**rates, "ratio": round(rates["workers"] / rates["one"], 3)})
            of_each = sizes[1] / by_one[1], sizes[0] / by_workers[1]
            found[-1]["of_processor_time"] = round(workers * of_each[1] / of_each[0], 3)
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
    result: dict[str, object] = {"benchmark": "workers", "workers": arguments.workers, "rounds": found}
    result |= {
        f"median_{name}": statistics.median(one[name] for one in found) for name in ("ratio", "of_processor_time")
    }
    result["resident_megabytes"] = memory(arguments.text, arguments.workers, arguments.seconds)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
