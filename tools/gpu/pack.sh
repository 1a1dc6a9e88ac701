#!/usr/bin/env bash
# Pack what a GPU machine without network needs to train, into the ignored folder .gpu of this checkout.
#
#     bash tools/gpu/pack.sh TEXT [STATE...]
#
# TEXT holds wikipedia-en.tar.xz and wikipedia-zh.tar.xz, or en_train.txt, en_test.txt, zh_train.txt and zh_test.txt.
# STATE: pieces of an unfinished run (RUN.state.001of006 ...), to go on with.
# BYTES=3000000 cuts every text to so many bytes, and PACKAGES=none takes no packages along: for a rehearsal.
#
# .gpu/kit      scripts and packages                     } together with the tracked files
# .gpu/text     the text, as much as a corpus takes      } at most 64 MiB
# .gpu/state/N  an unfinished run, in loads that each travel with .gpu/kit and the tracked files
set -euo pipefail

TRANSFORMERS=${TRANSFORMERS:-5.23.0}
# Pure Python, used only where the machine lacks them.
SPARE=(rich markdown-it-py mdurl pygments filelock)
MOST=${MOST:-$((64 * 1024 * 1024))}
BYTES=${BYTES:-}

kit=$(cd "$(dirname "$0")" && pwd)
text=$(realpath "${1:?usage: pack.sh TEXT [STATE...]}")
shift
root=$(git rev-parse --show-toplevel)
states=()
for piece in "$@"; do states+=("$(realpath "$piece")"); done
cd "$root"
mkdir -p .gpu/kit .gpu/text
work=$(mktemp -d -p "${TMPDIR:-/tmp}")
trap 'rm -rf "$work"' EXIT

archive() { # FILE FOLDER NAME...: a small archive, the same each time
  local file=$1 folder=$2
  shift 2
  tar -C "$folder" --sort=name --owner=0 --group=0 --mtime=2026-01-01 -c "$@" | xz -T1 --lzma2=preset=9e,dict=96MiB >"$file.partial"
  mv "$file.partial" "$file"
}

unpack_wheels() { # FOLDER REQUIREMENT...
  local folder=$1
  shift
  python3 -m pip download --quiet --no-deps --only-binary=:all: --dest "$folder.wheels" "$@"
  python3 - "$folder" "$folder".wheels/*.whl <<'PY'
import sys, zipfile
for wheel in sys.argv[2:]:
    zipfile.ZipFile(wheel).extractall(sys.argv[1])
PY
}

if [ "${PACKAGES:-}" != none ] && [ ! -f .gpu/kit/packages.tar.xz ]; then
  # All of Transformers: as text it packs to 4 MB, and other packages (peft) fail on one that lacks models.
  unpack_wheels "$work/packages" "transformers==$TRANSFORMERS"
  unpack_wheels "$work/spare" "${SPARE[@]}"
  # So that a run's record says which version of the project it came from.
  version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml | head -n 1)
  mkdir "$work/packages/howfar-$version.dist-info"
  printf 'Metadata-Version: 2.1\nName: howfar\nVersion: %s\n' "$version" >"$work/packages/howfar-$version.dist-info/METADATA"
  archive .gpu/kit/spare.tar.xz "$work" spare
  archive .gpu/kit/packages.tar.xz "$work" packages
fi

if [ ! -f .gpu/text/zh.tar.xz ] || [ ! -f .gpu/text/en.tar.xz ]; then
  mkdir "$work/text"
  for language in en zh; do
    names=("${language}_train.txt" "${language}_test.txt")
    if [ -f "$text/wikipedia-$language.tar.xz" ]; then
      tar -C "$work/text" -xJf "$text/wikipedia-$language.tar.xz" "${names[@]/#/.\/}"
    else
      (cd "$text" && cp "${names[@]}" "$work/text")
    fi
  done
  # A corpus takes as many bytes of each language, so the longer text is cut, between two documents.
  python3 - "$work/text" "$BYTES" <<'PY'
import sys
from pathlib import Path

def cut(file, size):
    with file.open("r+b") as text:
        text.seek(min(size, file.stat().st_size))
        kept = text.tell()
        while line := text.readline():
            kept += len(line)
            if not line.strip():
                break
        text.truncate(kept)
    print(f"{file.name}: {file.stat().st_size:,} bytes")

folder, size = Path(sys.argv[1]), sys.argv[2]
files = [folder / f"{language}_train.txt" for language in ("en", "zh")]
for file in files:
    cut(file, int(size) if size else min(f.stat().st_size for f in files) + 100_000)
if size:
    for language in ("en", "zh"):
        cut(folder / f"{language}_test.txt", int(size) // 30)
PY
  for language in en zh; do
    archive ".gpu/text/$language.tar.xz" "$work/text" "${language}_train.txt" "${language}_test.txt" &
  done
  wait
fi

cp "$kit"/{first.sh,next.sh,common.sh,attention.py,probe.py,report.py,state.py} .gpu/kit/

tracked=$(git ls-files --cached --others --exclude-standard -z | xargs -0 stat -c %s | awk '{ sum += $1 } END { print sum }')
size() { find "$@" -type f -printf '%s\n' | awk '{ sum += $1 } END { print sum + 0 }'; }
check() { # WHAT BYTES
  printf '%-42s %6.2f MiB of %d\n' "$1" "$(awk -v b="$2" 'BEGIN { print b / 1048576 }')" $((MOST / 1048576))
  [ "$2" -le "$MOST" ] && return
  echo "too much: cut the text further, or remove large files on a branch for the time being; the largest:" >&2
  git ls-files -z | xargs -0 stat -c '%s %n' | sort -rn | head -n 5 >&2
  exit 1
}
rm -rf .gpu/state
if [ ${#states[@]} -gt 0 ]; then
  room=$((MOST - tracked - $(size .gpu/kit) - 65536)) load=0 left=0
  for piece in "${states[@]}"; do
    bytes=$(stat -c %s "$piece")
    if [ "$bytes" -gt "$left" ]; then
      load=$((load + 1)) left=$room
      mkdir -p ".gpu/state/$load"
    fi
    cp "$piece" ".gpu/state/$load/"
    left=$((left - bytes))
  done
  for folder in .gpu/state/*; do check "tracked files, .gpu/kit, $folder" $((tracked + $(size .gpu/kit "$folder"))); done
fi
check "tracked files, .gpu/kit, .gpu/text" $((tracked + $(size .gpu/kit .gpu/text)))
ls -l .gpu/kit .gpu/text
