"""Files of documents of indirect indexing, to build a corpus from."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from howfar.errors import ConfigError
from howfar.files import whole_folder, write_file
from howfar.text.indexing import IndexingTask

TRAIN, HELD_OUT = "train.txt", "held_out.txt"


def write_indexing(
    folder: str | Path,
    task: IndexingTask | None = None,
    *,
    num_documents: int = 100_000,
    num_held_out: int = 1_000,
    seed: int = 0,
) -> tuple[Path, Path]:
    """Write documents of indirect indexing, with blank lines between them.

    Args:
        folder: The folder to make; it must not exist yet or must be empty.
        task: What the documents are like.
        num_documents: Documents to train on.
        num_held_out: Documents to hold out; they do not depend on `num_documents`.
        seed: Determines all documents.

    Returns:
        The files of documents to train on and to hold out.

    Raises:
        ConfigError: A number is out of range.
        OutputError: The folder cannot be written or is not empty.
    """
    for name, number in (("documents to train on", num_documents), ("held-out documents", num_held_out)):
        if number < 1:
            raise ConfigError(f"the number of {name} is {number}; give 1 or more")
    documents = (task or IndexingTask()).documents(seed)
    with whole_folder(folder) as partial:
        for name, number in ((HELD_OUT, num_held_out), (TRAIN, num_documents)):
            write_file(partial / name, "\n\n".join(islice(documents, number)) + "\n")
    return Path(folder, TRAIN), Path(folder, HELD_OUT)
