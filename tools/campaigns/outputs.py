"""Write to full disks and odd places: `python tools/campaigns/outputs.py` (40 cases, a minute)."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from campaign import call, campaign, outcome_of, tiny_model

SUFFIXES = (".svg", ".html", ".csv", ".parquet", ".json")


def place(kind: str, path: Path) -> Callable[[], bool]:
    """Prepare a place; gives what says whether it is still what it was."""
    if kind == "link":
        path.symlink_to(path.with_name("there"))
        return path.is_symlink
    if kind == "full":
        path.symlink_to("/dev/full")
        return lambda: stat.S_ISCHR(path.stat().st_mode)
    if kind == "pipe":
        os.mkfifo(path)
        threading.Thread(target=path.read_bytes, daemon=True).start()
        return path.is_fifo
    if kind == "folder":
        path.mkdir()
        return path.is_dir
    if kind == "file that was there":
        path.write_text("before")
        path.chmod(0o640)
        return lambda: stat.S_IMODE(path.stat().st_mode) == 0o640
    return lambda: True


PLACES = {
    "new": "done",
    "link": "done",
    "pipe": "done",
    "file that was there": "done",
    "full": "refused by name",
    "folder": "refused by name",
    "no folder": "refused by name",
    "long name": "refused by name",
}


def run(number: int, seed: int, folder: Path) -> Iterator[tuple[str, str]]:
    """Try each kind of file at each place."""
    model = str(tiny_model(folder))
    cases = [(suffix, kind) for suffix in SUFFIXES for kind in PLACES]
    for index, (suffix, kind) in enumerate(cases[:number]):
        inside = folder / str(index)
        inside.mkdir()
        name = {"no folder": "none/x", "long name": "x" * 300}.get(kind, "x")
        path = inside / f"{name}{suffix}"
        is_as_before = place(kind, path)
        command = ["show", "Two cats."] if suffix in (".svg", ".html") else ["measure", "vocabulary"]
        code, _, errors = call(*command, "--model", model, "-o", str(path))
        outcome = outcome_of(code, errors)
        if outcome in ("done", "refused by name") and outcome != PLACES[kind]:
            outcome = f"{outcome} instead of {PLACES[kind]}"
        if not is_as_before():
            outcome = "replaced"
        if any(left.name.startswith(".") for left in inside.iterdir()):
            outcome = "left something behind"
        yield outcome, f"{suffix} at {kind}: {errors}"


if __name__ == "__main__":
    campaign("Write to full disks and odd places.", len(SUFFIXES) * len(PLACES), run)
