"""Jobs as tasks of a Ray cluster, each with the resources that it needs."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from howfar.errors import HowFarError, StudyError, WorkersError
from howfar.foreign import first_line
from howfar.imports import import_extra
from howfar.jobs.pool import MAX_RETRIES
from howfar.jobs.workers import packed
from howfar.studies.processes import Ended

CONNECTING_SECONDS = 10


class OnRay(AbstractContextManager[Any]):
    """A Ray cluster; a context manager that leaves a running cluster up and ends one that it started.

    Args:
        address: `HOST:PORT`, `ray://HOST:PORT`, or empty for this process's session, a running cluster, or else
            a new one on this machine.

    Raises:
        MissingExtraError: Ray is not installed.
        StudyError: The address does not answer, or this process has a session already.
    """

    def __init__(self, address: str) -> None:
        self._ray, self._is_ours = connect(address)

    def __exit__(self, *_: object) -> None:
        if self._is_ours:
            self._ray.shutdown()


class RayTasks(OnRay):
    """Runs jobs on a Ray cluster.

    After its worker is lost, a job is restarted up to `MAX_RETRIES` times; training continues from its last complete
    checkpoint.

    Args:
        function: Does a job; takes one argument.
        address: As for `OnRay`.
        cpus: CPUs per job; also its number of threads.
        gpus: GPUs per job; several jobs may share one by fractions.
    """

    capacity = float("inf")  # jobs wait on the cluster until there is room

    def __init__(self, function: Callable[[Any], Any], address: str, *, cpus: float = 1, gpus: float = 0) -> None:
        super().__init__(address)
        options = {"num_cpus": cpus, "num_gpus": gpus, "max_retries": MAX_RETRIES}
        self._task = self._ray.remote(**options)(function)
        self._running: dict[Any, str] = {}

    def __exit__(self, *_: object) -> None:
        for reference in self._running:
            self._ray.cancel(reference, force=True)
        super().__exit__()

    def start(self, name: str, argument: Any, log: Path | None = None) -> None:
        """Start a job; its output goes to Ray's logs."""
        self._running[self._task.remote(argument)] = name

    def wait(self, seconds: float | None = None) -> list[Ended]:
        """Wait until a job has ended, or for the given time; returns the jobs that have ended."""
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


class RayReaders(OnRay):
    """Reads and builds on a Ray cluster, one job per task of one CPU."""

    def __init__(self, address: str) -> None:
        super().__init__(address)
        self.number = max(1, int(self._ray.cluster_resources().get("CPU", 1)))
        self._tasks: dict[Callable[..., Any], Any] = {}

    def submit(self, function: Callable[..., Any], *arguments: Any) -> Result:
        """Start a job; its `result` waits for it."""
        task = self._tasks.get(function) or self._ray.remote(num_cpus=1, max_retries=MAX_RETRIES)(function)
        self._tasks[function] = task
        return Result(task.remote(*arguments), self._ray)

    def share(self, value: Any) -> Any:
        """Put a value on the cluster; jobs get it as bytes, for `howfar.jobs.workers.received`.

        Raises:
            WorkersError: The value cannot be sent.
        """
        return self._ray.put(packed(value))


@dataclass(frozen=True)
class Result:
    """The future result of a task."""

    reference: Any
    ray: Any

    def result(self) -> Any:
        """Wait for the task, and return or raise what it did.

        Raises:
            WorkersError: Its worker was lost, and so were those of all retries.
        """
        try:
            return self.ray.get(self.reference)
        except self.ray.exceptions.RayTaskError as error:
            raise error.cause from None
        except self.ray.exceptions.RayError as error:
            raise WorkersError(
                f"Ray lost a task ({first_line(error)}); check that the cluster is up, and repeat"
            ) from None


def connect(address: str) -> tuple[Any, bool]:
    """Ray's module, and whether its session is new, so that it should be shut down later; errors as for `OnRay`."""
    ray = import_extra("ray", "--ray", extra="ray")
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if address and not (colon and port.isdecimal()):
        raise StudyError(f"--ray {address!r} is not an address; give HOST:PORT, ray://HOST:PORT, or none")
    if ray.is_initialized():
        if address:
            raise StudyError(
                f"--ray names {address}, but this process has a Ray session already; leave out the address to use it"
            )
        return ray, False
    try:
        if address:  # Ray itself would retry for minutes, then end the process
            socket.create_connection((host, int(port)), timeout=CONNECTING_SECONDS).close()
        ray.init(address=address or None, log_to_driver=False, logging_level="ERROR")
    except (OSError, OverflowError, RuntimeError, ValueError) as error:
        raise StudyError(
            f"no Ray cluster answers at {address or 'this machine'} ({first_line(error)}); start one, "
            "or leave out --ray"
        ) from None
    return ray, True
