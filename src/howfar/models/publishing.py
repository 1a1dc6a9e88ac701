"""Put a graft on the Hugging Face Hub."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from howfar.errors import CheckpointError, OutputError
from howfar.foreign import first_line
from howfar.inputs import public_name, read_json
from howfar.models.description import read_description
from howfar.models.disguise import GRAFT_FILE

RECORD = "training.json"
UPLOADED = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja", "README.md"]  # without checkpoints in subfolders


def push_to_hub(folder: str | Path, repository: str, *, private: bool | None = None) -> str:
    """Upload a graft, so that `howfar.load(repository)` rebuilds it anywhere.

    Args:
        folder: A folder that `howfar graft` or `howfar.save` wrote.
        repository: `owner/name`; made if it is missing.
        private: Whether a new repository is private; if None, the Hub's default.

    Returns:
        The address of the upload.

    Raises:
        CheckpointError: The folder is not a graft, or its base model exists on this machine only.
        OutputError: The Hub refuses the upload.
    """
    from huggingface_hub import HfApi

    folder = Path(folder)
    description = read_description(folder)
    if not description.whole and description.base.revision is None:
        raise CheckpointError(
            f"the base model of {folder} is {description.base.name}, which exists on this machine only; if it is on "
            f"the Hub too, write its id and commit as base.name and base.revision in {folder / GRAFT_FILE}"
        )
    api = HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        upload = api.upload_folder(
            repo_id=repository,
            folder_path=folder,
            allow_patterns=UPLOADED,
            ignore_patterns=["*/*", RECORD],
            commit_message="Upload a graft of learned positions",
        )
        if (folder / RECORD).is_file():
            record = read_json(folder / RECORD)
            api.upload_file(
                repo_id=repository,
                path_in_repo=RECORD,
                path_or_fileobj=json.dumps(without_places(record), indent=2).encode(),
                commit_message="Upload how it was trained",
            )
    except Exception as error:  # the Hub's client raises errors of several HTTP libraries
        raise OutputError(
            f"{folder} could not be uploaded to {repository!r} ({first_line(error)}); "
            "check the name and the network, and log in with `hf auth login`"
        ) from error
    return str(upload.commit_url)


def without_places(value: Any) -> Any:
    """A record with absolute paths shortened to their last part, so that it does not reveal local folders."""
    if isinstance(value, dict):
        return {name: without_places(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [without_places(inner) for inner in value]
    return public_name(value) if isinstance(value, str) else value
