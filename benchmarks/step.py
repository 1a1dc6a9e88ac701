"""Time and memory of a training step with learned positions, against the same model with plain rotary positions.

The published setup (256 wide, 6 layers, 8 heads, feed-forward 1024) on windows of 512 bytes, 8 at a time, in float32,
with AdamW. The variants take turns, a few steps each, so that whatever else the machine does falls on all of them
alike; a round gives each variant's time as a ratio to plain RoPE's in the same round, and the median over the rounds
is reported with its quartiles. Memory is what autograd keeps for the backward pass, of an eager step.

Peers, for scale: `x_transformers`, a model of the same shape by that package (`pip install x-transformers`; left out
where it is not installed); and `floor`, the step's matrix products and attention alone, forward and backward.

    taskset -c 1 env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/step.py

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM

VARIANTS: dict[str, dict[str, Any] | None] = {
    "rope": None,
    "shared": {"scope": "shared", "start": "random"},
    "per_layer": {"scope": "per_layer", "start": "random"},
    "per_layer_per_head": {"scope": "per_layer", "start": "random", "per_head": True},
}
PEERS = ("x_transformers", "floor")
BATCH_SIZE, NUM_TOKENS = 8, 512
Step = Callable[[], None]


def training_step(name: str, tokens: Tensor, *, compiled: bool) -> Step:
    """One step of a new model, or of a peer."""
    torch.manual_seed(0)
    if name == "floor":
        return products_step(tokens.device)
    if name == "x_transformers":
        model = x_transformers_model().to(tokens.device)
        return optimised(model, lambda run: next_token_loss(run(tokens), tokens), compiled=compiled)
    model = HowFarForCausalLM(HowFarConfig(increments=VARIANTS[name])).to(tokens.device)
    return optimised(model, lambda run: run(input_ids=tokens, labels=tokens, use_cache=False).loss, compiled=compiled)


def optimised(model: nn.Module, loss: Callable[[Any], Tensor], *, compiled: bool) -> Step:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    run = torch.compile(model, fullgraph=isinstance(model, HowFarForCausalLM)) if compiled else model

    def step() -> None:
        loss(run).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def next_token_loss(logits: Tensor, tokens: Tensor) -> Tensor:
    return F.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


def x_transformers_model() -> nn.Module:
    """A model of the same shape: rotary positions, RMSNorm, SwiGLU, tied embeddings, no biases."""
    from x_transformers import Decoder, TransformerWrapper

    size = HowFarConfig()
    layers = Decoder(
        dim=size.hidden_size,
        depth=size.num_hidden_layers,
        heads=size.num_attention_heads,
        attn_dim_head=size.head_dim,
        attn_flash=True,
        rotary_pos_emb=True,
        rotary_emb_dim=size.head_dim,
        use_rmsnorm=True,
        ff_mult=size.intermediate_size / size.hidden_size,
        ff_glu=True,
        ff_swish=True,
        ff_no_bias=True,
    )
    return TransformerWrapper(
        num_tokens=size.vocab_size,
        max_seq_len=NUM_TOKENS,
        attn_layers=layers,
        tie_embedding=True,
        use_abs_pos_emb=False,
    )


def products_step(device: torch.device) -> Step:
    """The arithmetic that no implementation can do without."""
    size = HowFarConfig()
    width, inner, heads, head = size.hidden_size, size.intermediate_size, size.num_attention_heads, size.head_dim
    sizes = [*[(width, width)] * 4, *[(width, inner)] * 2, (inner, width)] * size.num_hidden_layers
    weights = [torch.randn(*pair, device=device, requires_grad=True) for pair in [*sizes, (width, size.vocab_size)]]
    inputs = {
        wide: torch.randn(BATCH_SIZE * NUM_TOKENS, wide, device=device, requires_grad=True) for wide in (width, inner)
    }
    query, key, value = (
        torch.randn(BATCH_SIZE, heads, NUM_TOKENS, head, device=device, requires_grad=True) for _ in range(3)
    )

    def step() -> None:
        products = [inputs[weight.shape[0]] @ weight for weight in weights]
        read = [
            F.scaled_dot_product_attention(query, key, value, is_causal=True) for _ in range(size.num_hidden_layers)
        ]
        outputs = [*products, *read]
        torch.autograd.backward(outputs, [output.detach() for output in outputs])
        for leaf in (*weights, *inputs.values(), query, key, value):
            leaf.grad = None

    return step


def kept_megabytes(increments: dict[str, Any] | None, tokens: Tensor) -> float:
    """What autograd keeps of a forward pass, parameters aside."""
    model = HowFarForCausalLM(HowFarConfig(increments=increments)).to(tokens.device)
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


def seconds(step: Step, num_steps: int, device: torch.device) -> float:
    # One thread's own processor time is blind to whatever else runs on the machine.
    clock = time.process_time if device.type == "cpu" and torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(num_steps):
        step()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return (clock() - start) / num_steps


def measure(steps: dict[str, Step], rounds: int, num_steps: int, device: torch.device) -> dict[str, Any]:
    """Seconds per step of each variant, and ratios to the first one, over interleaved rounds."""
    for step in steps.values():
        seconds(step, 3, device)
    times: dict[str, list[float]] = {name: [] for name in steps}
    names = list(steps)
    for index in range(rounds):
        for name in names[index % len(names) :] + names[: index % len(names)]:
            times[name].append(seconds(steps[name], num_steps, device))
    base = times[names[0]]
    result = {}
    for name in names:
        ratios = [own / plain for own, plain in zip(times[name], base, strict=True)]
        low, median, high = statistics.quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        result[name] = {"milliseconds": 1e3 * statistics.median(times[name]), "ratio": median, "quartiles": [low, high]}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25, help="interleaved rounds")
    parser.add_argument("--steps", type=int, default=2, help="training steps of each variant in a round")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--modes", nargs="+", default=["eager", "compiled"], choices=["eager", "compiled"])
    names = [*VARIANTS, *PEERS]
    parser.add_argument("--variants", nargs="+", default=names, choices=names)
    options = parser.parse_args()

    device = torch.device(options.device)
    names = options.variants
    if "x_transformers" in names and importlib.util.find_spec("x_transformers") is None:
        print("without x_transformers, which is not installed: pip install x-transformers")
        names = [name for name in names if name != "x_transformers"]
    tokens = torch.randint(0, 256, (BATCH_SIZE, NUM_TOKENS), generator=torch.Generator().manual_seed(0)).to(device)
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "device": str(device), "rounds": options.rounds}
    for mode in options.modes:
        steps = {name: training_step(name, tokens, compiled=mode == "compiled") for name in names}
        result[mode] = measure(steps, options.rounds, options.steps, device)
        for name, figures in result[mode].items():
            low, high = figures["quartiles"]
            ratio = f"{figures['ratio']:.3f} [{low:.3f}, {high:.3f}]"
            print(f"{mode:9s} {name:19s} {figures['milliseconds']:8.1f} ms  x {ratio}")
    result["faster"] = min(options.modes, key=lambda mode: result[mode]["rope"]["milliseconds"])
    own = [name for name in names if name in VARIANTS]
    result["kept_megabytes"] = {name: kept_megabytes(VARIANTS[name], tokens) for name in own}
    for name, size in result["kept_megabytes"].items():
        print(f"memory    {name:19s} {size:8.1f} MB  x {size / result['kept_megabytes']['rope']:.3f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
