"""What a model takes before training: its corpus's tokenizer; another's weights, or a table of its increments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from howfar.corpus.corpus import Corpus
from howfar.corpus.encoding import DocumentEncoder
from howfar.errors import CheckpointError, ConfigError, CorpusError, ModelNotFoundError
from howfar.models.configuration import HowFarConfig
from howfar.models.folders import find_model, read_config
from howfar.models.manifest import sha256_of_weights
from howfar.models.modeling import HowFarForCausalLM
from howfar.models.pretrained import load_pretrained, load_tokenizer
from howfar.positions.attachment import positions_of
from howfar.text.marks import take_mark
from howfar.text.tokenizer import byte_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SAME = (
    "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "head_dim", "hidden_act", "rms_norm_eps", "rope_parameters", "tie_word_embeddings", "attention_bias", "mlp_bias",
    "increments", "encoding",
)  # fmt: skip
"""Settings that give weights their meaning; the context may differ."""


def tokenizer_of_corpus(corpus: Corpus, vocabulary_size: int) -> PreTrainedTokenizerBase:
    """The tokenizer that a corpus was built with.

    Args:
        corpus: The corpus.
        vocabulary_size: Number of tokens of the model to train.

    Raises:
        ConfigError: The model has another number of tokens.
        CorpusError: The tokenizer is not there any more, or has changed.
    """
    wanted = corpus.manifest["tokenizer"]
    num_tokens = wanted["vocabulary_size"]
    if num_tokens != vocabulary_size:
        raise ConfigError(
            f"recipe: [model] has a vocab_size of {vocabulary_size}, but the corpus in {corpus.folder} has "
            f"{num_tokens} tokens; name another corpus, or --set model.vocab_size={num_tokens}"
        )
    if corpus.tokenizer_name == "bytes":
        return byte_tokenizer()
    try:
        tokenizer = load_tokenizer(find_model(corpus.tokenizer_name))
    except (ModelNotFoundError, CheckpointError) as error:
        raise CorpusError(
            f"the tokenizer of the corpus in {corpus.folder} cannot be read: {error}; "
            "put it there, or build the corpus again"
        ) from None
    take_mark(tokenizer, corpus.end_of_document)
    found = DocumentEncoder(tokenizer).provenance()
    if found | {"name": corpus.tokenizer_name} != wanted:
        raise CorpusError(
            f"the corpus in {corpus.folder} was built with another tokenizer than the one that is now in "
            f"{corpus.tokenizer_name}; build it again"
        )
    return tokenizer


def start_from(model: HowFarForCausalLM, name: str) -> dict[str, str]:
    """Copy another model's weights into a model.

    Args:
        model: Changed in place.
        name: A bundled model, or the folder of one that howfar trained.

    Returns:
        For the record: the other model's name, without its folder, and the SHA-256 of its weights; if they are in
        several files, that of the files' own.

    Raises:
        CheckpointError: The other model's files are damaged.
        ConfigError: It is of another kind or shape.
        ModelNotFoundError: The model does not exist.
    """
    folder = find_model(name)
    config, _ = read_config(folder)
    if config.get("model_type") != HowFarConfig.model_type:
        kind = (config.get("architectures") or ["model of another kind"])[0]
        raise ConfigError(
            f"recipe: start_from names {name}, a {kind}; it must be a model that howfar trained from scratch"
        )
    other = load_pretrained(folder, dtype=torch.float32)
    wanted, found = _meaning(model.config), _meaning(other.config)
    for key in SAME:
        if wanted[key] != found[key]:
            raise ConfigError(
                f"recipe: start_from names {name}, whose {key} is {found[key]}, but the recipe's is {wanted[key]}; "
                "make them the same, or leave start_from out"
            )
    model.load_state_dict(other.state_dict())
    return {"name": Path(name).name, "sha256": sha256_of_weights(folder)}


def fill_table(model: HowFarForCausalLM) -> None:
    """Fill a model's frozen increments from the model that its configuration names; other models stay unchanged.

    Raises:
        CheckpointError: The other model's files are damaged.
        ConfigError: Its increments depend on more than the token, or its vocabulary differs.
        ModelNotFoundError: The model does not exist.
    """
    encoding = model.config.encoding or {}
    if encoding.get("name") != "frozen":
        return
    name = encoding["table"]
    other = load_pretrained(find_model(name), dtype=torch.float32)
    found = positions_of(other)
    embeddings = other.get_input_embeddings().weight
    if found is None or not found.networks or found.config.scope != "shared" or found.num_heads > 1:
        raise ConfigError(
            f"recipe: [encoding] table names {name}, whose increments depend on more than the token; name a model with "
            'increments of scope "shared", and not per head'
        )
    if len(embeddings) != model.config.vocab_size:
        raise ConfigError(
            f"recipe: [encoding] table names {name}, which knows {len(embeddings)} tokens, but the recipe's model "
            f"{model.config.vocab_size}; name one with the same tokenizer"
        )
    with torch.no_grad():
        model.get_buffer("model.increments.values").copy_(found.networks[0](embeddings[None])[0].T)


def _meaning(config: HowFarConfig) -> dict[str, Any]:
    """Settings that give weights their meaning; how increments started does not."""
    values = config.to_dict()
    increments = values["increments"] and {key: of for key, of in values["increments"].items() if key != "start"}
    return {**values, "increments": increments}
