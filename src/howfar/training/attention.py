"""Attention over training windows, which need no mask: they have no padding and no packed sequences.

Transformers searches the positions of every batch for packed sequences. Uncompiled, the host waits for the result;
compiled, it cannot look, and builds a mask for each window in any case, which prevents PyTorch's flash kernels.
It gives no mask to an attention function that has no mask function; attention is then causal as needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from howfar.models.modeling import HowFarForCausalLM
from howfar.positions.encodings import attending

MASKLESS = "sdpa_maskless"
_MASKLESS = {"sdpa": MASKLESS, attending.PREFIX + "sdpa": attending.PREFIX + MASKLESS}

AttentionInterface.register(MASKLESS, sdpa_attention_forward)
AttentionInterface.register(attending.PREFIX + MASKLESS, partial(attending.attention, implementation="sdpa"))


@contextmanager
def maskless_attention(model: HowFarForCausalLM) -> Iterator[None]:
    """Let a model from scratch, whose layers attend to all earlier tokens, do so without masks for a while.

    Args:
        model: A model whose attention function is not PyTorch's is left unchanged.
    """
    usual = model.config._attn_implementation
    if usual in _MASKLESS:
        model.set_attn_implementation(_MASKLESS[usual])
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
