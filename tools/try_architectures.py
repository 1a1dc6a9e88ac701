"""Try every causal language model of Transformers, tiny and with random weights; write a page of what takes increments.

    python tools/try_architectures.py [--only TYPE ...] [--output docs/reference/architectures.md]

Each type is built from its own configuration with small sizes. Increments of 1 must leave its logits as they are, bit
for bit, and random increments must give the same logits from a cache as in one pass. It takes a minute or two.
"""

from __future__ import annotations

import argparse
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PretrainedConfig, PreTrainedModel
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES as TYPES

import howfar
from howfar.errors import HowFarError
from howfar.foreign import first_line
from howfar.models.quiet import quiet_transformers
from howfar.positions.arguments import CACHE_NAME

LARGEST = 20_000_000  # parameters: a type whose sizes are not understood would be built at its full size
NUM_TOKENS = 12
SIZES: dict[str, Any] = {
    **dict.fromkeys(
        ("hidden_size", "n_embd", "d_model", "dim", "emb_dim", "embedding_size", "attention_hidden_size"), 32
    ),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner", "ffn_hidden_size", "d_ff", "intermediate_dim"), 48),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers", "decoder_layers", "encoder_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads", "decoder_attention_heads"), 4),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok", "moe_k"), 2),
    **dict.fromkeys(("encoder_ffn_dim", "decoder_ffn_dim"), 48),
    **dict.fromkeys(
        ("num_experts", "num_local_experts", "n_routed_experts", "moe_num_experts", "encoder_attention_heads"), 4
    ),
    **dict.fromkeys(
        ("moe_intermediate_size", "shared_expert_intermediate_size", "intermediate_size_mlp", "expert_ffn_hidden_size"),
        16,
    ),
    **dict.fromkeys(
        ("kv_lora_rank", "q_lora_rank", "head_dim", "v_head_dim", "qk_rope_head_dim", "qk_nope_head_dim"), 8
    ),
    **dict.fromkeys(("attention_head_dim", "rotary_dim"), 8),
    **dict.fromkeys(("n_group", "topk_group", "n_groups", "mamba_n_groups"), 1),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len", "n_ctx", "max_target_positions"), 64),
    **dict.fromkeys(("vocab_size", "vocab_size_per_layer_input", "num_embeddings"), 64),
    **dict.fromkeys(("sliding_window", "attention_chunk_size", "chunk_size"), 16),
    **dict.fromkeys(("hidden_size_per_layer_input", "mamba_d_state", "state_size", "mamba_d_head"), 8),
    **{"mamba_n_heads": 8, "mamba_expand": 2, "mamba_chunk_size": 16, "num_kv_shared_layers": 0},
    **{"attn_layer_period": 2, "attn_layer_offset": 1},
    **{"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "is_decoder": True},
}
FURTHER: dict[str, dict[str, Any]] = {
    "bamba": {"attn_layer_indices": [1]},
    "falcon_h1": {"mamba_d_ssm": 64},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "granitemoehybrid": {"layer_types": ["mamba", "attention"], "position_embedding_type": "rope"},
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "mamba2": {"num_heads": 8},
    "reformer": {"axial_pos_shape": (8, 8), "axial_pos_embds_dim": (16, 16)},
    "xmod": {"default_language": "en_XX"},
    "zaya": {"num_experts_per_tok": 1},
}
"""Options of types whose sizes must fit each other in a way of their own."""

BY_LAYER = (
    "layer_types",
    "layers_block_type",
    "mlp_layer_types",
    "no_rope_layers",
    "block_types",
)
"""Options with an entry for each layer, cut to as many as there are."""


@dataclass(frozen=True)
class Verdict:
    """What came of one type.

    Attributes:
        model_type: Its name in Transformers.
        built: Why it could not be built; empty if it was.
        refused: Why increments were refused; empty if they were attached.
        per_head: The same, for increments per head.
        cache: How reading in pieces differs from one pass; empty if it does not.
    """

    model_type: str
    built: str = ""
    refused: str = ""
    per_head: str = ""
    cache: str = ""


def small(config_class: type[PretrainedConfig]) -> dict[str, Any]:
    """The options that make a configuration small, those of the configurations inside it too."""
    default, known = config_class(), config_class.__dataclass_fields__
    values = default.to_dict()
    options = {name: size for name, size in SIZES.items() if name in known and isinstance(values.get(name), int | None)}
    if "kv_lora_rank" in known:  # keys are made for all heads
        options["num_key_value_heads"] = options["num_attention_heads"]
    for name in BY_LAYER:
        if name in known and isinstance(layers := values.get(name), list | tuple):
            kinds = list(dict.fromkeys(layers))  # one layer of each kind, two if there is one kind
            options[name] = kinds if len(kinds) > 1 else kinds * 2
            options["num_hidden_layers"] = len(options[name])
    for name, inner in config_class.sub_configs.items():
        if inner is not AutoConfig and getattr(default, name, None) is not None:
            options[name] = small(inner)
        elif getattr(default, name, None) is not None:
            options[name] = {"model_type": getattr(default, name).model_type, **small(type(getattr(default, name)))}
    return options


def build(model_type: str) -> PreTrainedModel:
    """A tiny random model, in evaluation mode.

    Raises:
        Exception: Whatever its configuration or its layers say to the sizes.
    """
    config_class = type(AutoConfig.for_model(model_type))
    config = config_class(**small(config_class) | FURTHER.get(model_type, {}))
    with torch.device("meta"):
        num_parameters = sum(parameter.numel() for parameter in AutoModelForCausalLM.from_config(config).parameters())
    if num_parameters > LARGEST:
        raise ValueError(f"its sizes are not understood: {num_parameters:,} parameters")
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager").eval()
    for parameter in model.parameters():  # so that no output depends on zeros or ones that an architecture starts at
        parameter.data.add_(torch.randn_like(parameter), alpha=0.05)
    logits(model)
    return model


def token_ids() -> torch.Tensor:
    """Random tokens, none of them special."""
    return torch.randint(3, 64, (2, NUM_TOKENS), generator=torch.Generator().manual_seed(0))


def logits(model: PreTrainedModel) -> torch.Tensor:
    """The logits of those tokens, read in one pass."""
    return model(token_ids(), use_cache=False).logits


def reason(error: Exception) -> str:
    """Why increments are refused: an error's first line, without the model's name, the module's and what to do."""
    said = first_line(error).partition("; ")[0]
    for what in (
        "has no rotary positions that increments could replace",
        "cannot have positions per head",
        "cannot have increments",
    ):
        said = said.rpartition(f" {what}: ")[2]
    return re.sub(r" \([\w.]*\.[\w.]*\)$", "", said)


@torch.no_grad()
def refusal(model: PreTrainedModel, **options: Any) -> str:
    """Why increments cannot be attached; empty if they can. They are attached afterwards."""
    expected = logits(model)
    try:
        howfar.attach(model, howfar.IncrementConfig(**options))
    except HowFarError as error:
        return reason(error)
    return "" if torch.equal(logits(model), expected) else "WRONG: increments of 1 change the logits"


@torch.no_grad()
def difference_in_pieces(model: PreTrainedModel) -> str:
    """How logits from a cache differ from those of one pass, with increments that differ from 1."""
    increments = howfar.increments_of(model)
    for parameter in increments.parameters():
        nn.init.normal_(parameter, std=0.3)
    tokens, whole = token_ids(), logits(model)
    try:
        first = model(tokens[:, :7], use_cache=True)
        if first.get(CACHE_NAME) is None:
            return "it has no cache"
        pieces, cache = [first.logits], first[CACHE_NAME]
        for place in range(7, NUM_TOKENS):
            pieces.append(model(tokens[:, place : place + 1], use_cache=True, **{CACHE_NAME: cache}).logits)
    except HowFarError as error:
        return reason(error)
    apart = (torch.cat(pieces, dim=1) - whole).abs().max() / whole.std()
    return "" if apart < 1e-3 else f"differs by {apart:.1g} of the logits' standard deviation"


def attempt(model_type: str) -> Verdict:
    """Try one type."""
    try:
        model = build(model_type)
    except Exception as error:  # a configuration may refuse sizes in any way
        return Verdict(model_type, built=f"{type(error).__name__}: {first_line(error)}"[:150])
    if refused := refusal(model, scope="per_layer"):
        return Verdict(model_type, refused=refused)
    cache = difference_in_pieces(model)
    howfar.detach(model)
    shared = refusal(model, scope="shared")
    if not shared:
        howfar.detach(model)
    return Verdict(model_type, refused=shared, per_head=refusal(model, scope="per_layer", per_head=True), cache=cache)


def _or_why_not(reason: str) -> str:
    return f"no: {reason}" if reason else "yes"


def page(verdicts: list[Verdict]) -> str:
    """The page, in Markdown."""
    attached = [one for one in verdicts if not one.built and not one.refused]
    reasons = defaultdict(list)
    for one in verdicts:
        if one.refused:
            reasons[one.refused].append(one.model_type)
    lines = [
        "# Which architectures take increments",
        "",
        f"All {len(verdicts)} types of causal language model in Transformers {transformers.__version__}, each tiny and "
        f"with random weights: {len(attached)} take increments, {sum(map(len, reasons.values()))} are refused, "
        f"and {len([one for one in verdicts if one.built])} could not be built so small. Written by "
        "`tools/try_architectures.py`. Nothing is decided by an architecture's name. "
        "[Grafts in detail](../grafting.md) lists the types that every run of the tests tries further.",
        "",
        "Here increments of 1, shared and per layer, leave the logits as they are, bit for bit. In pieces, from a "
        "cache, logits are those of one pass, unless the table says otherwise.",
        "",
        "| `model_type` | per head | in pieces |",
        "|---|---|---|",
        *(f"| `{one.model_type}` | {_or_why_not(one.per_head)} | {_or_why_not(one.cache)} |" for one in attached),
        "",
        "## Refused",
        "",
        "| reason | `model_type` |",
        "|---|---|",
        *(f"| {why} | {', '.join(f'`{name}`' for name in names)} |" for why, names in sorted(reasons.items())),
        "",
        "## Not built",
        "",
        "Their configurations did not take the small sizes, so nothing is known.",
        "",
        "| `model_type` | why |",
        "|---|---|",
        *(f"| `{one.model_type}` | {one.built.replace('|', '/')} |" for one in verdicts if one.built),
    ]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Try the types and write the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", choices=sorted(TYPES), metavar="TYPE", help="these types alone")
    parser.add_argument("--output", type=Path, default=Path("docs/reference/architectures.md"))
    arguments = parser.parse_args()
    verdicts = []
    for model_type in sorted(arguments.only or TYPES):
        with quiet_transformers():
            verdict = attempt(model_type)
        verdicts.append(verdict)
        print(verdict, flush=True)
    arguments.output.write_text(page(verdicts), encoding="utf-8")


if __name__ == "__main__":
    main()
