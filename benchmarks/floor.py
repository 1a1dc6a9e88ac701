"""The least time that a training step can take on this machine, by arithmetic and by memory.

Arithmetic: 6 operations for each parameter and token, and those of causal attention, over the rate of a large matrix
product (bfloat16 on a GPU, float32 on a CPU). The rate of the model's own products, which are narrow, says how much
of that can be had. Memory: the weights, gradients and moments of AdamW, and every activation that the backward pass
needs, over the bandwidth of a large copy. An activation is written once and read by the next operation and by the
backward pass, its gradient is written once and read twice; whatever stays in a cache is cheaper. The floor is the
larger of the two times, as if one hid behind the other entirely; `no_overlap_ms` is their sum.

    taskset -c 1 env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/floor.py --batch 8
    python benchmarks/floor.py --batch 64

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import torch

from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM

PASSES_OF_AN_ACTIVATION = 6
BYTES_OF_A_PARAMETER = 8 * 4  # AdamW reads weight, gradient and moments, writes all but the gradient; it is written too


def seconds(work: Callable[[], object], repeats: int, device: torch.device) -> float:
    """Time of one repetition."""
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(repeats):
            work()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / repeats
    # One thread's own processor time is blind to whatever else runs on the machine.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(repeats):
        work()
    return (clock() - start) / repeats


def rates(shapes: list[tuple[int, int]], num_tokens: int, rounds: int, device: torch.device) -> dict[str, float]:
    """Operations per second of a large product and of the model's own, and bytes per second of a copy; medians."""
    cuda = device.type == "cuda"
    dtype = torch.bfloat16 if cuda else torch.float32
    size, copied, repeats = (8192, 2**31, 10) if cuda else (1024, 2**27, 1)
    large = [torch.randn(size, size, device=device, dtype=dtype) for _ in range(2)]
    own = [
        (torch.randn(num_tokens, wide, device=device, dtype=dtype), torch.randn(wide, out, device=device, dtype=dtype))
        for wide, out in shapes
    ]
    source = torch.randn(copied // 4, device=device)
    target = torch.empty_like(source)
    work = {
        "matrix": (lambda: large[0] @ large[1], 2.0 * size**3),
        "own_matrix": (lambda: [left @ right for left, right in own], sum(2.0 * num_tokens * a * b for a, b in shapes)),
        "bandwidth": (lambda: target.copy_(source), 2.0 * copied),
    }
    times: dict[str, list[float]] = {name: [] for name in work}
    for index in range(rounds + 1):  # the first warms up
        for name, (function, _) in work.items():
            elapsed = seconds(function, repeats, device)
            if index:
                times[name].append(elapsed)
    return {name: amount / statistics.median(times[name]) for name, (_, amount) in work.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--batch", type=int, default=64, help="windows in a step")
    parser.add_argument("--tokens", type=int, default=512, help="in a window")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()

    device, num_tokens = torch.device(options.device), options.batch * options.tokens
    size = HowFarConfig()
    width, inner, layers = size.hidden_size, size.intermediate_size, size.num_hidden_layers
    num_parameters = sum(parameter.numel() for parameter in HowFarForCausalLM(size).parameters())
    shapes = [*[(width, width)] * 4, *[(width, inner)] * 2, (inner, width)]

    products = 6.0 * num_parameters * num_tokens
    # Half of all pairs, twice (scores, and values), two operations each, forward and twice that backward.
    attention = 3.0 * 2 * 2 * options.tokens**2 / 2 * width * layers * options.batch
    # Normalised inputs, queries, keys, values, what attention read; gate, up and their product; the stream in float32.
    kept = (6 * width + 3 * inner) * (2 if device.type == "cuda" else 4) + 2 * width * 4
    weights = float(BYTES_OF_A_PARAMETER * num_parameters)
    activations = float(PASSES_OF_AN_ACTIVATION * num_tokens * (kept * layers + 4 * size.vocab_size))

    rate = rates(shapes, num_tokens, options.rounds, device)
    arithmetic_ms = 1e3 * (products + attention) / rate["matrix"]
    memory_ms = 1e3 * (weights + activations) / rate["bandwidth"]
    result = {
        "device": torch.cuda.get_device_name(device) if device.type == "cuda" else str(device),
        "threads": torch.get_num_threads(),
        "windows": options.batch,
        "tokens": options.tokens,
        "parameters": num_parameters,
        "teraflops_of_products": products / 1e12,
        "teraflops_of_attention": attention / 1e12,
        "gigabytes_of_weights": weights / 1e9,
        "gigabytes_of_activations": activations / 1e9,
        "matrix_teraflops_per_second": rate["matrix"] / 1e12,
        "own_matrix_teraflops_per_second": rate["own_matrix"] / 1e12,
        "gigabytes_per_second": rate["bandwidth"] / 1e9,
        "arithmetic_ms": arithmetic_ms,
        "arithmetic_at_own_rate_ms": 1e3 * (products + attention) / rate["own_matrix"],
        "memory_ms": memory_ms,
        "floor_ms": max(arithmetic_ms, memory_ms),
        "no_overlap_ms": arithmetic_ms + memory_ms,
    }
    for name, value in result.items():
        print(f"{name:34} {value:,.3f}" if isinstance(value, float) else f"{name:34} {value}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
