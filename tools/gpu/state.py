"""Cut the newest checkpoint of an unfinished run into pieces of 15 MiB, and put it together again elsewhere.

    python state.py cut WORK RUN OUT --first 1 --count 4
    python state.py join WORK FOLDER...

A checkpoint holds weights and both moments of AdamW in float32: 77 MB at the published size. The pieces' names say how
many there are and the beginning of the whole's SHA-256.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import tarfile
from pathlib import Path

PIECE = int(os.environ.get("PIECE", 15 * 1024 * 1024))
NAME = re.compile(r"(?P<run>.+)\.state\.(?P<index>\d{3})of(?P<count>\d{3})\.(?P<digest>[0-9a-f]{16})")


def main() -> None:
    """Read the arguments; cut or join."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    cutting = commands.add_parser("cut")
    cutting.add_argument("work", type=Path)
    cutting.add_argument("run")
    cutting.add_argument("out", type=Path)
    cutting.add_argument("--first", type=int, default=1)
    cutting.add_argument("--count", type=int, default=4)
    joining = commands.add_parser("join")
    joining.add_argument("work", type=Path)
    joining.add_argument("folders", type=Path, nargs="+")
    arguments = parser.parse_args()
    if arguments.command == "cut":
        cut(arguments.work, arguments.run, arguments.out, arguments.first, arguments.count)
    else:
        join(arguments.work, arguments.folders)


def newest(run: Path) -> Path:
    """The newest checkpoint that was written to its end."""
    whole = [path for path in run.glob("checkpoint-*") if (path / "training.json").is_file()]
    if not whole:
        raise SystemExit(f"{run} has no checkpoint")
    return max(whole, key=lambda path: int(path.name.partition("-")[2]))


def cut(work: Path, run: str, out: Path, first: int, count: int) -> None:
    """Write so many pieces of a run's newest checkpoint, from the first that is named on."""
    checkpoint = newest(work / "runs" / run)
    whole = work / f"{run}.{checkpoint.name}.tar"
    if not whole.exists():
        partial = whole.with_suffix(".partial")
        with tarfile.open(partial, "w") as archive:
            for path in (checkpoint, work / "runs" / f"{run}.txt", work / "choice.sh", work / "choice.json"):
                if path.exists():
                    archive.add(path, path.relative_to(work))
        partial.replace(whole)
    with whole.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:16]
    num_pieces = -(-whole.stat().st_size // PIECE)
    with whole.open("rb") as stream:
        for index in range(first, min(first + count, num_pieces + 1)):
            stream.seek((index - 1) * PIECE)
            name = f"{run}.state.{index:03}of{num_pieces:03}.{digest}"
            (out / name).write_bytes(stream.read(PIECE))
            print(name)
    rest = first + count
    print(
        f"{checkpoint.name}, {num_pieces} pieces", f"go on with piece {rest}" if rest <= num_pieces else "that is all"
    )


def join(work: Path, folders: list[Path]) -> None:
    """Gather pieces, and unpack each checkpoint of which all are there."""
    gathered = work / "gathered"
    gathered.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        for piece in folder.iterdir():
            if NAME.fullmatch(piece.name):
                shutil.copy(piece, gathered)
    wholes: dict[tuple[str, str, str], list[Path]] = {}
    for piece in sorted(gathered.iterdir()):
        if found := NAME.fullmatch(piece.name):
            wholes.setdefault((found["run"], found["count"], found["digest"]), []).append(piece)
    for (run, count, digest), pieces in wholes.items():
        if len(pieces) < int(count):
            print(f"{run}: {len(pieces)} of {int(count)} pieces are here")
            continue
        whole = gathered / f"{run}.tar"
        with whole.open("wb") as stream:
            for piece in pieces:
                stream.write(piece.read_bytes())
        with whole.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest()[:16] != digest:
                raise SystemExit(f"{run}: the pieces are damaged")
        with tarfile.open(whole) as archive:
            archive.extraction_filter = getattr(tarfile, "data_filter", None)  # Python before 3.11.4 has none
            archive.extractall(work)
        for path in (whole, *pieces):
            path.unlink()
        print(f"{run}: whole again")


if __name__ == "__main__":
    main()
