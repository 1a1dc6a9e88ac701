from collections.abc import Callable
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer, decoders, pre_tokenizers, trainers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from howfar.models.configuration import HowFarConfig
from howfar.models.modeling import HowFarForCausalLM

CONTEXT = 32


@pytest.fixture
def tiny_model() -> Callable[..., HowFarForCausalLM]:
    """Makes models with strongly varying random increments; `increments=None` for plain rotary positions."""

    def make(increments: dict[str, Any] | None = {}, **config: Any) -> HowFarForCausalLM:  # noqa: B006
        torch.manual_seed(0)
        options = {
            "hidden_size": 16,
            "intermediate_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "max_position_embeddings": CONTEXT,
            "initializer_range": 0.4,
            "increments": None if increments is None else {"start": "random", **increments},
        }
        return HowFarForCausalLM(HowFarConfig(**{**options, **config})).eval()

    return make


@pytest.fixture(scope="session")
def subword_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE with some merges, the end of text as its only special token."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<eos>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(["the cat and the hat and the mat"] * 9, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>")
