"""What Transformers' Auto classes give for models of this package that are not a class of Transformers: grafts, bodies.

A graft's `config.json` has a type of its own, so that Transformers alone refuses it. Once this package is imported,
`AutoModelForCausalLM.from_pretrained` gives the same model as `howfar.load`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, PreTrainedConfig

from howfar.errors import ConfigError, UnsupportedModelError
from howfar.models.configuration import HowFarConfig
from howfar.models.disguise import GRAFT_TYPE
from howfar.models.loading import load_at

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_PLACE = ("cache_dir", "force_download", "local_files_only", "token")
"""Options that say how files are downloaded."""
_PASSED_ON = ("dtype", "attn_implementation", "device_map")
_WITHOUT_EFFECT = (
    "_from_auto", "_from_pipeline", "config", "low_cpu_mem_usage", "name_or_path",
    "trust_remote_code", "use_safetensors", "weights_only",
)  # fmt: skip
"""Options that change nothing here: weights are always safetensors, and no remote code is run."""


class HowFarGraftConfig(PreTrainedConfig):
    """The contents of a graft's `config.json`; the base's configuration comes with the loaded model, as `model.config`.

    Args:
        base_config: The base's configuration, if the graft has all weights.
    """

    model_type = GRAFT_TYPE

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **options: Any) -> Any:
        """Build it without taking options of `from_pretrained` for its own: they belong to the base's configuration."""
        name = options.pop("name_or_path", None)
        config = super().from_dict(config_dict, **({} if name is None else {"name_or_path": name}))
        return (config, options) if options.pop("return_unused_kwargs", False) else config


class HowFarGraftForCausalLM:
    """What `AutoModelForCausalLM` calls to load a graft; it returns a model of the base's class."""

    config_class = HowFarGraftConfig

    @classmethod
    def from_pretrained(
        cls, name_or_path: str | Path, *arguments: Any, revision: str | None = None, **options: Any
    ) -> PreTrainedModel:
        """Load a graft as `howfar.load` does.

        Args:
            name_or_path: A graft's folder or Hub id, or that of an adapter of a graft.
            *arguments: None are taken.
            revision: Branch, tag or commit on the Hub; if None, the newest.
            **options: `dtype` (or `torch_dtype`), `attn_implementation` and `device_map`, as for Transformers'
                `from_pretrained`; and `cache_dir`, `force_download`, `local_files_only` and `token`, for a download.

        Returns:
            The model, in eval mode.

        Raises:
            ConfigError: There is another option.
            CheckpointError: The graft's files are damaged, or its base is not the model that was grafted.
            ModelNotFoundError: The graft or its base cannot be found.
        """
        adapter = options.pop("adapter_kwargs", None) or {}
        if path := adapter.get("_adapter_model_path"):  # an adapter was asked for, and this graft is only its base
            name_or_path, revision = path, adapter.get("revision")
        options = {
            {"torch_dtype": "dtype"}.get(name, name): value
            for name, value in options.items()
            if value is not None and name not in _WITHOUT_EFFECT
        }
        place = {name: options.pop(name) for name in _PLACE if name in options}
        passed = {name: options.pop(name) for name in _PASSED_ON if name in options}
        unknown = [*options, *(["a model's positional arguments"] if arguments else [])]
        if unknown:
            raise ConfigError(
                f"a graft cannot be loaded with {unknown[0]}; load it without, and change the loaded model"
            )
        if Path(name_or_path).is_dir():  # not a bundled model of this name
            name_or_path = Path(name_or_path)
        return load_at(name_or_path, revision=revision, download=place, **passed)

    @classmethod
    def _from_config(cls, config: PreTrainedConfig, **options: Any) -> NoReturn:
        raise UnsupportedModelError(
            "a graft's configuration alone does not make a model, because its base is stored elsewhere; load the graft "
            "with from_pretrained"
        )


class WithoutHead:
    """What `AutoModel` calls; it refuses, because only whole models can be read, measured and saved here."""

    @classmethod
    def from_pretrained(cls, name_or_path: str | Path, *arguments: Any, **options: Any) -> NoReturn:
        """Refuse to load a model without its output layer.

        Raises:
            UnsupportedModelError: Always.
        """
        raise UnsupportedModelError(
            f"AutoModel would load {name_or_path} without its output layer, which howfar cannot; load it with "
            "AutoModelForCausalLM, whose base_model gives the hidden states"
        )

    @classmethod
    def _from_config(cls, config: PreTrainedConfig, **options: Any) -> NoReturn:
        cls.from_pretrained(type(config).__name__)


AutoConfig.register(GRAFT_TYPE, HowFarGraftConfig, exist_ok=True)
AutoModelForCausalLM.register(HowFarGraftConfig, HowFarGraftForCausalLM, exist_ok=True)
for _config in (HowFarConfig, HowFarGraftConfig):
    AutoModel.register(_config, WithoutHead, exist_ok=True)
