"""How far apart does a language model think its tokens are?

Models whose positions advance by learned increments, and tools to look at them:

    import howfar

    model = howfar.load()
    trace = howfar.trace(model, "Marie Curie, a Polish-born physicist, won two Nobel Prizes.")
    howfar.spacing(trace).save("curie.html")

Importing this package is cheap: each name below is imported from its module when it is first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from howfar.imports import lazily
from howfar.registration import register_when_needed

if TYPE_CHECKING:
    from howfar.charts.spacing import spacing
    from howfar.models.bundled import bundled_models
    from howfar.models.configuration import HowFarConfig
    from howfar.models.loading import load, save, tokenizer_of
    from howfar.models.lora import merge_lora
    from howfar.models.modeling import HowFarForCausalLM
    from howfar.models.publishing import push_to_hub
    from howfar.positions import IncrementConfig, attach, detach, increments_of, movable, override, record
    from howfar.reading import Trace, trace, trace_many
    from howfar.studies.driving import study
    from howfar.studies.reading import workers

__all__ = [
    "HowFarConfig",
    "HowFarForCausalLM",
    "IncrementConfig",
    "Trace",
    "attach",
    "bundled_models",
    "detach",
    "increments_of",
    "load",
    "merge_lora",
    "movable",
    "override",
    "push_to_hub",
    "record",
    "save",
    "spacing",
    "study",
    "tokenizer_of",
    "trace",
    "trace_many",
    "workers",
]

__getattr__, __dir__ = lazily(
    __name__,
    {
        "charts.spacing": ("spacing",),
        "models.bundled": ("bundled_models",),
        "models.configuration": ("HowFarConfig",),
        "models.loading": ("load", "save", "tokenizer_of"),
        "models.lora": ("merge_lora",),
        "models.modeling": ("HowFarForCausalLM",),
        "models.publishing": ("push_to_hub",),
        "positions": ("IncrementConfig", "attach", "detach", "increments_of", "movable", "override", "record"),
        "reading": ("Trace", "trace", "trace_many"),
        "studies.driving": ("study",),
        "studies.reading": ("workers",),
    },
)

register_when_needed()
