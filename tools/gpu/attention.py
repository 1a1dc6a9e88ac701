"""Time of causal attention at the published size, forward and backward, by each of PyTorch's ways.

    python attention.py

One layer of a step: 64 windows, 8 heads, 512 tokens, 32 numbers a head, bfloat16. Times six for a step.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

CUDA = torch.cuda.is_available()
SHAPE = (64, 8, 512, 32) if CUDA else (1, 2, 64, 32)


def flexible() -> Callable[..., torch.Tensor]:
    """FlexAttention, compiled."""
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    tokens = SHAPE[2]
    mask = create_block_mask(lambda b, h, q, k: q >= k, None, None, tokens, tokens, device="cuda" if CUDA else "cpu")
    compiled = torch.compile(flex_attention)
    return lambda q, k, v: compiled(q, k, v, block_mask=mask)


def milliseconds(attend: Callable[..., torch.Tensor], repeats: int) -> float:
    """Of a forward and a backward pass."""
    device, dtype = ("cuda", torch.bfloat16) if CUDA else ("cpu", torch.float32)
    # As a layer has them: [window, token, head, number], seen as [window, head, token, number].
    windows, heads, tokens, numbers = SHAPE
    as_kept = [torch.randn(windows, tokens, heads, numbers, device=device, dtype=dtype) for _ in range(3)]
    inputs = [tensor.transpose(1, 2).requires_grad_() for tensor in as_kept]
    gradient = torch.randn_like(inputs[0])

    def step() -> None:
        torch.autograd.grad(attend(*inputs), inputs, gradient)

    for _ in range(5):
        step()
    if not CUDA:
        begun = time.perf_counter()
        step()
        return 1e3 * (time.perf_counter() - begun)
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begin.record()
    for _ in range(repeats):
        step()
    end.record()
    end.synchronize()
    return begin.elapsed_time(end) / repeats


def main() -> None:
    """Print the time of each way, or why it does not work."""
    causal = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)  # noqa: E731
    print(f"as PyTorch chooses   {milliseconds(causal, 100):8.3f} ms", flush=True)
    for backend in (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION):
        try:
            with sdpa_kernel(backend):
                print(f"{backend.name:20} {milliseconds(causal, 100):8.3f} ms", flush=True)
        except RuntimeError as error:
            print(f"{backend.name:20} {str(error).splitlines()[0]}", flush=True)
    try:
        print(f"FlexAttention        {milliseconds(flexible(), 100):8.3f} ms", flush=True)
    except Exception as error:
        print(f"FlexAttention        {type(error).__name__}: {str(error).splitlines()[0]}", flush=True)


if __name__ == "__main__":
    main()
