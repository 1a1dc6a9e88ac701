"""Reading and corpus builds by several processes against one, and the memory of the process that hands out.

`contexts` looks through documents by this process and by workers, in turns, after both have read a little; the ratio
is of bytes a second. On a busy machine that says little, so processor time is compared too: `of_processor_time` is what
the ratio would be on as many free cores as there are workers, if none of them ever waited. Cores that share a cache or
a clock are slower together, so `of_apart` compares workers with as many processes that know nothing of each other and
read a share each. Then a tiny model reads as much of the text as a time limit allows, and the resident memory of this
process is noted at every 2 MB.

A corpus of the beginning of the text is built by workers and by this process, in turns, of bytes and of the tokens of a
fast tokenizer that is trained on that text; both must be the same.

    OMP_NUM_THREADS=1 python benchmarks/workers.py TEXT --bytes 1_000_000 --workers 2 --seconds 120
    OMP_NUM_THREADS=1 python benchmarks/workers.py TEXT --parts reading --small --bytes 500_000 --rounds 9
    OMP_NUM_THREADS=1 python benchmarks/workers.py TEXT --parts build --bytes 20_000_000

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from multiprocessing import get_context
from pathlib import Path

import psutil
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

import howfar
from howfar.corpus.build import build_corpus
from howfar.corpus.corpus import Corpus
from howfar.corpus.sources import LocalFiles, Source
from howfar.measures.contexts import contexts
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM

PARTS = ("reading", "memory", "build")
NOTED_EVERY = 2_000_000  # bytes
TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1, "head_dim": 16}
SMALL = {"hidden_size": 64, "intermediate_size": 176, "num_hidden_layers": 4, "num_attention_heads": 4, "head_dim": 16}


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


def timed(work: Callable[..., object], *arguments: object) -> tuple[float, float]:
    """Seconds, and processor seconds of all processes together."""
    started, before = time.perf_counter(), processor_seconds()
    work(*arguments)
    elapsed, after = time.perf_counter() - started, processor_seconds()
    return elapsed, sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def compared(
    sizes: tuple[int, int], by_workers: tuple[float, float], by_one: tuple[float, float], workers: int
) -> dict[str, float]:
    """Bytes a second by workers and by one process, and their ratios; sizes are of what each did."""
    rates = {"workers": round(sizes[0] / by_workers[0]), "one": round(sizes[1] / by_one[0])}
    of_processor_time = workers * (sizes[0] / by_workers[1]) / (sizes[1] / by_one[1])
    found = {**rates, "ratio": round(rates["workers"] / rates["one"], 3)}
    found["of_processor_time"] = round(of_processor_time, 3)
    return found


def untrained(size: dict[str, int], folder: Path) -> str:
    """A folder of a model of random weights."""
    torch.manual_seed(0)
    config = HowFarConfig(**size, max_position_embeddings=256, increments={"start": "random"})
    howfar.save(HowFarForCausalLM(config).eval(), folder)
    return str(folder)


def ratios(model_name: str | None, path: Path, num_bytes: int, workers: int, rounds: int) -> list[dict[str, float]]:
    """Bytes a second by one process, by workers and by processes apart, in turns, each on text of its own."""
    model, texts = howfar.load(model_name), first(path, 3 * num_bytes * rounds)
    size = len(texts) // rounds
    found = []
    with howfar.workers(workers), ProcessPoolExecutor(workers, mp_context=get_context("forkserver")) as apart:
        contexts(model, texts[:4])  # workers load the model
        read_apart(apart, model_name, [texts[:4]] * workers)
        for number in range(rounds):
            own = texts[number * size : (number + 1) * size]
            of_workers, of_one, of_apart = own[::3], own[1::3], own[2::3]
            by_workers = timed(contexts, model, of_workers)
            with howfar.workers(1):
                by_one = timed(contexts, model, of_one)
            shares = [of_apart[share::workers] for share in range(workers)]
            by_apart = timed(read_apart, apart, model_name, shares)
            rates = {"apart": round(num_bytes_of(of_apart) / by_apart[0])}
            found.append(
                rates | compared((num_bytes_of(of_workers), num_bytes_of(of_one)), by_workers, by_one, workers)
            )
            found[-1]["of_apart"] = round(found[-1]["workers"] / rates["apart"], 3)
            print(found[-1], flush=True)
    return found


@cache
def loaded(model_name: str | None) -> HowFarForCausalLM:
    """A model, once in each process."""
    return howfar.load(model_name)


def read_share(model_name: str | None, texts: list[str]) -> None:
    """Read in a process that nobody distributes to."""
    contexts(loaded(model_name), texts)


def read_apart(processes: ProcessPoolExecutor, model_name: str | None, shares: list[list[str]]) -> None:
    """Each process reads its share; none knows of the others."""
    list(processes.map(read_share, [model_name] * len(shares), shares))


def num_bytes_of(texts: list[str]) -> int:
    return sum(len(text.encode()) for text in texts)


def builds(path: Path, num_bytes: int, workers: int, rounds: int) -> dict[str, list[dict[str, float]]]:
    """As `ratios`, for corpora of bytes and of a tokenizer's tokens; in each round both build the same text."""
    texts = first(path, num_bytes)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=8000, special_tokens=["</s>"], initial_alphabet=alphabet, show_progress=False
    )
    trained.train_from_iterator(texts[:1000], trainer)
    subwords = PreTrainedTokenizerFast(tokenizer_object=trained, eos_token="</s>")
    size = num_bytes_of(texts)
    found: dict[str, list[dict[str, float]]] = {"bytes": [], "subwords": []}
    for kind, tokenizer in (("bytes", None), ("subwords", subwords)):
        with tempfile.TemporaryDirectory() as folder, howfar.workers(workers):
            few, whole = Path(folder, "few.txt"), Path(folder, "whole.txt")
            few.write_text("\n\n".join(texts[:100]), encoding="utf-8")
            whole.write_text("\n\n".join(texts), encoding="utf-8")
            build(few, Path(folder, "few"), tokenizer)  # workers start
            for number in range(rounds):
                made = Path(folder, f"{number} by workers"), Path(folder, f"{number} by one")
                by_workers = timed(build, whole, made[0], tokenizer)
                with howfar.workers(1):
                    by_one = timed(build, whole, made[1], tokenizer)
                assert Corpus.open(made[0]).hash == Corpus.open(made[1]).hash
                found[kind].append(compared((size, size), by_workers, by_one, workers))
                print(found[kind][-1], flush=True)
    return found


def build(text: Path, out: Path, tokenizer: PreTrainedTokenizerFast | None) -> None:
    build_corpus(out, [Source("text", LocalFiles(str(text)))], tokenizer=tokenizer, progress=False)


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
        contexts(howfar.load(untrained(TINY, Path(folder, "tiny"))), noting())
    return noted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("text", type=Path, help="UTF-8, with blank lines between documents")
    parser.add_argument("--bytes", type=int, default=1_000_000, help="that each way reads in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=120, help="for the memory's part")
    parser.add_argument("--small", action="store_true", help="read by 0.2 M parameters instead of the bundled model")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    arguments = parser.parse_args()
    result: dict[str, object] = {"benchmark": "workers", "workers": arguments.workers}
    how = arguments.text, arguments.bytes, arguments.workers, arguments.rounds
    if "reading" in arguments.parts:
        with tempfile.TemporaryDirectory() as folder:
            found = ratios(untrained(SMALL, Path(folder, "small")) if arguments.small else None, *how)
        result |= {"rounds": found, **medians(found), "median_of_apart": median(found, "of_apart")}
    if "memory" in arguments.parts:
        result["resident_megabytes"] = memory(arguments.text, arguments.workers, arguments.seconds)
    if "build" in arguments.parts:
        result["build"] = {kind: {"rounds": found, **medians(found)} for kind, found in builds(*how).items()}
    print(json.dumps(result))


def medians(found: list[dict[str, float]]) -> dict[str, float]:
    return {f"median_{name}": median(found, name) for name in ("ratio", "of_processor_time")}


def median(found: list[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in found)


if __name__ == "__main__":
    main()
