"""The list of a saved model's files, with their sizes and hashes: written when it is saved, checked when it is loaded.

Sizes and small files are checked before anything is read. Weights are hashed in separate threads while the model
is built, since hashing (1.1 GB a second on one core) takes about as long as reading. A folder without a list was
written by other software, or by an old version; then only its tensors are checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from howfar.errors import CheckpointError
from howfar.files import write_file
from howfar.inputs import read_json, sha256

MANIFEST_FILE = "howfar_files.json"
FORMAT_VERSION = 1

FOR_READERS = ("README.md", "card.md", "training.json", "log.json")
"""Files that describe a model without affecting it; users may edit them."""
SELF_CHECKED = ("howfar.json",)
"""Files that hold their own hash, because a part of them may be edited; only their presence is checked here."""
_READ = (
    "*.safetensors", "*.index*.json", "*config.json", "*token*.json", "vocab.*", "merges.txt", "*.jinja", *SELF_CHECKED,
)  # fmt: skip
"""Files that change a model if present, so none may be added to those listed."""
_SMALL = 2**20
_NUM_THREADS = 4


def describe_files(folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of each file in a folder, by name; without subfolders and `FOR_READERS`.

    Raises:
        OSError: A file cannot be read.
    """
    return {
        path.name: {} if path.name in SELF_CHECKED else {"bytes": path.stat().st_size, "sha256": sha256(path)}
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name not in (MANIFEST_FILE, *FOR_READERS)
    }


def sha256_of_weights(path: Path) -> str:
    """The SHA-256 of a model's weights, a file or the files of a folder; if there are several, that of their own.

    Raises:
        CheckpointError: There are none.
    """
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
    if not files:
        raise CheckpointError(f"there are no weights in {path}; save or download the model again")
    digests = [sha256(file) for file in files]
    return digests[0] if len(digests) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest()


def write_manifest(folder: Path) -> None:
    """List a saved model's files; called last.

    Raises:
        OSError: A file cannot be read.
        OutputError: The list cannot be written.
    """
    manifest = {"format_version": FORMAT_VERSION, "files": describe_files(folder)}
    write_file(folder / MANIFEST_FILE, json.dumps(manifest, indent=1) + "\n")


def names_beside(folder: Path) -> list[str]:
    """What a folder holds beside a saved model, its list of files and its README; without a list, all that it holds."""
    try:
        listed = read_manifest(folder)
    except CheckpointError:
        listed = None
    own = () if listed is None else {MANIFEST_FILE, "README.md", *listed}
    return sorted(entry.name for entry in folder.iterdir() if entry.name not in own)


@contextmanager
def verified(folder: Path) -> Iterator[None]:
    """Check a saved model's folder against its list, if it has one, while the block loads it.

    Raises:
        CheckpointError: A file is missing, added, damaged or changed, or the list is damaged.
    """
    listed = read_manifest(folder)
    if listed is None:
        yield
        return
    check_listed(folder, listed)
    large = {name: entry for name, entry in listed.items() if entry.get("bytes", 0) > _SMALL}
    with ThreadPoolExecutor(_NUM_THREADS) as pool:
        checks = [pool.submit(_check_hash, folder / name, entry["sha256"]) for name, entry in large.items()]
        try:
            yield
        except Exception:
            for check in checks:  # a damaged file explains the error better than the code that read it
                check.result()
            raise
        for check in checks:
            check.result()


def check_listed(folder: Path, listed: Mapping[str, Mapping[str, Any]]) -> None:
    """Check the names and sizes of a folder's files, and the hashes of small ones.

    Args:
        folder: Where the files are.
        listed: Their entries from `describe_files`.

    Raises:
        CheckpointError: A file is missing, added, damaged or changed.
    """
    for name, entry in listed.items():
        path = folder / name
        if not path.is_file():
            raise _damaged(path, "it was saved but is gone")
        size = path.stat().st_size
        if "bytes" in entry and size != entry["bytes"]:
            raise _damaged(path, f"it has {size:,} bytes instead of {entry['bytes']:,}")
    for path in folder.iterdir():
        if path.name not in listed and path.name != MANIFEST_FILE and any(fnmatch(path.name, kind) for kind in _READ):
            raise CheckpointError(
                f"{path} was not saved with the model and would change it; remove it, or remove "
                f"{folder / MANIFEST_FILE} if it belongs there"
            )
    for name, entry in listed.items():
        if entry.get("bytes", _SMALL + 1) <= _SMALL:
            _check_hash(folder / name, entry["sha256"])


def read_manifest(folder: Path) -> dict[str, dict[str, Any]] | None:
    """The files in a folder's list, as `describe_files` gives them; None without a list.

    Raises:
        CheckpointError: The list is damaged, or of another version.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        return None
    try:
        manifest = read_json(path)
        version, listed = manifest["format_version"], dict(manifest["files"])
        for name, entry in listed.items():
            if Path(name).name != name or not (
                entry == {} or (isinstance(entry["bytes"], int) and isinstance(entry["sha256"], str))
            ):
                raise ValueError(f"the entry of {name!r} is malformed")
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(
            f"{path} cannot be read ({type(error).__name__}: {error}); save or download the model again, or remove "
            "this list of its files to load it unchecked"
        ) from None
    if version != FORMAT_VERSION:
        raise CheckpointError(
            f"{path} has format version {version}, this howfar reads {FORMAT_VERSION}; install the one that wrote it"
        )
    return listed


def _check_hash(path: Path, expected: str) -> None:
    try:
        found = sha256(path)
    except OSError as error:
        raise _damaged(path, error.strerror or str(error)) from None
    if found != expected:
        raise _damaged(path, f"its SHA-256 is {found[:12]} instead of {expected[:12]}")


def _damaged(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is missing or damaged ({reason}); save or download the model again, or remove "
        f"{path.with_name(MANIFEST_FILE)} if you changed the file on purpose"
    )
