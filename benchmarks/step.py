"""Time and memory of a training step with learned positions, against the same model with plain rotary positions.

The published setup (256 wide, 6 layers, 8 heads, feed-forward 1024) on windows of 512 bytes, with AdamW: on a CPU 8
at a time in float32, on a GPU 64 at a time in bfloat16 by autocast. The variants take turns, a few steps each, so that
whatever else the machine does falls on all of them alike; a round gives each variant's time as a ratio to plain RoPE's
in the same round, and the median over the rounds is reported with its quartiles. Memory is what autograd keeps for the
backward pass, of an eager step; on a GPU also the most that a step allocated.

Peers, for scale: `llama`, Transformers' own, with its masks; `x_transformers`, a model of the same shape by that
package (`pip install x-transformers`; left out where it is not installed); and `floor`, the step's matrix products and
attention alone, forward and backward. The whole of training, under Trainer, is `benchmarks/trainer_step.py`.

    taskset -c 1 env OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 python benchmarks/step.py
    python benchmarks/step.py --steps 20 --compile-mode default
    python benchmarks/step.py --modes compiled --variants rope alibi forget_gate pope selective_pope halves random

The last line of output is JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM

from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM
from howfar.training.attention import maskless_attention

PER_LAYER = {"scope": "per_layer", "start": "random"}
VARIANTS: dict[str, dict[str, Any]] = {
    "rope": {},
    "shared": {"increments": {"scope": "shared", "start": "random"}},
    "per_layer": {"increments": PER_LAYER},
    "per_layer_per_head": {"increments": {**PER_LAYER, "per_head": True}},
}
ENCODINGS: dict[str, dict[str, Any]] = {
    "alibi": {"encoding": {"name": "alibi"}},
    "alibi_learned": {"encoding": {"name": "alibi", "learned": True}},
    "forget_gate": {"encoding": {"name": "forget_gate"}},
    "pope": {"encoding": {"name": "pope"}},
    "selective_pope": {"encoding": {"name": "pope"}, "increments": {"scope": "shared", "start": "random"}},
    "halves": {"encoding": {"name": "halves"}, "increments": {"scope": "shared", "start": "random"}},
    "random": {"encoding": {"name": "random"}},
}
"""Left out unless they are asked for by name."""
PEERS = ("llama", "x_transformers", "floor")
NUM_TOKENS = 512
Step = Callable[[], None]


def training_step(
    name: str, tokens: Tensor, mode: str | None, stack: contextlib.ExitStack, attention: str = "sdpa"
) -> Step:
    """One step of a new model, or of a peer.

    Args:
        name: A variant or a peer.
        tokens: `[window, token]`.
        mode: Of `torch.compile`; None to leave the model uncompiled.
        stack: Closed when the steps are done with.
        attention: Of the variants; a peer has its own.
    """
    torch.manual_seed(0)
    if name == "floor":
        return products_step(tokens)
    if name == "x_transformers":
        model = x_transformers_model().to(tokens.device)
        return optimised(model, lambda run: next_token_loss(run(tokens), tokens), mode)
    if name == "llama":
        config = HowFarConfig().to_dict()
        model = LlamaForCausalLM(LlamaConfig.from_dict({**config, "model_type": "llama"})).to(tokens.device)
    else:
        model = HowFarForCausalLM(HowFarConfig(**{**VARIANTS, **ENCODINGS}[name], attn_implementation=attention))
        model.to(tokens.device)
        stack.enter_context(maskless_attention(model))  # as training does
    return optimised(model, lambda run: run(input_ids=tokens, labels=tokens, use_cache=False).loss, mode)


def optimised(model: nn.Module, loss: Callable[[Any], Tensor], mode: str | None) -> Step:
    device = next(model.parameters()).device
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    run = model if mode is None else torch.compile(model, fullgraph=isinstance(model, HowFarForCausalLM), mode=mode)

    def step() -> None:
        with half_precision(device):
            value = loss(run)
        value.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def half_precision(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU; nothing on a CPU."""
    return torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda")


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


def products_step(tokens: Tensor) -> Step:
    """The arithmetic that no implementation can do without."""
    size, num_windows = HowFarConfig(), len(tokens)
    place: dict[str, Any] = {"device": tokens.device, "requires_grad": True}
    place["dtype"] = torch.bfloat16 if tokens.is_cuda else torch.float32
    width, inner, heads, head = size.hidden_size, size.intermediate_size, size.num_attention_heads, size.head_dim
    sizes = [*[(width, width)] * 4, *[(width, inner)] * 2, (inner, width)] * size.num_hidden_layers
    weights = [torch.randn(*pair, **place) for pair in [*sizes, (width, size.vocab_size)]]
    inputs = {wide: torch.randn(num_windows * NUM_TOKENS, wide, **place) for wide in (width, inner)}
    query, key, value = (torch.randn(num_windows, heads, NUM_TOKENS, head, **place) for _ in range(3))

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


def kept_megabytes(options: dict[str, Any], tokens: Tensor) -> float:
    """What autograd keeps of a forward pass, parameters aside."""
    model = HowFarForCausalLM(HowFarConfig(**options)).to(tokens.device)
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    sizes: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            sizes[storage.data_ptr()] = storage.nbytes()
        return tensor

    hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)
    with maskless_attention(model), half_precision(tokens.device), hooks:
        _loss = model(input_ids=tokens, labels=tokens, use_cache=False).loss
        return sum(sizes.values()) / 1e6


def peak_megabytes(step: Step) -> float:
    """The most that a step allocated on the GPU, beyond weights, moments and whatever else lay there before."""
    step()
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    step()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 1e6


def seconds(step: Step, num_steps: int, device: torch.device) -> float:
    if device.type == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        for _ in range(num_steps):
            step()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end) / 1e3 / num_steps
    # One thread's own processor time is blind to whatever else runs on the machine.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    for _ in range(num_steps):
        step()
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
    parser.add_argument("--batch", type=int, help="windows in a step; 8 on a CPU, 64 on a GPU")
    parser.add_argument("--compile-mode", default="default", help="of torch.compile")
    parser.add_argument("--modes", nargs="+", default=["eager", "compiled"], choices=["eager", "compiled"])
    parser.add_argument("--attention", default="sdpa", choices=["sdpa", "eager"], help="of the variants")
    names = [*VARIANTS, *PEERS]
    parser.add_argument("--variants", nargs="+", default=names, choices=[*names, *ENCODINGS])
    options = parser.parse_args()

    device = torch.device(options.device)
    names = options.variants
    if "x_transformers" in names and importlib.util.find_spec("x_transformers") is None:
        print("without x_transformers, which is not installed: pip install x-transformers")
        names = [name for name in names if name != "x_transformers"]
    batch = options.batch or (64 if device.type == "cuda" else 8)
    torch.set_flush_denormal(True)  # as training does
    tokens = torch.randint(0, 256, (batch, NUM_TOKENS), generator=torch.Generator().manual_seed(0)).to(device)
    result: dict[str, Any] = {"threads": torch.get_num_threads(), "device": str(device), "rounds": options.rounds}
    result.update(windows=batch, compile_mode=options.compile_mode, versions={"torch": torch.__version__})
    if device.type == "cuda":
        result["device"] = torch.cuda.get_device_name(device)
    for mode in options.modes:
        with contextlib.ExitStack() as stack:
            compiling = options.compile_mode if mode == "compiled" else None
            steps = {name: training_step(name, tokens, compiling, stack, options.attention) for name in names}
            result[mode] = measure(steps, options.rounds, options.steps, device)
            if device.type == "cuda":
                for name, step in steps.items():
                    result[mode][name]["peak_megabytes"] = peak_megabytes(step)
        for name, figures in result[mode].items():
            low, high = figures["quartiles"]
            ratio = f"{figures['ratio']:.3f} [{low:.3f}, {high:.3f}]"
            peak = f"  {figures['peak_megabytes']:8.0f} MB at most" if "peak_megabytes" in figures else ""
            print(f"{mode:9s} {name:19s} {figures['milliseconds']:8.1f} ms  x {ratio}{peak}")
    result["faster"] = min(options.modes, key=lambda mode: result[mode][names[0]]["milliseconds"])
    known = {name: {**of, "attn_implementation": options.attention} for name, of in {**VARIANTS, **ENCODINGS}.items()}
    own = [name for name in names if name in known]
    result["kept_megabytes"] = {name: kept_megabytes(known[name], tokens) for name in own}
    for name, size in result["kept_megabytes"].items():
        print(f"memory    {name:19s} {size:8.1f} MB  x {size / result['kept_megabytes'][own[0]]:.3f}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
