"""Configuration of models trained from scratch."""

from __future__ import annotations

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, LlamaConfig

from howfar.positions import IncrementConfig


@strict
class HowFarConfig(LlamaConfig):
    """A Llama configuration, with the model's increments and encoding.

    The defaults are the published setup: 6.4 million parameters over bytes.

    Args:
        increments: Options of `howfar.IncrementConfig`; None if every token advances by 1.
        encoding: How positions reach attention: the `name` of a class in `howfar.positions.encodings`, and its options;
            None for rotary positions.
        vocab_size: 256 byte values and the end of a document.
        max_position_embeddings: Tokens in a training window.

    All other arguments are those of `transformers.LlamaConfig`.

    Source:
        Brendan Long, "How Far Apart Does a Model Think Its Tokens Are?", 2026.
    """

    model_type = "howfar"

    vocab_size: int = 257
    hidden_size: int = 256
    intermediate_size: int = 1024
    num_hidden_layers: int = 6
    num_attention_heads: int = 8
    max_position_embeddings: int = 512
    tie_word_embeddings: bool = True
    bos_token_id: int | None = 256
    eos_token_id: int | list[int] | None = 256
    pad_token_id: int | None = None  # a padding token's embedding stays zero, but the end of a document is learned
    increments: dict[str, Any] | None = None
    encoding: dict[str, Any] | None = None

    @property
    def increment_config(self) -> IncrementConfig | None:
        """The increments' configuration, or None if every token advances by 1.

        Raises:
            ConfigError: An option is unknown or out of range.
        """
        return None if self.increments is None else IncrementConfig.from_dict(self.increments)


AutoConfig.register(HowFarConfig.model_type, HowFarConfig, exist_ok=True)
