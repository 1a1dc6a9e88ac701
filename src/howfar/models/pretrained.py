"""Build a whole model from its files: a folder with safetensors, or a GGUF file."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM

from howfar.errors import CheckpointError, HowFarError
from howfar.foreign import first_line
from howfar.imports import import_extra
from howfar.models import modeling as _registers_the_auto_classes  # noqa: F401
from howfar.models.configuration import HowFarConfig
from howfar.models.disguise import GRAFT_FILE, PEFT_FILES, VARIANT, is_disguised
from howfar.models.folders import read_config, read_headers
from howfar.models.manifest import verified
from howfar.models.plausibility import check_tensors
from howfar.models.quiet import quiet_stderr, quiet_transformers
from howfar.models.tensors import check_finite
from howfar.models.unwrapping import learned_tensors

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel, PreTrainedTokenizerBase


def load_pretrained(path: Path, *, is_listed: bool = False, **options: Any) -> PreTrainedModel:
    """Load a model from a single place; a pretrained model with increments is loaded without them.

    Args:
        path: A folder with `config.json` and safetensors, or a GGUF file.
        is_listed: Whether the caller checks the folder's files against their list.
        **options: Passed to Transformers' `from_pretrained`.

    Raises:
        CheckpointError: The files are damaged or pickled, need code of their own, have tensors missing or left over, or
            hold NaN or infinite values; or a `device_map` leaves a part out of memory.
        MissingExtraError: The package that reads GGUF files is not installed.
    """
    gguf = is_gguf(path)
    with nullcontext() if is_listed or gguf else verified(path):
        model, report = _load_gguf(path, **options) if gguf else _load_folder(path, **options)
        _check_complete(path, model, report)
    _check_values(path, model)
    return model


def _load_folder(path: Path, **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    config, of_graft = read_config(path)
    if of_graft:
        if not (path / GRAFT_FILE).is_file():
            raise CheckpointError(f"{path / GRAFT_FILE} is missing; save or download the graft again")
        if is_disguised(config):
            raise CheckpointError(
                f"{path} is a graft without the weights of its base model; load it with howfar.load, or name the base"
            )
        options = {"config": read_pretrained_config(path), "variant": VARIANT, **options}
    headers = read_headers(path)
    check_tensors(config, headers, path)
    if (path / PEFT_FILES.config).is_file():  # Transformers would load the adapter's base instead
        raise CheckpointError(
            f"{path} holds both a model and an adapter, and nothing says how they belong together; move one of "
            "the two elsewhere"
        )
    model_type = config.get("model_type")
    with quiet_transformers():
        try:
            return AutoModelForCausalLM.from_pretrained(
                str(path),
                **options,
                use_safetensors=True,
                trust_remote_code=False,
                ignore_mismatched_sizes=True,  # they are not accepted: the check below refuses them
                output_loading_info=True,
            )
        except HowFarError:
            raise
        except Exception as error:  # whatever Transformers raises for a damaged or foreign configuration
            raise CheckpointError(
                f"Transformers cannot build a causal language model from {path} (model_type {model_type!r}): "
                f"{first_line(error).rstrip(' .')}; name a model that its AutoModelForCausalLM opens"
            ) from error


def read_pretrained_config(path: Path) -> PretrainedConfig:
    """The configuration that Transformers reads from a folder or a GGUF file; of a graft, its base's.

    Raises:
        CheckpointError: It cannot be read.
    """
    where, options = _where(path)
    config, of_graft = ({}, False) if is_gguf(path) else read_config(path)
    try:
        if of_graft:
            kind = CONFIG_MAPPING[config["model_type"]]
            # Infinite numbers stand in the file as Transformers writes them.
            return kind.from_dict(kind._decode_special_floats(config))
        return AutoConfig.from_pretrained(where, trust_remote_code=False, **options)
    except Exception as error:  # whatever Transformers raises for a damaged or foreign one
        raise CheckpointError(
            f"Transformers cannot read the configuration of {path} ({first_line(error)}); save or download it again"
        ) from error


def load_tokenizer(path: Path) -> PreTrainedTokenizerBase:
    """Load the tokenizer in a model's folder.

    Raises:
        CheckpointError: It is missing or cannot be read.
        MissingExtraError: The package that reads GGUF files is not installed.
    """
    from transformers import AutoTokenizer

    where, options = _where(path)
    with quiet_transformers():
        try:
            return AutoTokenizer.from_pretrained(where, trust_remote_code=False, **options)
        except Exception as error:  # whatever Transformers raises for damaged or missing files
            raise CheckpointError(
                f"{path} has no tokenizer that can be read ({first_line(error)}); save the model's tokenizer into it"
            ) from error


def is_gguf(path: Path) -> bool:
    """Whether a path names a GGUF file."""
    return path.suffix == ".gguf"


def _where(path: Path) -> tuple[str, dict[str, Any]]:
    """The arguments that name a folder or a GGUF file to Transformers."""
    return (str(path.parent), {"gguf_file": path.name}) if is_gguf(path) else (str(path), {})


def _load_gguf(path: Path, **options: Any) -> tuple[PreTrainedModel, dict[str, Any]]:
    """Read a GGUF file with Transformers' own reader."""
    import_extra("gguf", "reading GGUF files", extra="gguf")
    from transformers import GgufConfig

    # Once unpacked, it trains and saves like any model. Transformers' switch does not hide the reader's progress bar.
    with quiet_transformers(), quiet_stderr():
        try:
            return AutoModelForCausalLM.from_pretrained(
                str(path.parent),
                gguf_file=path.name,
                quantization_config=GgufConfig(dequantize=True),
                output_loading_info=True,
                **options,
            )
        except Exception as error:  # the reader raises errors of struct, numpy and others
            raise CheckpointError(
                f"{path} cannot be read as a GGUF model ({first_line(error)}); download it again, or use the model's "
                "safetensors"
            ) from error


def _check_values(path: Path, model: PreTrainedModel) -> None:
    """Refuse weights that are not finite, or that cannot be read because they are offloaded."""
    for name, tensor in learned_tensors(model):
        if tensor.is_meta:
            raise CheckpointError(
                f"device_map offloads {name} of {path}, whose values then cannot be checked; give a map that places "
                "all parts on devices"
            )
    check_finite(learned_tensors(model), path)


def _check_complete(path: Path, model: PreTrainedModel, report: dict[str, Any]) -> None:
    """Refuse missing or unused tensors: Transformers draws missing ones at random and drops the rest silently."""
    missing = sorted(report["missing_keys"])
    saved = (model.config.architectures or [""])[0]
    if missing and saved.endswith("Model"):  # a body without an output layer, as encoders are published
        raise CheckpointError(
            f"{path} holds a {saved}, which lacks the output layer ({missing[0]}); name the causal language model"
        )
    # Other checkpoints may hold parts that a causal language model does not use; increments are never among these.
    left_over = sorted(
        key
        for key in report["unexpected_keys"]
        if isinstance(model.config, HowFarConfig)
        or (".increments." in key and not getattr(model.config.get_text_config(), "increments", None))
    )
    if left_over and not isinstance(model.config, HowFarConfig):
        raise CheckpointError(
            f"{path} holds increments ({left_over[0]}), but its config.json does not name their kind; add the "
            'howfar.IncrementConfig that they were trained with as "increments": {...}, and load it again'
        )
    wrong = [*(f"{name} is missing" for name in missing), *(f"{name} is left over" for name in left_over)]
    wrong += [f"{key[0] if isinstance(key, tuple) else key} has another shape" for key in report["mismatched_keys"]]
    if wrong:
        others = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        raise CheckpointError(
            f"the weights in {path} do not fit its configuration: {wrong[0]}{others}; "
            "use the weights and the configuration that belong together"
        )
