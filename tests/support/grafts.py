"""A tiny pretrained model as others publish them: a folder with a Llama and a subword tokenizer; and text for it."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

_TEXT = "the cat sat on a mat and looked at birds near old trees while small dogs slept in warm grass 猫 坐 树"
WORDS = _TEXT.split()


def documents(count: int, seed: int = 0, num_words: int = 40) -> str:
    """Random sentences, documents parted by empty lines."""
    generator = random.Random(seed)
    return "\n\n".join(" ".join(generator.choices(WORDS, k=num_words)) + "." for _ in range(count))


def make_tokenizer(*, end_of_text: bool = True) -> PreTrainedTokenizerFast:
    """A byte-level BPE of 320 tokens, trained on the same words."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>"] if end_of_text else [],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([documents(50)], trainer)
    special = {"eos_token": "<|endoftext|>"} if end_of_text else {}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def make_base(folder: Path, *, seed: int = 0, end_of_text: bool = True, **options: Any) -> Path:
    """Save a random Llama and its tokenizer."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer(end_of_text=end_of_text)
    config = LlamaConfig(
        **{
            "vocab_size": 320,
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 128,
            "initializer_range": 0.1,
            "bos_token_id": 0,
            "eos_token_id": 0,
            **options,
        }
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_text(folder: Path) -> Path:
    """Sixty documents."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "text.txt"
    path.write_text(documents(60, seed=1), encoding="utf-8")
    return path
