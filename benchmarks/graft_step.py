"""Time and memory of a graft's training step, against the same step with plain rotary positions.

A Llama with the layers of SmolLM2-135M (576 wide, 9 heads, 3 key-value heads, feed-forward 1536), fewer of them and
with a smaller vocabulary, random weights, float32, AdamW; with a LoRA adapter and with all weights trained. The
variants take turns, so that whatever else the machine does falls on all of them alike; a round gives each variant's
time as a ratio to plain positions' in the same round, and the median over the rounds is reported with its quartiles.
Memory is what autograd keeps of a forward pass, with activation checkpointing and without.

    taskset -c 1 env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/graft_step.py

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from howfar.models.lora import add_lora
from howfar.positions import IncrementConfig, attach
from howfar.positions.config import Scope

TRAINED = ("lora", "full")
SCOPES: tuple[Scope | None, ...] = (None, "shared", "per_layer")


def make_model(train: str, scope: Scope | None, num_layers: int) -> PreTrainedModel:
    """A model ready for training."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8192,
        hidden_size=576,
        intermediate_size=1536,
        num_hidden_layers=num_layers,
        num_attention_heads=9,
        num_key_value_heads=3,
        tie_word_embeddings=True,
    )
    model = LlamaForCausalLM(config)
    if train == "lora":
        add_lora(model, {"r": 16})
    if scope is not None:
        attach(model, IncrementConfig(scope=scope))
    return model.train()


def training_step(model: PreTrainedModel, tokens: Tensor) -> Callable[[], None]:
    """Forward, backward and update."""
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4, fused=True)

    def step() -> None:
        model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def kept_megabytes(model: PreTrainedModel, tokens: Tensor) -> float:
    """What autograd keeps of a forward pass, parameters aside."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        _loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        return sum(sizes.values()) / 1e6


def gradients(model: PreTrainedModel, tokens: Tensor) -> dict[str, Tensor]:
    """Of every trained parameter."""
    model.zero_grad()
    model(input_ids=tokens, labels=tokens, use_cache=False).loss.backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}


def checkpointing(train: str, scope: Scope, num_layers: int, tokens: Tensor) -> dict[str, float]:
    """What activation checkpointing saves, and how far it moves the gradients."""
    model = make_model(train, scope, num_layers)
    without, expected = kept_megabytes(model, tokens), gradients(model, tokens)
    model.activation_checkpointing_enable()
    found = gradients(model, tokens)
    differences = [(found[name] - gradient).abs().max().item() for name, gradient in expected.items()]
    return {
        "kept_megabytes_without": without,
        "kept_megabytes_with": kept_megabytes(model, tokens),
        "largest_gradient_difference": max(differences),
    }


def time_steps(train: str, options: argparse.Namespace, tokens: Tensor) -> dict[str, Any]:
    """Seconds per step with and without increments, in interleaved rounds."""
    # One thread's own processor time is blind to whatever else runs on the machine.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    steps = {scope: training_step(make_model(train, scope, options.layers), tokens) for scope in SCOPES}
    times: dict[str | None, list[float]] = {scope: [] for scope in SCOPES}
    for step in steps.values():
        step()
    for index in range(options.rounds):
        for scope in SCOPES[index % 3 :] + SCOPES[: index % 3]:
            start = clock()
            steps[scope]()
            times[scope].append(clock() - start)
    result: dict[str, Any] = {}
    for scope in SCOPES:
        ratios = [own / plain for own, plain in zip(times[scope], times[None], strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4)
        result[scope or "plain"] = {
            "milliseconds": 1e3 * statistics.median(times[scope]),
            "ratio": median,
            "quartiles": [low, high],
        }
        print(f"{train:5s} {scope or 'plain':10s} {1e3 * statistics.median(times[scope]):8.0f} ms  x {median:.3f}")
    return result


def main() -> None:
    """Measure all and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--train", nargs="+", choices=TRAINED, default=TRAINED)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--layers", type=int, default=6)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--context", type=int, default=256)
    options = parser.parse_args()
    tokens = torch.randint(0, 8192, (options.batch_size, options.context), generator=torch.Generator().manual_seed(0))
    result: dict[str, Any] = {"threads": torch.get_num_threads(), **vars(options)}
    result["steps"] = {train: time_steps(train, options, tokens) for train in options.train}
    result["checkpointing"] = {
        f"{train}/{scope}": checkpointing(train, scope, options.layers, tokens)
        for train in options.train
        for scope in ("shared", "per_layer")
    }
    for name, figures in result["checkpointing"].items():
        print(name, {key: round(value, 9) for key, value in figures.items()})
    print(json.dumps(result))


if __name__ == "__main__":
    main()
