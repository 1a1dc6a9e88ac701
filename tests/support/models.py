"""Tiny random models of many architectures, and small things to do with them."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from howfar.positions import Increments

VOCABULARY = 64

_SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 128,
    "initializer_range": 0.2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_SLIDING_AND_FULL = ["sliding_attention", "full_attention"]
_EXPERTS = {"num_experts_per_tok": 2, "moe_intermediate_size": 16, "n_group": 1, "topk_group": 1}
_LATENT = {
    "kv_lora_rank": 8,
    "q_lora_rank": 8,
    "qk_rope_head_dim": 8,
    "qk_nope_head_dim": 8,
    "v_head_dim": 8,
    "num_key_value_heads": 4,
    "head_dim": 8,
}
_YARN = {
    "rope_type": "yarn",
    "rope_theta": 10000.0,
    "factor": 4.0,
    "original_max_position_embeddings": 32,
}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    "llama": {},
    "llama-3": {
        "model_type": "llama",
        "rope_parameters": {
            "rope_type": "llama3",
            "rope_theta": 500000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
    "llama-yarn": {"model_type": "llama", "rope_parameters": _YARN},
    "llama-dynamic": {
        "model_type": "llama",
        "max_position_embeddings": 8,
        "rope_parameters": {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0},
    },
    "mistral": {"sliding_window": 6},
    "mixtral": {"num_local_experts": 4},
    "qwen2": {},
    "qwen2_moe": {"num_experts": 4, "shared_expert_intermediate_size": 16, **_EXPERTS},
    "qwen3": {"head_dim": 16},
    "qwen3_moe": {"num_experts": 4, "head_dim": 8, **_EXPERTS},
    "qwen3_next": {
        "layer_types": ["linear_attention", "full_attention"],
        "num_experts": 4,
        "shared_expert_intermediate_size": 16,
        "head_dim": 8,
        "linear_num_value_heads": 4,
        "linear_num_key_heads": 2,
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        **_EXPERTS,
    },
    "gemma": {"head_dim": 8},
    "gemma2": {"head_dim": 8, "sliding_window": 6, "layer_types": _SLIDING_AND_FULL},
    "gemma3_text": {"head_dim": 8, "sliding_window": 6, "layer_types": _SLIDING_AND_FULL},
    "vaultgemma": {"head_dim": 8, "sliding_window": 6, "layer_types": _SLIDING_AND_FULL},
    "olmo": {},
    "olmo2": {},
    "olmo3": {"sliding_window": 6, "layer_types": _SLIDING_AND_FULL},
    "olmoe": {"num_experts": 4, "num_experts_per_tok": 2},
    "phi": {},
    "phi3": {},
    "phi3-longrope": {
        "model_type": "phi3",
        "original_max_position_embeddings": 16,
        "rope_parameters": {
            "rope_type": "longrope",
            "rope_theta": 10000.0,
            "short_factor": [1.0, 1.5, 2.0, 2.5],
            "long_factor": [2.0, 3.0, 4.0, 5.0],
            "original_max_position_embeddings": 16,
        },
    },
    "phi4-partial": {
        "model_type": "phi3",
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5},
    },
    "gpt_neox": {"rotary_pct": 0.25, "hidden_size": 64},
    "stablelm": {},
    "granite": {"embedding_multiplier": 2.0, "residual_multiplier": 0.5},
    "granitemoe": {"num_local_experts": 4, "num_experts_per_tok": 2},
    "granitemoehybrid": {
        "layer_types": ["mamba", "attention"],
        "mamba_n_heads": 4,
        "mamba_d_head": 16,
        "mamba_d_state": 8,
        "position_embedding_type": "rope",
        "num_local_experts": 2,
        "num_experts_per_tok": 1,
    },
    "cohere": {},
    "cohere2": {"sliding_window": 6, "layer_types": _SLIDING_AND_FULL},
    "smollm3": {"no_rope_layers": [1, 0]},
    "glm": {"head_dim": 8},
    "glm4": {"head_dim": 8},
    "gpt_oss": {
        "head_dim": 8,
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "sliding_window": 6,
        "layer_types": _SLIDING_AND_FULL,
        "rope_parameters": {**_YARN, "truncate": False, "beta_fast": 32.0, "beta_slow": 1.0},
    },
    "starcoder2": {"sliding_window": None},
    "exaone4": {"sliding_window": 6, "sliding_window_pattern": "LG", "layer_types": _SLIDING_AND_FULL},
    "nemotron": {},
    "helium": {"head_dim": 8},
    "ernie4_5": {"head_dim": 8},
    "seed_oss": {"head_dim": 8, "attention_dropout": 0.0, "residual_dropout": 0.0},
    "apertus": {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}},
    "falcon": {},
    "hunyuan_v1_dense": {"head_dim": 8},
    "deepseek_v3": {"n_routed_experts": 4, "n_shared_experts": 1, "first_k_dense_replace": 1, **_EXPERTS, **_LATENT},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "nanochat": {},
    "minimax": {
        "layer_types": ["linear_attention", "full_attention"],
        "num_local_experts": 4,
        "num_experts_per_tok": 2,
        "head_dim": 8,
        "block_size": 4,
    },
    "modernbert-decoder": {"local_attention": 6, "layer_types": _SLIDING_AND_FULL, "num_attention_heads": 4},
    "gemma3n_text": {
        "head_dim": 8,
        "sliding_window": 6,
        "layer_types": _SLIDING_AND_FULL,
        "num_kv_shared_layers": 0,
        "vocab_size_per_layer_input": 64,
        "hidden_size_per_layer_input": 8,
        "laurel_rank": 4,
        "activation_sparsity_pattern": [0.0, 0.0],
        "altup_num_inputs": 2,
    },
    "gemma4_text": {
        "head_dim": 8,
        "global_head_dim": 16,  # of the layers with full attention
        "sliding_window": 6,
        "layer_types": _SLIDING_AND_FULL,
        "num_kv_shared_layers": 0,
        "vocab_size_per_layer_input": 64,
        "hidden_size_per_layer_input": 8,
    },
}
"""Configurations by name: the architecture's `model_type` unless the configuration gives it."""

WITHOUT_ROTARY = {
    "cohere2": [1],
    "exaone4": [1],
    "granitemoehybrid": [0],
    "lfm2": [0],
    "qwen3_next": [0],
    "smollm3": [1],
    "minimax": [0],
}
"""Layers that do not rotate, in the architectures that have such."""


def tiny(name: str = "llama", **options: Any) -> PreTrainedModel:
    """A tiny random model in evaluation mode; the same one at every call."""
    options = {**ARCHITECTURES[name], **options}
    model_type = options.pop("model_type", name)
    known = type(AutoConfig.for_model(model_type)).__dataclass_fields__
    sizes = {key: value for key, value in _SIZES.items() if key in known}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(model_type, **{**sizes, **options}))
        for (
            parameter
        ) in model.parameters():  # so that no output depends on zeros or ones that an architecture starts at
            parameter.data.add_(torch.randn_like(parameter), alpha=0.02)
    model.generation_config.eos_token_id = None  # generate as many tokens as asked for
    return model.eval()


def seeing(architecture: str) -> PreTrainedModel:
    """A model of text and pictures, in evaluation mode, whose two parts may attend by different functions."""
    parts = {"got_ocr2": ("qwen2", "got_ocr2_vision"), "gemma3": ("gemma3_text", "siglip_vision_model")}
    text, vision = parts[architecture]
    sizes = {"hidden_size": 16, "intermediate_size": 16, "mlp_dim": 16, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "image_size": 32, "patch_size": 16, "window_size": 2, "output_channels": 8}
    inside = {"text_config": tiny("llama", model_type=text).config.to_dict()}
    inside["vision_config"] = {"model_type": vision, **sizes, "global_attn_indexes": [0]}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(architecture, **inside)).eval()


def sharing_keys(architecture: str) -> PreTrainedModel:
    """A model whose last two of four layers attend to the keys of the first two."""
    types = ["sliding_attention", "full_attention"] * 2
    options = {"num_hidden_layers": 4, "layer_types": types, "num_kv_shared_layers": 2, "sliding_window": 32}
    if architecture == "gemma3n_text":
        return tiny(architecture, activation_sparsity_pattern=[0.0] * 4, **options)
    return tiny(architecture, **options)


def tokens(num_tokens: int = 12, batch_size: int = 2, seed: int = 0) -> Tensor:
    """Random token ids, none of them special."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(3, VOCABULARY, (batch_size, num_tokens), generator=generator)


def stir(increments: Increments, scale: float = 0.3) -> Increments:
    """Draw the networks' weights at random, so that increments differ from 1, by token and layer."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        for parameter in increments.parameters():
            nn.init.normal_(parameter, std=scale)
    return increments


def gradients(model: nn.Module) -> dict[str, Tensor]:
    """The gradients of all parameters that have one, taken off the model."""
    found = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return found


def largest_difference(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Over all entries, relative to the largest number in each."""
    assert one.keys() == other.keys()
    return max(float((one[k] - other[k]).abs().max() / one[k].abs().max().clamp(min=1e-6)) for k in one)
