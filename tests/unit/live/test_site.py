"""The folder of a live page: which names its models have, and which folders it replaces."""

import json
import shutil
from pathlib import Path

import pytest

from howfar.errors import OutputError
from howfar.live import export, site
from howfar.live.runtime import SCRIPT
from howfar.live.site import write_site
from howfar.models.bundled import FOLDER

MODEL = "chinese-per-layer"


@pytest.fixture(autouse=True)
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "_export", lambda *_: b"graph")
    monkeypatch.setattr(export, "_compare", lambda *_: (0.0, 0.0))
    monkeypatch.setattr(site, "runtime_files", lambda _: {SCRIPT: b""})


def test_a_page_replaces_an_earlier_one_only(tmp_path: Path) -> None:
    folder = tmp_path / "page"
    for _ in range(2):
        write_site(folder, [MODEL])
    assert {path.name for path in folder.iterdir()} == site.WRITTEN
    (folder / ".git").mkdir()
    (folder / "CNAME").write_text("example.org\n", encoding="utf-8")
    before = {path.name for path in folder.iterdir()}
    with pytest.raises(OutputError, match=r"holds \.git, which is not of a page .*; write to a new folder"):
        write_site(folder, [MODEL])
    assert {path.name for path in folder.iterdir()} == before


@pytest.mark.parametrize("kept", ["models/my-run/config.json", "runtime/notes.txt"])
def test_a_page_that_also_holds_other_files_is_not_replaced(tmp_path: Path, kept: str) -> None:
    folder = tmp_path / "page"
    write_site(folder, [MODEL])
    (folder / kept).parent.mkdir(exist_ok=True)
    (folder / kept).write_text("mine", encoding="utf-8")
    with pytest.raises(OutputError, match=r"holds (models/my-run|runtime/notes\.txt), which is not of a page"):
        write_site(folder, [MODEL])
    assert (folder / kept).read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("listed", [None, "not JSON", "[]", "7", '{"models": []}'])
def test_files_named_as_those_of_a_page_are_not_replaced(tmp_path: Path, listed: str | None) -> None:
    (tmp_path / "models").mkdir()
    (tmp_path / "index.html").write_text("mine", encoding="utf-8")
    if listed is not None:
        (tmp_path / "folder.json").write_text(listed, encoding="utf-8")
    with pytest.raises(OutputError, match=r"but no folder\.json of a page, and would be replaced; write"):
        write_site(tmp_path, [MODEL])
    assert (tmp_path / "index.html").read_text(encoding="utf-8") == "mine"


@pytest.mark.parametrize("inside", ["models/my-run", ""])
def test_the_folder_of_a_model_to_show_is_not_replaced(tmp_path: Path, inside: str) -> None:
    folder = tmp_path / "mine"
    shutil.copytree(FOLDER / MODEL, folder / inside)
    with pytest.raises(OutputError, match=r"holds the model .*, which would be deleted; write to a new folder"):
        write_site(folder, [str(folder / inside)])
    assert (folder / inside / "config.json").is_file()


def test_models_in_folders_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "final").symlink_to(FOLDER / MODEL)
    sources = [str(tmp_path / name / "final") for name in ("a", "b")]
    written = write_site(tmp_path / "page", sources)
    assert list(written.model_bytes) == ["final", "final (2)"]
    listed = json.loads((tmp_path / "page" / "folder.json").read_text(encoding="utf-8"))
    assert [(model["name"], model["file"]) for model in listed["models"]] == [
        ("final", "models/0.onnx"),
        ("final (2)", "models/1.onnx"),
    ]
