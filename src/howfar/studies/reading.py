"""Reading and building by several processes on this machine, or by a Ray cluster."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from howfar.errors import ConfigError
from howfar.jobs.pool import Pool
from howfar.jobs.workers import Workers, work_by


@contextmanager
def workers(number: int = 1, *, ray: str | None = None) -> Iterator[None]:
    """Use several processes in a block: for all reading by measures, traces and held-out losses, and for corpus builds.

    Results are those of one process, bit for bit if every process has as many threads (`OMP_NUM_THREADS`), because
    batches are the same and are used in the same order. Memory does not grow with the text. Each process loads the
    model by name, once, and refuses it if its weights differ. Attention is read in this process, and so is a model
    whose increments are overridden. Workers do not see other hooks on the model. Scripts must call this under
    `if __name__ == "__main__"`.

    Args:
        number: Number of processes on this machine; 1 means only this process.
        ray: Address of a Ray cluster to read on instead, with as many tasks as it has CPUs. An empty string stands for
            a running cluster, or else a new one on this machine.

    Raises:
        ConfigError: The number is less than 1.
        MissingExtraError: Ray is not installed.
        StudyError: The address does not answer.
        WorkersError: During the work: processes were lost, or cannot load the model or get the tokenizer.
    """
    if number < 1:
        raise ConfigError(f"the number of workers is {number}; give 1 or more")
    chosen: AbstractContextManager[Workers] | None = Pool(number) if number > 1 else None
    if ray is not None:
        from howfar.studies.on_ray import RayReaders

        chosen = RayReaders(ray)
    with chosen or nullcontext() as workers, work_by(workers):
        yield
