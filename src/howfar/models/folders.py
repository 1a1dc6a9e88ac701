"""From a model's name to a folder with its files; errors for such folders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from howfar.errors import CheckpointError, ModelNotFoundError
from howfar.inputs import read_json
from howfar.models.bundled import DEFAULT_NAME, FOLDER, bundled_models
from howfar.models.disguise import inside, is_disguised
from howfar.models.plausibility import TensorHeader, check_config

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_HUB_FOLDER = re.compile("models--[^/]+/snapshots/[0-9a-f]{40}")  # in the Hub's cache
_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]  # no pickles, no code
_PICKLED = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


def find_model(
    name_or_path: str | Path | None = None,
    *,
    revision: str | None = None,
    download: Mapping[str, Any] | None = None,
) -> Path:
    """Find a model's folder or GGUF file; download it if it is on the Hub and not yet in the cache.

    Args:
        name_or_path: None for the default model, the name of a bundled model, a folder, or a Hub id; or a GGUF file,
            here (`models/x.gguf`) or on the Hub (`owner/model/x.gguf`).
        revision: Branch, tag or commit on the Hub; if None, the newest.
        download: Further options of `huggingface_hub.snapshot_download`.

    Raises:
        ModelNotFoundError: The model does not exist, or the Hub cannot be reached.
        CheckpointError: Something to be read in the folder is not a file.
    """
    name = str(name_or_path)
    if name_or_path is None or not name.endswith(".gguf"):
        return _find_folder(name_or_path, revision, download)
    path = Path(name).expanduser()
    if path.is_file():
        return path
    repository, _, file = name.rpartition("/")
    if isinstance(name_or_path, Path) or "/" not in repository or not _HUB_ID.fullmatch(repository):
        raise ModelNotFoundError(f"there is no file {name!r}; give the path of a GGUF file, or owner/model/FILE.gguf")
    path = _download(repository, revision, [file], download) / file
    if not path.is_file():
        raise ModelNotFoundError(f"{repository!r} on the Hub has no file {file!r}; see its list of files")
    return path


def revision_of(path: Path) -> str | None:
    """The commit of a model that was downloaded from the Hub; None for a local model."""
    folder = path.parent if path.is_file() else path
    return folder.name if _HUB_FOLDER.fullmatch("/".join(folder.parts[-3:])) else None


def _find_folder(name_or_path: str | Path | None, revision: str | None, download: Mapping[str, Any] | None) -> Path:
    name = DEFAULT_NAME if name_or_path is None else str(name_or_path)
    try:
        if name and not isinstance(name_or_path, Path) and (FOLDER / name / "config.json").is_file():
            return FOLDER / name
        path = Path(name).expanduser()
        if name and path.is_dir():
            _check_files(path)
            return path
        is_file = path.is_file()
    except OSError as error:  # a name that no file can have
        raise ModelNotFoundError(
            f"{name[:40]!r}… names no folder ({error.strerror}); {_meant(name)}{_what_there_is()}"
        ) from None
    if is_file:
        raise ModelNotFoundError(f"{name} is a file; name the folder with config.json and model.safetensors")
    if isinstance(name_or_path, Path) or not _HUB_ID.fullmatch(name):
        raise ModelNotFoundError(f"there is no folder {name!r}; {_meant(name)}{_what_there_is()}")
    return _download(name, revision, _HUB_FILES, download)


def _download(name: str, revision: str | None, files: list[str], download: Mapping[str, Any] | None) -> Path:
    from huggingface_hub import is_offline_mode, snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError
    from huggingface_hub.utils import are_progress_bars_disabled, disable_progress_bars, enable_progress_bars

    bars_were_off = are_progress_bars_disabled()
    disable_progress_bars()
    try:
        return Path(
            snapshot_download(
                name,
                revision=revision,
                allow_patterns=files,
                ignore_patterns=["*/*", "consolidated*"],
                **(download or {}),
            )
        )
    except GatedRepoError:
        raise ModelNotFoundError(
            f"the Hub gives {name!r} only to those who accepted its terms; accept them there, then `hf auth login`"
        ) from None
    except RepositoryNotFoundError:
        raise ModelNotFoundError(
            f"{name!r} is neither a bundled model, nor a folder here, nor a public model on the Hub; "
            f"{_meant(name)}{_what_there_is()}"
        ) from None
    except RevisionNotFoundError:
        raise ModelNotFoundError(
            f"{name!r} on the Hub has no revision {revision!r}; look there for its commits"
        ) from None
    except Exception as error:  # the Hub's client raises errors of several HTTP libraries
        if is_offline_mode():
            near = _like(name)
            hint = f"did you mean {near[0]}?" if near else "unset HF_HUB_OFFLINE to download it"
            raise ModelNotFoundError(
                f"{name!r} is neither a bundled model, nor a folder here, nor downloaded yet, and the Hub is not used "
                f"in offline mode; {hint}"
            ) from None
        raise ModelNotFoundError(
            f"{name!r} is neither a bundled model nor a folder here, and the Hub cannot be reached "
            f"({type(error).__name__}); {_meant(name)}{_what_there_is()}"
        ) from error
    finally:
        if not bars_were_off:
            enable_progress_bars()


def _what_there_is() -> str:
    names = ", ".join(model.name for model in bundled_models()) or "none"
    return f"give a bundled model ({names}), the path of a model's folder, or a Hub id, owner/model"


def _meant(name: str) -> str:
    near = _like(name)
    return f"did you mean {near[0]}? Otherwise " if near else ""


def _like(name: str) -> list[str]:
    """Bundled models with a similar name."""
    return get_close_matches(name, [model.name for model in bundled_models()])


def read_config(folder: Path) -> tuple[dict[str, Any], bool]:
    """Read a folder's `config.json`; of a graft with all weights, the base's configuration in it.

    Returns:
        The configuration, and whether the file is that of a graft.

    Raises:
        CheckpointError: It is missing, or not a JSON object.
    """
    path = folder / "config.json"
    if not path.is_file():
        newest = max(folder.glob("*/config.json"), key=lambda inside: inside.stat().st_mtime, default=None)
        hint = f"name a model in it, for example {newest.parent}" if newest else "name a folder that a model is in"
        raise CheckpointError(f"{folder} has no config.json; {hint}")
    try:
        config = read_json(path)
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{path} is not JSON ({error}); save or download the model again") from None
    if not isinstance(config, dict):
        raise CheckpointError(
            f"{path} holds a JSON {type(config).__name__} instead of an object; save or download the model again"
        )
    check_config(config, path)
    if (base := inside(config)) is None:
        return config, is_disguised(config)
    if not isinstance(base, dict) or not isinstance(base.get("model_type"), str):
        raise CheckpointError(
            f"{path} does not hold the configuration of the graft's base model; save or download the graft again"
        )
    check_config(base, path)
    return base, True


def _check_files(folder: Path) -> None:
    """Check that everything to be read in a folder is a file: reading a pipe would wait forever."""
    for path in folder.iterdir():
        if path.suffix in (".json", ".safetensors", ".model", ".txt", ".jinja") and not (
            path.is_file() or path.is_dir()
        ):
            raise CheckpointError(f"{path} is not a file (but a pipe, a device, or a broken link); remove it")


def read_headers(folder: Path) -> dict[str, TensorHeader]:
    """The tensor headers of a folder's safetensors files; checks that the files are complete.

    Raises:
        CheckpointError: They are missing, pickled or damaged.
    """
    from safetensors import SafetensorError, safe_open

    headers: dict[str, TensorHeader] = {}
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in _PICKLED)
        if pickled:
            raise CheckpointError(
                f"the weights in {folder} are pickled ({pickled[0]}), and unpickling can run any code, so pickles are "
                "never read; save the model again as safetensors"
            )
        raise CheckpointError(f"{folder} has no model.safetensors; save or download the model again")
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                for name in file.keys():  # noqa: SIM118  (not a dictionary)
                    tensor = file.get_slice(name)
                    headers[name] = TensorHeader(tensor.get_dtype(), tuple(tensor.get_shape()))
        except (SafetensorError, OSError) as error:
            raise CheckpointError(
                f"{path} is damaged or truncated ({error}); save or download the model again"
            ) from None
    return headers
