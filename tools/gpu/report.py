"""Say how far each run is, and give what is finished: packed weights, at most four at a time, and all logs.

python report.py WORK OUT
python report.py WORK --unfinished      # exit code 0 if something is left to train
"""

from __future__ import annotations

import json
import re
import shutil
import sys
import tarfile
from pathlib import Path

MOST_FILES, MOST_BYTES, MOST_BYTES_OF_A_FILE = 4, 58 * 1024 * 1024, 16 * 1024 * 1024


def main() -> int:
    """Copy what is finished and print how far each run is; returns the exit code."""
    work = Path(sys.argv[1])
    last = re.findall(r"^JOBS=\((.*)\)$", (work / "choice.sh").read_text(encoding="utf-8"), re.MULTILINE)[-1]
    # The run of RECIPE@SEED is called RECIPE-seedSEED.
    names = last.replace("'", "").replace("@", "-seed").split()
    finished = [name for name in names if (work / "packed" / f"{name}.safetensors").is_file()]
    if sys.argv[2] == "--unfinished":
        return 0 if len(finished) < len(names) else 1
    out = Path(sys.argv[2])
    with tarfile.open(out / "logs.tar.gz", "w:gz") as archive:
        patterns = ("*.txt", "*.log", "choice.*", "runs/*.txt", "runs/*/log.json", "runs/*/training.json")
        for file in sorted(path for pattern in patterns for path in work.glob(pattern)):
            archive.add(file, file.relative_to(work))
    given_file = work / "given.json"
    given = json.loads(given_file.read_text()) if given_file.exists() else []
    room, files = MOST_BYTES, 0
    for name in finished:
        if name in given:
            print(f"{name:36} finished and given before")
            continue
        if files == MOST_FILES:
            print(f"{name:36} finished; given by the next report")
            continue
        file = work / "packed" / f"{name}.safetensors"
        size = file.stat().st_size
        if size > room or size > MOST_BYTES_OF_A_FILE:
            print(f"{name:36} finished; {size / 1e6:.1f} MB do not fit into this report")
            continue
        shutil.copy(file, out)
        room, files = room - size, files + 1
        given.append(name)
        record = json.loads((work / "runs" / name / "training.json").read_text(encoding="utf-8"))
        print(f"{name:36} {record['held_out']['nats_per_byte']:.4f} nats/byte held out, {size / 1e6:.1f} MB")
    for name in names:
        if name not in finished:
            log = work / "runs" / f"{name}.txt"
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines() if log.exists() else ["not begun"]
            checkpoints = [path.name for path in (work / "runs" / name).glob("checkpoint-*")]
            print(f"{name:36} {lines[-1][:90] if lines else 'begun'}  {' '.join(sorted(checkpoints))}")
    given_file.write_text(json.dumps(given))
    return 0


if __name__ == "__main__":
    sys.exit(main())
