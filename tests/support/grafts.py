"""A tiny pretrained model as others publish them: a folder with a Llama and a subword tokenizer; and text for it."""

from __future__ import annotations

import json
import random
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel, PreTrainedTokenizerFast

_TEXT = "the cat sat on a mat and looked at birds near old trees while small dogs slept in warm grass 猫 坐 树"
WORDS = _TEXT.split()
IDS = torch.arange(3, 43).view(2, 20)


def documents(count: int, seed: int = 0, num_words: int = 40) -> str:
    """Random sentences, with blank lines between documents."""
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
            "rms_norm_eps": 2.0**-20,  # GGUF keeps it as float32
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


def make_gguf(base: Path, path: Path, without: Collection[str] = ()) -> Path:
    """Write the model that lies in a folder from `make_base` as a GGUF file, in float32, but for some tensors."""
    import gguf

    model, tokenizer = LlamaForCausalLM.from_pretrained(base), PreTrainedTokenizerFast.from_pretrained(base)
    config = model.config
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[gguf.MODEL_ARCH.LLAMA])
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)

    ordered = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().get)
    bpe = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(ordered)
    writer.add_token_types(
        [int(gguf.TokenType.CONTROL if index == 0 else gguf.TokenType.NORMAL) for index in range(len(ordered))]
    )
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    writer.add_bos_token_id(tokenizer.eos_token_id)
    writer.add_eos_token_id(tokenizer.eos_token_id)

    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        values, projection = tensor.numpy(), name.split(".")[-2]
        if projection in heads:  # GGUF rotates neighbouring dimensions, Transformers those of the two halves
            halves = values.reshape(heads[projection], 2, -1, config.hidden_size)
            values = halves.swapaxes(1, 2).reshape(values.shape)
        if name not in without:
            writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@torch.no_grad()
def logits(model: PreTrainedModel) -> Tensor:
    return model(IDS).logits


@torch.no_grad()
def stir(model: PreTrainedModel, part: str = "") -> PreTrainedModel:
    """Move parameters a little, as training would: all, or those whose name contains `part`."""
    for name, parameter in model.named_parameters():
        if part in name:
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model
