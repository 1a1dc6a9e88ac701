"""Files and folders that are there whole or as they were before."""

import errno
import os
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from howfar import files
from howfar.errors import OutputError
from howfar.files import check_new_folder, check_writable, whole_file, whole_folder, write_file
from howfar.inputs import public_name, public_names, read_json

DEAD = 2**22 + 1  # more than the largest process id of Linux


@pytest.fixture
def usual_permissions() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def fail_halfway(place: AbstractContextManager[Path], error: BaseException) -> None:
    with place as partial:
        (partial / "half" if partial.is_dir() else partial).write_text("half")
        raise error


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_written_whole_and_nothing_is_left_beside_it(tmp_path: Path) -> None:
    write_file(tmp_path / "a.txt", "été")
    write_file(tmp_path / "a.txt", b"new")
    assert (tmp_path / "a.txt").read_bytes() == b"new"
    assert names(tmp_path) == {"a.txt"}


def test_a_file_stays_as_it_was_where_writing_fails(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("before")
    for error in (RuntimeError("ours"), KeyboardInterrupt()):
        with pytest.raises(type(error)):
            fail_halfway(whole_file(path), error)
    assert path.read_text() == "before"
    assert names(tmp_path) == {"a.txt"}


@pytest.mark.usefixtures("usual_permissions")
def test_new_files_may_be_read_by_others_and_old_ones_keep_their_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    for expected in (0o644, 0o600, 0o640):
        if path.exists():
            path.chmod(expected)
        with whole_file(path) as partial:
            save_file({"a": torch.zeros(2)}, partial)  # which makes private files
        assert mode(path) == expected


@pytest.mark.usefixtures("usual_permissions")
def test_all_of_a_folder_may_be_read_by_others(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "new") as partial:
        (partial / "inner").mkdir(mode=0o700)
        save_file({"a": torch.zeros(2)}, partial / "a.safetensors")
        (partial / "inner" / "b").write_text("b")
    assert [mode(tmp_path / "new" / name) for name in ("", "inner", "a.safetensors", "inner/b")] == [
        0o755,
        0o755,
        0o644,
        0o644,
    ]


def test_a_folder_is_replaced_only_where_that_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for replace in (False, True):
        with whole_folder(folder, replace=replace) as partial:
            (partial / f"{replace}").touch()
    assert names(folder) == {"True"}
    with pytest.raises(OutputError, match=r"cannot be written \(File exists\); choose another"), whole_folder(folder):
        pytest.fail("the block is not to be entered")
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="File exists"), whole_folder(tmp_path / "file", replace=True):
        pytest.fail("the block is not to be entered")


def test_a_volume_is_refused_before_anything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    monkeypatch.setattr(Path, "is_mount", lambda path: path == volume)
    with pytest.raises(OutputError, match="mount point"), whole_folder(volume):
        pytest.fail("work was begun")
    (tmp_path / "link").symlink_to(volume)
    with pytest.raises(OutputError, match="mount point"), whole_folder(tmp_path / "link"):
        pytest.fail("work was begun")
    with whole_folder(volume / "inner") as partial:
        (partial / "a").touch()
    assert names(volume / "inner") == {"a"}


def test_a_folder_stays_as_it_was_where_writing_or_moving_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "before").touch()
    with pytest.raises(OutputError, match="No space left"):
        fail_halfway(whole_folder(folder, replace=True), OSError(errno.ENOSPC, "No space left on device"))

    rename = Path.rename

    def fail_to_move_the_new_one(self: Path, target: Path) -> Path:
        if self.name.endswith(".partial"):
            raise OSError(errno.EIO, "Input/output error")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", fail_to_move_the_new_one)
    with pytest.raises(OutputError, match="Input/output error"), whole_folder(folder, replace=True):
        pass
    assert names(tmp_path) == {"folder"}
    assert names(folder) == {"before"}


def test_what_killed_processes_left_is_cleared_and_what_others_write_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder"
    others = files._beside(path, "partial")  # by this process, which is alive
    others.touch()
    of_another_file = files._beside(tmp_path / "other", "partial")
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: DEAD)
        files._beside(path, "partial").mkdir()
        files._beside(path, "partial").touch()
        of_another_file = files._beside(tmp_path / "other", "partial")
        of_another_file.touch()
    with whole_folder(path):
        pass
    assert names(tmp_path) == {"folder", others.name, of_another_file.name}


def test_a_folder_that_was_moved_aside_by_a_killed_process_is_put_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "folder"
    with monkeypatch.context() as patch:
        patch.setattr(os, "getpid", lambda: DEAD)
        old = files._beside(path, "old")
    old.mkdir()
    (old / "before").touch()
    with pytest.raises(RuntimeError):
        fail_halfway(whole_folder(path, replace=True), RuntimeError())
    assert names(path) == {"before"}


def test_links_are_written_through(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for target in ("inner/there.txt", "inner/not_yet.txt"):
        link = tmp_path / "link.txt"
        link.unlink(missing_ok=True)
        link.symlink_to(tmp_path / target)
        write_file(link, "new")
        assert link.is_symlink()
        assert (tmp_path / target).read_text() == "new"
    folder = tmp_path / "folder"
    folder.symlink_to(tmp_path / "inner", target_is_directory=True)
    with whole_folder(folder, replace=True) as partial:
        (partial / "new").touch()
    assert folder.is_symlink()
    assert names(tmp_path / "inner") == {"new"}


def test_pipes_and_devices_are_written_through(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    (tmp_path / "link").symlink_to(pipe)
    for path in (pipe, tmp_path / "link"):
        check_writable(path)
        got: list[bytes] = []
        reader = threading.Thread(target=lambda got=got: got.append(pipe.read_bytes()), daemon=True)
        reader.start()
        write_file(path, b"x" * 100_000)
        reader.join(timeout=60)
        assert got == [b"x" * 100_000]
    assert stat.S_ISFIFO(pipe.stat().st_mode)
    write_file("/dev/null", "away")
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)
    with pytest.raises(OutputError, match=r"/dev/full cannot be written \(No space left on device\).*make room"):
        write_file("/dev/full", "no")


def test_a_full_disk_is_named_whichever_library_meets_it(tmp_path: Path) -> None:
    def by_python(partial: Path) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    def by_safetensors(partial: Path) -> None:
        save_file({"a": torch.zeros(2)}, "/dev/full/none/such")

    def by_polars(partial: Path) -> None:
        pl.DataFrame({"a": [1]}).write_parquet("/dev/full")

    for write in (by_python, by_safetensors, by_polars):
        said = r"a\.txt cannot be written \((No space left on|Not a).*\); choose"
        with pytest.raises(OutputError, match=said), whole_file(tmp_path / "a.txt") as partial:
            write(partial)
    assert not names(tmp_path)


def test_other_errors_are_left_as_they_are(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), whole_file(tmp_path / "a.txt"):
        raise ZeroDivisionError


@pytest.mark.parametrize(
    ("place", "name"),
    [
        ("/home/ada/runs/mine", "mine"),
        ("~/mine/", "mine"),
        (r"C:\Users\ada\mine", "mine"),
        ("runs/mine", "runs/mine"),
        ("owner/name", "owner/name"),
        ("/", "/"),
    ],
)
def test_a_public_name_reveals_no_local_folder(place: str, name: str) -> None:
    assert public_name(place) == name


@pytest.mark.parametrize(
    ("places", "names"),
    [
        (["/a/x", "/b/y", "z"], ["x", "y", "z"]),
        (["/home/ada/a/x", "/home/ada/b/x", "/home/ada/y"], ["a/x", "b/x", "y"]),
        (["/home/ada/1/runs/x", "/home/ada/2/runs/x", "runs/x"], ["1/runs/x", "2/runs/x", "runs/x"]),
        ([r"C:\ada\1\x", "~/2/x", "x"], ["1/x", "2/x", "x"]),
        (["/a/x", "/a/x"], ["x", "x"]),
        (["/x", "x"], ["/x", "x"]),
    ],
)
def test_public_names_are_as_long_as_it_takes_to_tell_places_apart(places: list[str], names: list[str]) -> None:
    assert public_names(places) == names


def test_a_place_of_dots_alone_has_its_folders_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("a/final", "b/final"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "final")
    assert [public_name(place) for place in (".", "./", "..")] == ["final", "final", "a"]
    assert public_names([".", str(tmp_path / "b" / "final")]) == ["a/final", "b/final"]


def test_a_socket_and_a_link_to_nowhere_are_found_out_before_any_work(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(OutputError, match="it is a socket; choose another name"):
            check_writable(tmp_path / "s")
    (tmp_path / "link.svg").symlink_to("nowhere/x.svg")
    with pytest.raises(OutputError, match=r"link\.svg cannot be written: there is no folder .*nowhere; make it"):
        check_writable(tmp_path / "link.svg")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 300 + ".svg", r"x{5}.*….*\.svg cannot be written \(File name too long\); choose a shorter name"),
        ("nowhere/x.svg", r"x\.svg cannot be written: there is no folder .*nowhere; make it, or choose another"),
        ("", "cannot be written: it is a folder; choose another name"),
        ("file/x.svg", r"x\.svg cannot be written \(Not a directory\); choose another place"),
        ("loop", r"loop cannot be written \(Too many levels of symbolic links\); choose another place"),
    ],
)
def test_a_place_that_cannot_be_written_to_is_found_out_before_any_work(
    tmp_path: Path, name: str, message: str
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    with pytest.raises(OutputError, match=message):
        check_writable(tmp_path / name)
    if name != "":
        with pytest.raises(OutputError, match="cannot be written"), whole_file(tmp_path / name):
            pytest.fail("the block is not to be entered")


def test_the_longest_name_that_a_file_can_have_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 251 + ".svg")
    check_writable(path)
    write_file(path, "whole")
    with whole_folder(tmp_path / ("y" * 255)):
        pass
    assert path.read_text() == "whole"


def test_many_threads_that_write_one_file_leave_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    contents = [bytes([number]) * 200_000 for number in range(16)]
    threads = [threading.Thread(target=write_file, args=(path, content)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() in contents
    assert names(tmp_path) == {"a.bin"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("x" * 300, r"cannot be written \(File name too long\); choose a shorter name"),
        ("x" * 300 + "/y", r"cannot be written \(File name too long\); choose a shorter name"),
        ("file/folder", r"cannot be written \(Not a directory\); choose another place"),
        ("file", r"cannot be a folder: .*file is a file; choose another"),
    ],
)
def test_a_folder_that_cannot_be_made_is_refused_before_any_work(tmp_path: Path, name: str, message: str) -> None:
    (tmp_path / "file").touch()
    check_new_folder(tmp_path / "new" / "folder")
    check_new_folder(tmp_path)
    with pytest.raises(OutputError, match=message):
        check_new_folder(tmp_path / name)


def test_json_is_read_or_said_to_be_none(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    for content, said in (("[" * 100_000, "nested too deeply"), ("{", "Expecting"), ("\udcff", "utf-8")):
        path.write_bytes(content.encode(errors="surrogateescape"))
        with pytest.raises(ValueError, match=said):
            read_json(path)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="it is a pipe or a device, not a file"):
        read_json(tmp_path / "pipe")
