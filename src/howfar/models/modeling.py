"""Models trained from scratch: Transformers' Llama with increments attached."""

from __future__ import annotations

from typing import Any

from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, LlamaForCausalLM
from transformers import initialization as init

from howfar.models.configuration import HowFarConfig
from howfar.positions import IncrementNetwork, attach


class HowFarForCausalLM(LlamaForCausalLM):
    """Llama whose positions advance by learned increments; plain Llama where the configuration has none.

    Everything else is Transformers': `from_pretrained`, `save_pretrained`, `push_to_hub`, `generate`, Trainer, PEFT.
    """

    config_class = HowFarConfig
    # Increments stay in float32 when a model is loaded in half precision.
    _keep_in_fp32_modules_strict = ["increments"]  # noqa: RUF012

    def __init__(self, config: HowFarConfig) -> None:
        super().__init__(config)
        if config.increment_config is not None:
            attach(self, config.increment_config)
            self.post_init()

    def _init_weights(self, module: nn.Module) -> Any:
        super()._init_weights(module)
        # The parent has drawn the networks' linear layers like all others, which is what `start="random"` means.
        if isinstance(module, IncrementNetwork) and module.start == "identity":
            init.zeros_(module.output.weight)


AutoConfig.register(HowFarConfig.model_type, HowFarConfig)
AutoModelForCausalLM.register(HowFarConfig, HowFarForCausalLM)
