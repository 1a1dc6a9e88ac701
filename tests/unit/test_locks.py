import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from howfar.errors import InUseError, OutputError
from howfar.locks import one_at_a_time

HOLD = """
import sys
from pathlib import Path
from howfar.locks import one_at_a_time
file = Path(sys.argv[1])
with one_at_a_time(file, guards=file.parent):
    print("held", flush=True)
    sys.stdin.read()
"""
Held = tuple[Path, "subprocess.Popen[str]"]


@pytest.fixture
def held(tmp_path: Path) -> Iterator[Held]:
    """A lock file, and a process that holds its lock until its input ends."""
    file = tmp_path / "lock"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield file, process
    process.kill()
    process.communicate()


def test_whoever_comes_second_is_told_who_is_there(held: Held) -> None:
    file, process = held
    said = rf"work is in use by process {process.pid} on '{socket.gethostname()}' since 20\d\d-.*; wait until that has"
    for _ in range(2):
        with pytest.raises(InUseError, match=said), one_at_a_time(file, guards=Path("work")):
            pass
    process.communicate()
    assert not file.exists()
    with one_at_a_time(file, guards=Path("work")):
        assert json.loads(file.read_text())["pid"] == os.getpid()


def test_the_lock_of_a_process_that_was_killed_is_taken_over(held: Held) -> None:
    file, process = held
    process.kill()
    process.wait()
    assert json.loads(file.read_text())["pid"] == process.pid
    with one_at_a_time(file, guards=file):
        assert json.loads(file.read_text())["pid"] == os.getpid()
    assert not file.exists()


@pytest.mark.parametrize("left", ["", "{", "[]", '{"pid": 1}'])
def test_a_lock_file_that_says_nothing_hinders_nobody(tmp_path: Path, left: str) -> None:
    (tmp_path / "lock").write_text(left)
    with one_at_a_time(tmp_path / "lock", guards=tmp_path):
        (tmp_path / "lock").write_text(left)
        refused = []

        def second() -> None:
            with (
                pytest.raises(InUseError, match="is in use by another process; wait"),
                one_at_a_time(tmp_path / "lock", guards=tmp_path),
            ):
                pass
            refused.append(True)

        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
        assert refused == [True]


def test_one_thread_may_hold_it_several_times_over(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with one_at_a_time(file, guards=file):
        with one_at_a_time(file, guards=file):
            pass
        assert file.exists()
    assert not file.exists()


def test_an_error_gives_the_lock_back(tmp_path: Path) -> None:
    with pytest.raises(KeyError), one_at_a_time(tmp_path / "lock", guards=tmp_path):
        raise KeyError
    with one_at_a_time(tmp_path / "lock", guards=tmp_path):
        pass


def test_a_lock_that_cannot_be_made_is_an_error_of_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    said = r"^run cannot be locked \(\w[^\n]*\); choose another folder$"
    with pytest.raises(OutputError, match=said), one_at_a_time(tmp_path / "file" / "lock", guards=Path("run")):
        pass
