"""ONNX Runtime for browsers: downloaded by name, version and hash, or given as a folder."""

from __future__ import annotations

import base64
import hashlib
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from howfar.errors import ConfigError, MissingExtraError

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
INTEGRITY = "q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
"""SHA-512 of the package, in base64, as npm lists it."""

SCRIPT, MODULE = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
FILES = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    MODULE: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""The files that a page needs from the package, with their SHA-256: WebAssembly, which every browser has."""


def runtime_files(folder: str | Path | None = None) -> dict[str, bytes]:
    """The files of the runtime, by name.

    Args:
        folder: Their folder (the package, or its `dist`); None to download the package with npm.

    Raises:
        ConfigError: The folder lacks a file or has another version's, or the download is not the expected package.
        MissingExtraError: npm is not installed.
    """
    if folder is not None:
        return _read(Path(folder))
    npm = shutil.which("npm")
    if npm is None:
        raise MissingExtraError(
            f"the page needs {PACKAGE} {VERSION} from npm, and npm is not installed; "
            "install Node.js, or give a folder of the package with --runtime"
        )
    with tempfile.TemporaryDirectory() as name:
        place = Path(name)
        _fetch(npm, place)
        return _read(place / "package")


def _fetch(npm: str, place: Path) -> None:
    """Download the package into a folder, check it, and unpack it there."""
    command = [npm, "pack", f"{PACKAGE}@{VERSION}", "--silent", "--pack-destination", str(place)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        archive = next(place.glob("*.tgz"))
    except (subprocess.SubprocessError, OSError, StopIteration) as error:
        raise ConfigError(
            f"npm could not fetch {PACKAGE} {VERSION} ({type(error).__name__}); "
            "connect to the network, or give a folder of the package with --runtime"
        ) from error
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if digest != INTEGRITY:
        raise ConfigError(
            f"npm gave a {PACKAGE} {VERSION} whose SHA-512 is {digest[:12]}…, not {INTEGRITY[:12]}…; "
            "do not use it: fetch it from a source you trust and name its folder with --runtime"
        )
    with tarfile.open(archive) as packed:
        packed.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
        packed.extractall(place)


def _read(folder: Path) -> dict[str, bytes]:
    """The runtime's files from a folder of the package.

    Raises:
        ConfigError: One of them is missing, or not that of the expected version.
    """
    for place in (folder / "dist", folder):
        if all((place / name).is_file() for name in FILES):
            files = {name: (place / name).read_bytes() for name in FILES}
            for name, content in files.items():
                _check(place / name, content)
            return files
    raise ConfigError(
        f"{folder} does not hold {' and '.join(FILES)}; give the unpacked npm package {PACKAGE} {VERSION}, or its dist"
    )


def _check(path: Path, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    if digest != FILES[path.name]:
        raise ConfigError(
            f"{path} is not the file of {PACKAGE} {VERSION} (its SHA-256 is {digest[:12]}…, not "
            f"{FILES[path.name][:12]}…); give the unpacked npm package {PACKAGE} {VERSION}, or its dist"
        )
