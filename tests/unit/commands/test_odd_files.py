"""Files that are none to read from, and places that are full or odd to write to."""

import contextlib
import hashlib
import os
import resource
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from howfar.live import export
from howfar.live.runtime import FILES
from howfar.studies.folder import StudyFolder
from howfar.studies.study import Study

from .conftest import Run

READ = {
    "show": ["show", "--file", "ODD"],
    "text": ["measure", "attention", "--text", "ODD"],
    "gold": ["measure", "segmentation", "--gold", "ODD"],
    "pairs": ["measure", "pairs", "--pairs", "ODD"],
    "register": ["measure", "vocabulary", "--register", "ODD"],
    "report": ["report", "bilingual-rope", "--text", "ODD"],
    "gold of a report": ["report", "bilingual-rope", "--gold", "ODD"],
    "train": ["train", "ODD"],
    "study": ["study", "ODD", "-o", "runs"],
    "contexts": ["explore", "--contexts", "ODD"],
}


@pytest.mark.parametrize("command", READ.values(), ids=READ)
def test_a_device_is_not_read_to_an_end_that_it_has_not(run: Run, command: list[str]) -> None:
    code, _, errors = run(*["/dev/zero" if word == "ODD" else word for word in command])
    assert code == 2
    assert errors.startswith("error: ")
    assert "/dev/zero" in errors
    assert "it is a pipe or a device, not a file" in errors
    assert errors.count("\n") == 1


@pytest.mark.parametrize("name", ["text", "gold", "contexts"])
def test_a_pipe_is_not_waited_for_where_a_file_is_read_more_than_once(run: Run, name: str) -> None:
    os.mkfifo("ODD")
    code, _, errors = run(*READ[name])
    assert code == 2
    assert "it is a pipe or a device, not a file" in errors


def test_a_text_may_come_from_a_pipe(run: Run, model_folder: Path) -> None:
    os.mkfifo("pipe")
    threading.Thread(target=Path("pipe").write_text, args=["a cat"], daemon=True).start()
    assert run("show", "--file", "pipe", "--json", "-m", str(model_folder))[0] == 0


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may have more than 100,000 bytes, as where a disk is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def quick_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_export", lambda *_: b"x" * 200_000)
    monkeypatch.setattr(export, "_compare", lambda *_: (0.0, 0.0))


@pytest.mark.usefixtures("quick_export", "small_files")
def test_a_full_disk_leaves_neither_a_graph_nor_a_site(
    run: Run, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runtime = tmp_path / "runtime"
    runtime.mkdir()
    for name in FILES:
        (runtime / name).write_bytes(b"")
        monkeypatch.setitem(FILES, name, hashlib.sha256(b"").hexdigest())
    before = {path.name for path in Path().iterdir()}
    for command in (["export", "onnx", str(model_folder), "-o", "m.onnx"], ["live", "site", str(model_folder)]):
        code, _, errors = run(*command, *(["--runtime", str(runtime)] if command[0] == "live" else []))
        assert code == 2
        assert "cannot be written (File too large); choose another place" in errors
        assert errors.count("\n") == 1
    assert {path.name for path in Path().iterdir()} == before


@pytest.mark.usefixtures("quick_export")
@pytest.mark.parametrize("place", ["/dev/full", "link", "folder", "none/m.onnx"])
def test_a_graph_is_not_written_to_an_odd_place(run: Run, model_folder: Path, place: str) -> None:
    Path("link").symlink_to("/dev/full")
    Path("folder").mkdir()
    code, _, errors = run("export", "onnx", str(model_folder), "-o", place)
    assert code == 2
    assert f"{place} cannot be written" in errors
    assert Path("link").is_symlink()


def test_a_report_that_cannot_be_written_does_not_cost_its_tables(run: Run, model_folder: Path) -> None:
    Path("page.html").symlink_to("/dev/full")
    report = ["report", str(model_folder), "--measure", "vocabulary", "-o", "page.html", "--tables", "tables"]
    code, output, errors = run(*report)
    assert code == 2
    assert "page.html cannot be written (No space left on device)" in errors
    assert "1 table is in tables" in output
    assert len([*Path("tables").glob("*.parquet")]) == 1


@pytest.mark.usefixtures("small_files")
def test_a_report_on_a_full_disk_leaves_nothing(run: Run, model_folder: Path) -> None:
    before = {path.name for path in Path().iterdir()}
    code, _, errors = run("report", str(model_folder), "--measure", "vocabulary", "-o", "page.html")
    assert code == 2
    assert "page.html cannot be written (File too large); choose another place" in errors
    assert {path.name for path in Path().iterdir()} == before


@pytest.mark.parametrize("command", [["study", "status", "s"], ["study", "status", "s", "--json"]])
def test_a_full_output_is_named_by_a_study(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    Study(StudyFolder(tmp_path / "s"), "s", [], {}).write()
    full = open("/dev/full", "w", encoding="utf-8")  # noqa: PTH123, SIM115
    monkeypatch.setattr("sys.stdout", full)
    code, _, errors = run(*command)
    monkeypatch.undo()
    assert (code, errors.count("\n")) == (2, 1)
    assert "error: standard output cannot be written (No space left on device); send it elsewhere" in errors
    with contextlib.suppress(OSError):
        full.close()
