"""Work for processes that read, which do not survive it."""

import os
import signal
from pathlib import Path

from howfar.reading.reader import Reader


def killed_once(reader: Reader, marker: Path, number: int) -> int:
    """Work whose process is killed the first time."""
    if number == 3 and not marker.exists():
        marker.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return number * reader.context


def killed(reader: Reader) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
