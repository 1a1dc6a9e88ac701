"""Work as tasks of a Ray cluster: one per run, with the resources that it needs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Self

from howfar.errors import HowFarError, MissingExtraError, StudyError, WorkersError
from howfar.foreign import first_line
from howfar.studies.processes import Ended

CONNECTING_SECONDS = 10
LOST_WORKERS = 3
"""How often work is restarted after its worker was lost; training continues from its last complete checkpoint."""


class RayTasks:
    """Executes work on a Ray cluster; a context manager that leaves a cluster running, or ends one that it started.

    Args:
        function: The work; takes one argument.
        address: `HOST:PORT`, `ray://HOST:PORT`, or empty for a running cluster or else a new one on this machine.
        cpus: CPUs per piece of work; also its number of threads.
        gpus: GPUs per piece of work; a fraction shares one.

    Raises:
        MissingExtraError: Ray is not installed.
        StudyError: The address does not answer.
    """

    capacity = float("inf")  # work without room waits on the cluster

    def __init__(self, function: Callable[[Any], Any], address: str, *, cpus: float = 1, gpus: float = 0) -> None:
        self._ray = connect(address)
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": LOST_WORKERS}
        self._task = self._ray.remote(**options)(function)
        self._running: dict[Any, str] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        self._ray.shutdown()

    def start(self, name: str, argument: Any, log: Path | None = None) -> None:
        """Start a piece of work; its output goes to Ray's logs."""
        self._running[self._task.remote(argument)] = name

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """Wait until at least one piece of work has ended, or for the given time; returns all that have."""
        ended, _ = self._ray.wait([*self._running], num_returns=1, timeout=seconds)
        return [(self._running.pop(reference), self._error_of(reference)) for reference in ended]

    def _error_of(self, reference: Any) -> str | None:
        try:
            Result(reference, self._ray).result()
        except HowFarError as error:
            return str(error)
        except Exception as error:
            return f"{type(error).__name__}: {first_line(error)}"
        return None


class RayReaders:
    """Reads on a Ray cluster, a batch in each task of one CPU; a context manager likewise.

    Args:
        address: As for `RayTasks`.

    Raises:
        MissingExtraError: Ray is not installed.
        StudyError: Nothing answers at the address.
    """

    def __init__(self, address: str) -> None:
        self._ray = connect(address)
        self.number = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._tasks: dict[Callable[..., Any], Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._ray.shutdown()

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Result:
        """Hand out work; its `result` is waited for."""
        task = self._tasks.get(function) or self._ray.remote(num_cpus=1, max_retries=LOST_WORKERS)(function)
        self._tasks[function] = task
        return Result(task.remote(*arguments), self._ray)


@dataclass(frozen=True)
class Result:
    """The future result of a task."""

    reference: Any
    ray: ModuleType

    def result(self) -> Any:
        """Wait for it, and raise what it raised, as it was raised there.

        Raises:
            WorkersError: Its worker was lost, and so were those that tried again.
        """
        try:
            return self.ray.get(self.reference)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayError as error:
            raise WorkersError(
                f"Ray lost a task ({first_line(error)}); see that the cluster is up, and repeat"
            ) from None


def connect(address: str) -> ModuleType:
    """Join a cluster; returns Ray's module.

    Raises:
        MissingExtraError: Ray is not installed.
        StudyError: The address does not answer.
    """
    try:
        import ray
    except ImportError:
        raise MissingExtraError("Ray is not installed; pip install 'howfar[ray]'") from None
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address and not (colon and port.isdecimal()):
        raise StudyError(f"--ray {address!r} is not an address; give HOST:PORT, ray://HOST:PORT, or none")
    try:
        if address:  # Ray itself retries for minutes, and then ends the process
            socket.create_connection((host, int(port)), timeout=CONNECTING_SECONDS).close()
        ray.init(address=address or None, log_to_driver=False, logging_level="ERROR", ignore_reinit_error=True)
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise StudyError(
            f"no Ray cluster answers at {address or 'hand'} ({first_line(error)}); start one, or leave out --ray"
        ) from None
    return ray
