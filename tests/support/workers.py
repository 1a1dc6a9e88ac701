"""Work that processes do not survive."""

import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from howfar.corpus.pieces import WholeFile

if TYPE_CHECKING:
    from howfar.reading.reader import Reader

DEADLY = b"deadly"
"""A document that is never read."""


def killed_once(reader: "Reader", marker: Path, number: int) -> int:
    """Work whose process is killed the first time."""
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * reader.context


def killed(reader: "Reader") -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Fatal(WholeFile):
    """A document whose process is killed while its file is not there."""

    def documents(self) -> Iterator[bytes]:
        if not self.path.exists():
            if multiprocessing.parent_process() is None:
                raise AssertionError("this is for a worker")
            if self.data != DEADLY:
                self.path.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().documents()
