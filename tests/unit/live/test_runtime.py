"""The runtime of the live page: by name, version and hash, or from a folder."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from howfar.errors import ConfigError, MissingExtraError
from howfar.live import runtime
from howfar.live.runtime import FILES, SCRIPT, runtime_files


@pytest.mark.parametrize("inside", ["", "dist"])
def test_a_folder_of_the_package_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    (tmp_path / inside).mkdir(exist_ok=True)
    for name in FILES:
        (tmp_path / inside / name).write_bytes(name.encode())
        monkeypatch.setitem(FILES, name, hashlib.sha256(name.encode()).hexdigest())
    assert runtime_files(tmp_path) == {name: name.encode() for name in FILES}


def test_files_of_another_version_are_refused(tmp_path: Path) -> None:
    for name in FILES:
        (tmp_path / name).write_bytes(b"")
    with pytest.raises(ConfigError, match=rf"{SCRIPT} is not the file of onnxruntime-web .*; give the unpacked npm"):
        runtime_files(tmp_path)


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / SCRIPT).touch()
    with pytest.raises(ConfigError, match=r"does not hold .*; give the unpacked npm package"):
        runtime_files(tmp_path)


def test_npm_must_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(MissingExtraError, match=r"install Node\.js, or give a folder"):
        runtime_files()


def test_npm_may_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(command: list[str], **_: object) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr("shutil.which", lambda _: "npm")
    monkeypatch.setattr(runtime.subprocess, "run", fail)
    with pytest.raises(ConfigError, match="npm could not fetch"):
        runtime_files()


def test_another_package_than_the_expected_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(command: list[str], **_: object) -> None:
        Path(command[-1], "onnxruntime-web.tgz").write_bytes(b"something else")

    monkeypatch.setattr("shutil.which", lambda _: "npm")
    monkeypatch.setattr(runtime.subprocess, "run", fetch)
    with pytest.raises(ConfigError, match=r"whose SHA-512 is .*; do not use it"):
        runtime_files()
