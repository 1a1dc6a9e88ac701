#!/usr/bin/env bash
# The first minutes on a GPU machine without network: unpack, measure, choose, and train in what time is left.
#
#     SECONDS_LEFT=1500 LIMIT=580 OUT=FOLDER bash .gpu/kit/first.sh
#
# JOBS="published-rope published-rope@1" names other runs, in their order; SET="trainer.bf16=false" other values for all
# of them. Where a choice was brought along with an unfinished run, nothing is measured, and that run goes on.
set -uo pipefail
. "$(dirname "$0")/common.sh"
JOBS=${JOBS:-}
ORDER=${JOBS:-published-per-layer published-rope published-shared published-per-layer-per-head published-shared-per-head published-per-layer@1 published-rope@1 published-shared@1}
settings=()
for value in ${SET:-}; do settings+=(--set "$value"); done

# 1. Unpack, each archive in a process of its own. Python's tarfile first, since a machine may lack xz.
unpack() { "$PYTHON" -c 'import sys, tarfile; archive = tarfile.open(sys.argv[1]); archive.extraction_filter = getattr(tarfile, "data_filter", None); archive.extractall(sys.argv[2])' "$@" || tar -xJf "$1" -C "$2"; }
mkdir -p "$WORK/text" "$WORK/project" "$WORK/runs"
jobs_of_unpacking=()
for archive in packages spare; do
  [ ! -f "$kit/$archive.tar.xz" ] || { unpack "$kit/$archive.tar.xz" "$WORK" & jobs_of_unpacking+=($!); }
done
if [ ! -f "$WORK/corpus/corpus.json" ]; then
  for archive in "$project"/.gpu/text/*.tar.xz; do unpack "$archive" "$WORK/text" & jobs_of_unpacking+=($!); done
fi
cp -r "$project"/{src,tools,benchmarks} "$WORK/project/" || exit 1
for job in "${jobs_of_unpacking[@]}"; do wait "$job" || { say "an archive could not be unpacked"; exit 1; }; done
say "unpacked"

# 2. What is missing here is taken from the spare packages.
for package in rich filelock; do
  "$PYTHON" -c "import $package" 2>/dev/null || { say "$package is missing; a spare one is used"; PYTHONPATH_AFTER=$WORK/spare; }
done
[ -z "${PYTHONPATH_AFTER:-}" ] || export PYTHONPATH="$PYTHONPATH:$PYTHONPATH_AFTER"

# 3. The corpus, beside the floor of a step.
(cd "$WORK/project" && "$PYTHON" - "$WORK" >"$WORK/corpus.log" 2>&1 <<'PY'
import platform, sys
from importlib.metadata import version
from pathlib import Path
sys.path.insert(0, "tools")
import torch, transformers
from train_recipes import find_corpus
names = "torch", "transformers", "accelerate", "huggingface_hub", "tokenizers", "safetensors", "numpy", "howfar"
print("python", platform.python_version(), *(f"{name} {version(name)}" for name in names))
assert transformers.__version__ == version("transformers"), transformers.__file__
if torch.cuda.is_available():
    print(torch.cuda.get_device_name(), "CUDA", torch.version.cuda, f"{torch.cuda.mem_get_info()[0] / 1e9:.0f} GB free")
else:
    print("NO GPU")
work = Path(sys.argv[1])
corpus = find_corpus(work / "corpus", work / "text")
print(f"{len(corpus.train.tokens):,} tokens to train on, {len(corpus.held_out.tokens):,} held out, {corpus.hash}")
PY
) & corpus=$!
if [ "${FLOOR:-}" != none ]; then
  (cd "$WORK/project" && "$PYTHON" benchmarks/floor.py ${FLOOR:---batch 64} >"$WORK/floor.txt" 2>&1) ||
    say "the floor could not be measured: $(tail -n 1 "$WORK/floor.txt")"
  grep -E '_ms |per_second |^device' "$WORK/floor.txt"
fi
wait "$corpus" || { say "the corpus could not be built:"; tail -n 5 "$WORK/corpus.log"; exit 1; }
cat "$WORK/corpus.log"
say "the corpus is there"

# 4. How fast a step is, and what is worth training in the time that is left.
if [ -d "$project/.gpu/state" ]; then "$PYTHON" "$kit/state.py" join "$WORK" "$project"/.gpu/state/*; fi
if [ ! -f "$WORK/choice.sh" ]; then
  [ "${FLOOR:-}" = none ] || "$PYTHON" "$kit/attention.py" >"$WORK/attention.txt" 2>&1 & # while the ways compile
  (cd "$WORK/project" && "$PYTHON" "$kit/probe.py" "$WORK" --seconds-left $((ends - $(date +%s) - 2 * SECONDS_TO_REPORT)) \
    --compile-seconds "${COMPILE_SECONDS:-100}" --jobs $ORDER ${PROBE:---compare published-rope published-shared} "${settings[@]}") || { say "nothing could be measured"; exit 1; }
elif [ -n "$JOBS" ]; then
  echo "JOBS=($JOBS)" >>"$WORK/choice.sh"
fi
cat "$WORK/attention.txt" 2>/dev/null
say "chosen: $(cat "$WORK/choice.sh" | paste -sd ' ')"

# 5. Train.
train
report
