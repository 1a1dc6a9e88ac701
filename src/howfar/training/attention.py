"""Attention over training windows, which need no mask: they hold no padding, and nothing is packed into them.

Transformers looks through the positions of every batch for packed sequences. Uncompiled, the host waits for what it
finds; compiled it cannot look, and builds a mask for each window in case, which keeps PyTorch from its flash kernels.
To an attention function that has no mask function of its own it hands none, and the attention is causal as it is.
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
    """Let a model from scratch, whose layers all attend to all tokens before, do so without masks for a while.

    Args:
        model: One with another attention function than PyTorch's is left as it is.
    """
    usual = model.config._attn_implementation
    if usual in _MASKLESS:
        model.set_attn_implementation(_MASKLESS[usual])
    try:
        yield
    finally:
        model.set_attn_implementation(usual)
