"""Speed and memory of a trace, against bare forward passes of the same model.

A text is traced piece by piece. After each piece the same windows are run through the model in the same batches with
nothing watched and nothing kept ("bare"), and then the piece in windows that do not overlap ("bare, no overlap": the
fewest tokens that any reading of it takes). The order changes from piece to piece, so that whatever else the machine
does falls on all of them alike; the ratios are medians over the pieces, with their quartiles. Memory is how much the
process grew by at its largest, results included.

    taskset -c 1 env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/tracing.py --bytes 1_000_000

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

import howfar
from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.reading.reader import MAX_TOKENS
from howfar.reading.windows import batches, cover, side_by_side
from howfar.text.tokenizer import END_OF_DOCUMENT

PASSAGE = "Marie Curie, a Polish-born physicist, won two Nobel Prizes. 居里夫人是第一位获得诺贝尔奖的女性。\n"
SMALL = {"hidden_size": 128, "intermediate_size": 384, "num_attention_heads": 4}


def windows_of(piece: str, context: int, overlap: int, device: torch.device) -> list[Tensor]:
    """The batches of windows that a trace reads, ready on the device."""
    tokens = np.array([END_OF_DOCUMENT, *piece.encode()])
    return [side_by_side(batch).to(device) for batch in batches(cover(tokens, context, overlap), MAX_TOKENS)]


def run_bare(model: PreTrainedModel, windows: list[Tensor]) -> None:
    with torch.inference_mode():
        for batch in windows:
            model(input_ids=batch, use_cache=False)


def timed(work: Callable[[], object], device: torch.device) -> float:
    # One thread's own processor time is blind to whatever else runs on the machine.
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return clock() - started


def measure(model: PreTrainedModel, pieces: list[str], context: int, overlap: int) -> dict[str, list[float]]:
    """Seconds for each piece, of each way to read it."""
    device = model.device
    seconds: dict[str, list[float]] = {"trace": [], "bare": [], "bare_no_overlap": []}
    for number, piece in enumerate([pieces[0], *pieces]):  # the first one warms up
        same, fewest = (windows_of(piece, context, size, device) for size in (overlap, 0))
        ways = {
            "trace": lambda piece=piece: howfar.trace(model, piece, context=context, overlap=overlap),
            "bare": lambda windows=same: run_bare(model, windows),
            "bare_no_overlap": lambda windows=fewest: run_bare(model, windows),
        }
        names = list(ways)
        for name in names[number % 3 :] + names[: number % 3]:
            elapsed = timed(ways[name], device)
            if number:
                seconds[name].append(elapsed)
        print(f"piece {number} of {len(pieces)}", end="\r", flush=True)
    return seconds


def quartiles_of_ratio(numerators: list[float], denominators: list[float]) -> list[float]:
    ratios = [a / b for a, b in zip(numerators, denominators, strict=True)]
    return [round(value, 3) for value in statistics.quantiles(ratios, n=4, method="inclusive")]


def peak_megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="name, folder or Hub id; where absent, a new model of the published size")
    parser.add_argument("--small", action="store_true", help="a new model of the small recipe's size instead")
    parser.add_argument("--bytes", type=int, default=200_000)
    parser.add_argument("--pieces", type=int, default=20)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--overlap", type=int, default=85, help="a sixth of the context, as `trace` has it")
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()

    torch.manual_seed(0)
    if arguments.model:
        model = howfar.load(arguments.model)
    else:
        model = HowFarForCausalLM(HowFarConfig(increments={"start": "random"}, **(SMALL if arguments.small else {})))
    model = model.eval().to(arguments.device)
    text = PASSAGE * (arguments.bytes // len(PASSAGE.encode()) + 1)
    size = len(text) // arguments.pieces
    pieces = [text[index * size : (index + 1) * size] for index in range(arguments.pieces)]

    before = peak_megabytes()
    seconds = measure(model, pieces, arguments.context, arguments.overlap)
    num_bytes = sum(len(piece.encode()) for piece in pieces)
    result = {
        "benchmark": "tracing",
        "bytes": num_bytes,
        "pieces": len(pieces),
        "context": arguments.context,
        "overlap": arguments.overlap,
        "device": arguments.device,
        "speed_to_bare_same_windows_quartiles": quartiles_of_ratio(seconds["bare"], seconds["trace"]),
        "speed_to_bare_no_overlap_quartiles": quartiles_of_ratio(seconds["bare_no_overlap"], seconds["trace"]),
        "trace_bytes_per_second": round(num_bytes / sum(seconds["trace"])),
        "growth_megabytes": round(peak_megabytes() - before),
    }
    print(" " * 40, end="\r")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
