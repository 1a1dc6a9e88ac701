"""Atomic writes: a file or folder is replaced as a whole or, if writing fails, unchanged.

Content is written next to its target under a unique name and moved there when it is complete. Leftovers of a killed
process are removed when the same target is written again. Writing to a link, pipe or device does not replace it.
"""

from __future__ import annotations

import errno
import itertools
import os
import re
import shutil
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import blake2s
from pathlib import Path

from howfar.errors import HowFarError, OutputError
from howfar.foreign import first_line

_count = itertools.count()
_RUST_ERROR = re.compile(r"\(os error (\d+)\)")  # how libraries written in Rust report system errors
_TORCH_ERROR = re.compile(r"PytorchStreamWriter failed|inline_container\.cc|basic_ios::clear")

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""System errors where there is no room for more."""

ADVICE = {
    errno.ENOSPC: "choose another place, or make room there",
    errno.EDQUOT: "choose another place, or make room there",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOENT: "make its folder first, or choose another place",
    errno.EEXIST: "choose another name",
    errno.EISDIR: "choose another name",
    errno.ENOTDIR: "choose another place",
    errno.EACCES: "choose a place where you may write",
    errno.EPERM: "choose a place where you may write",
    errno.EROFS: "choose a place where you may write",
}


def write_file(path: str | Path, content: bytes | str) -> None:
    """Write a file, completely or not at all; text is encoded as UTF-8.

    Raises:
        OutputError: The file cannot be written.
    """
    with whole_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file in the block, completely or not at all.

    Args:
        path: The file's final path. An existing file is replaced; its permissions are kept.

    Yields:
        A temporary path to write to.

    Raises:
        OutputError: The file cannot be written.
    """
    path = Path(path)
    with refused_by_name(path):
        if is_stream(path):
            yield from _through(path)
            return
        target = path.resolve()
        _clear_stale(target)
        partial, there = _beside(target, "partial"), _stat(target)
        try:
            partial.touch()
            mode = (there or partial.stat()).st_mode
            yield partial
            partial.chmod(stat.S_IMODE(mode))  # some libraries make private files
            partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)


@contextmanager
def whole_folder(folder: str | Path, *, replace: bool = False) -> Iterator[Path]:
    """Write a folder in the block, completely or not at all.

    Args:
        folder: The folder's final path.
        replace: Whether to replace an existing folder with all its content; otherwise it must be empty.

    Yields:
        An empty temporary folder to write to.

    Raises:
        OutputError: The folder cannot be written.
    """
    folder = Path(folder)
    with refused_by_name(folder):
        is_there = _stat(folder) is not None
        target = folder.resolve()
        target.parent.mkdir(parents=True, exist_ok=True)
        check_replaceable(target)
        if is_there and not (target.is_dir() and (replace or not any(target.iterdir()))):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        _clear_stale(target)
        partial, old = _beside(target, "partial"), _beside(target, "old")
        try:
            partial.mkdir()
            yield partial
            open_to_readers(partial)
            if target.exists():
                target.rename(old)
            partial.rename(target)
        except BaseException:
            if old.exists() and not target.exists():
                old.rename(target)
            raise
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            shutil.rmtree(old, ignore_errors=True)


def check_replaceable(folder: Path) -> None:
    """Refuse a folder that a finished one cannot be moved to.

    Raises:
        OutputError: It is a mount point, for example a container's volume.
    """
    if folder.is_mount():
        raise OutputError(f"{folder} is a mount point, which cannot be replaced; name a folder in it")


@contextmanager
def refused_by_name(path: str | Path, advice: str | None = None) -> Iterator[None]:
    """Turn system errors in the block, also those wrapped by other libraries, into an error that names a path.

    Args:
        path: The path that is being written.
        advice: What the user can do; where None, this depends on the error.

    Raises:
        OutputError: The path cannot be written.
    """
    try:
        yield
    except HowFarError:
        raise
    except Exception as error:
        number = _system_error(error)
        if number is None:
            raise
        advice = advice or ADVICE.get(number, "choose another place")
        raise OutputError(f"{_short(path)} cannot be written ({os.strerror(number)}); {advice}") from error


def check_writable(path: str | Path) -> None:
    """Check that a file can be written, before any work is done.

    Raises:
        OutputError: The path is a folder, its name is too long, or its folder is missing or read-only.
    """
    path = Path(path)
    with refused_by_name(path):
        there = _stat(path)
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise OutputError(f"{path} cannot be written: it is a folder; choose another name")
        if there is not None and stat.S_ISSOCK(there.st_mode):
            raise OutputError(f"{path} cannot be written: it is a socket; choose another name")
        parent = path.resolve().parent
        folder = parent if path.is_symlink() else path.parent
        if _stat(parent) is None:
            raise OutputError(f"{path} cannot be written: there is no folder {folder}; make it, or choose another")
        if there is not None and not os.access(path, os.W_OK):
            raise OutputError(f"{path} cannot be written: it is read-only; choose another name")
        if not is_stream(path) and not os.access(parent, os.W_OK):
            raise OutputError(f"{path} cannot be written: the folder {folder} is read-only; choose another")


def check_new_folder(path: str | Path) -> None:
    """Check that a folder can be written, before any work is done; it and its parents need not exist.

    Raises:
        OutputError: The path is a file, its name is too long, or the folder that would contain it is read-only.
    """
    path = Path(path)
    with refused_by_name(path):
        there = next(place for place in (path.resolve(), *path.resolve().parents) if _stat(place) is not None)
        if not there.is_dir():
            raise OutputError(f"{path} cannot be a folder: {there} is a file; choose another name")
        if not os.access(there, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def is_stream(path: Path) -> bool:
    """Whether a path is a pipe, a device or a socket, which can be written to but not replaced."""
    there = _stat(path)
    return there is not None and not stat.S_ISREG(there.st_mode) and not stat.S_ISDIR(there.st_mode)


def open_to_readers(folder: Path) -> None:
    """Give a folder's content the folder's permissions, without execute permission for files.

    Some libraries write files that only their owner may read.
    """
    mode = stat.S_IMODE(folder.stat().st_mode)
    for inside in folder.rglob("*"):
        inside.chmod(mode if inside.is_dir() else mode & 0o666)


def _through(path: Path) -> Iterator[Path]:
    """Yield a temporary file, then copy it into a pipe or a device."""
    import tempfile

    with tempfile.TemporaryDirectory(prefix="howfar-") as folder:
        whole = Path(folder, path.name)
        yield whole
        with whole.open("rb") as source, path.open("wb", buffering=0) as stream:
            shutil.copyfileobj(source, stream)


def _stat(path: Path) -> os.stat_result | None:
    """The status of a path; None if nothing is there."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _beside(target: Path, kind: str) -> Path:
    """A path next to a target that no other process or thread uses; its name is short even if the target's is long."""
    return target.with_name(f"{_prefix(target)}{_host()}.{os.getpid()}.{next(_count)}.{kind}")


def _clear_stale(target: Path) -> None:
    """Remove leftovers of dead processes next to a target; a folder that was moved aside is put back."""
    for leftover in target.parent.glob(f"{_prefix(target)}{_host()}.*"):
        import psutil  # rarely needed

        owner = leftover.name.split(".")[-3]
        if not owner.isdecimal() or psutil.pid_exists(int(owner)):
            continue
        with suppress(OSError):
            if leftover.suffix == ".old" and not target.exists():
                leftover.rename(target)
            elif leftover.is_dir():
                shutil.rmtree(leftover)
            else:
                leftover.unlink()


def _prefix(target: Path) -> str:
    return f".howfar.{blake2s(os.fsencode(target.name), digest_size=6).hexdigest()}."


def _host() -> str:
    return blake2s(socket.gethostname().encode(), digest_size=4).hexdigest()


@contextmanager
def removed_if_unwritten(partial: Path, name: Path) -> Iterator[None]:
    """Remove a folder of a run if the block fails, and name the cause if it could not be written.

    Args:
        partial: The folder that the block writes.
        name: What it is for the user.

    Raises:
        OutputError: It could not be written.
    """
    try:
        yield
    except Exception as error:
        shutil.rmtree(partial, ignore_errors=True)
        number = _system_error(error)
        if number is None and not isinstance(error, OSError | OutputError):
            raise
        reason = first_line(error) if number is None else os.strerror(number)
        raise OutputError(
            f"{name} could not be written ({reason}); make room and start the same command again, which continues from "
            "the last checkpoint, if there is one"
        ) from error


def _system_error(error: Exception) -> int | None:
    """The system's error number behind an exception of any library; None if there is none."""
    if isinstance(error, HowFarError):
        return None
    if isinstance(error, OSError) and error.errno:
        return error.errno
    if found := _RUST_ERROR.search(str(error)):
        return int(found[1])
    return errno.EIO if _TORCH_ERROR.search(str(error)) else None  # torch.save does not say why


def _short(path: str | Path) -> str:
    name = str(path)
    return name if len(name) <= 200 else f"{name[:80]}…{name[-20:]}"
