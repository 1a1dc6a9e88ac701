"""Reading by several processes of this machine, or by a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from howfar.errors import ConfigError
from howfar.reading.pool import Pool
from howfar.reading.workers import Workers, read_by


@contextmanager
def workers(number: int = 1, *, ray: str | None = None) -> Iterator[None]:
    """Let several processes read what is read in a block, by measures, traces and held-out losses.

    Numbers and passages are those of one process, bit for bit where each has as many threads (`OMP_NUM_THREADS`): texts
    are cut into the same batches, which are read in any order and used in theirs. Memory does not grow with the text.
    Each process loads the model by its name, once, and refuses one whose weights are not those of the model here.
    Attention is read here, and so is a model whose increments are overridden; hooks that others have put on the model
    here are not known there. Scripts call this under `if __name__ == "__main__"`.

    Args:
        number: How many processes on this machine; 1 is this one.
        ray: Read on a Ray cluster instead: its address, or an empty string for the one that is there, or else is made.
            Its CPUs say how many read.

    Raises:
        ConfigError: The number is less than 1.
        MissingExtraError: Ray is not installed.
        StudyError: Nothing answers at the address.
        WorkersError: When something is read: processes were lost, or cannot have the model.
    """
    if number < 1:
        raise ConfigError(f"the number of workers is {number}; give 1 or more")
    if ray is None and number == 1:
        with read_by(None):
            yield
        return
    with _begun(number, ray) as begun, read_by(begun):
        yield


@contextmanager
def _begun(number: int, ray: str | None) -> Iterator[Workers]:
    if ray is None:
        with Pool(number) as pool:
            yield pool
        return
    from howfar.studies.on_ray import RayReaders

    with RayReaders(ray) as readers:
        yield readers
