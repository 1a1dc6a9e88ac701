"""Models trained from scratch: Transformers' Llama with increments or another encoding attached."""

from __future__ import annotations

from torch import nn
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from howfar.models.configuration import HowFarConfig
from howfar.positions.attachment import attach_encoding
from howfar.positions.encodings import PLAIN


class HowFarForCausalLM(LlamaForCausalLM):
    """Llama with learned increments or another encoding of positions; or plain Llama.

    Everything else is Transformers': `from_pretrained`, `save_pretrained`, `push_to_hub`, `generate`, Trainer, PEFT.
    """

    config_class = HowFarConfig
    # These stay in float32 when a model is loaded in half precision.
    _keep_in_fp32_modules_strict = ["increments", "encoding"]  # noqa: RUF012

    def __init__(self, config: HowFarConfig) -> None:
        super().__init__(config)
        # The end of a document also pads, in generated batches and in the Trainer's, but it must be learned.
        self.model.embed_tokens.padding_idx = None
        self.generation_config.pad_token_id = config.bos_token_id
        if config.increment_config is not None or config.encoding is not None:
            encoding = config.encoding or PLAIN
            increments = attach_encoding(self, config.increment_config, encoding, from_scratch=encoding != PLAIN)
            self.post_init()
            # It has drawn the networks' linear layers like all others, which is what `start="random"` means.
            if increments.config.start == "identity":
                for network in increments.networks:
                    nn.init.zeros_(network.get_parameter("output.weight"))


AutoModelForCausalLM.register(HowFarConfig, HowFarForCausalLM, exist_ok=True)
