#!/usr/bin/env bash
# Take every table that docs/results.md quotes, one after the other; tables that are there already are kept.
#
#     docs/take_results.sh OUT CORPUS CHINESE_CORPUS GOLD...
#
# OUT: a folder for the tables. CORPUS and CHINESE_CORPUS: built with the test documents held out. GOLD: word segmentations without
# the sentences that the models have seen (tools/drop_seen.py).
set -euo pipefail
out=$1 corpus=$2 chinese=$3
shift 3
gold=() failed=()
for file in "$@"; do gold+=(--gold "$file"); done
mkdir -p "$out"

take() { # NAME MEASURE OPTION...
  local name=$1
  shift
  [ -e "$out/$name.csv" ] && return
  echo "howfar measure $*" | tee "$out/$name.command"
  howfar measure "$@" -o "$out/$name.csv" > "$out/$name.txt" 2>&1 || { tail -n 2 "$out/$name.txt"; failed+=("$name"); }
}

for model in bilingual-shared bilingual-per-layer; do
  take "neutrality-$model" neutrality -m "$model" --against bilingual-rope --corpus "$corpus"
  take "increments-$model" increments -m "$model" --corpus "$corpus"
  take "words-$model" boundaries -m "$model" --corpus "$corpus" "${gold[@]}"
  take "delimiters-$model" boundaries -m "$model" --corpus "$corpus" --target delimiters
done
take "increments-chinese-per-layer" increments -m chinese-per-layer --corpus "$chinese"
take "words-chinese-per-layer" boundaries -m chinese-per-layer --corpus "$chinese" "${gold[@]}"
take "sentences" boundaries -m bilingual-per-layer --corpus "$corpus" --target sentences
take "pairs-en" pairs -m bilingual-per-layer --corpus "$corpus" --language en
take "pairs-zh" pairs -m bilingual-per-layer --corpus "$corpus" --language zh
take "interventions" interventions -m bilingual-per-layer --corpus "$corpus" --sample 20
take "attention" attention -m bilingual-per-layer --corpus "$corpus"
for model in bilingual-rope bilingual-per-layer; do
  take "extrapolation-$model" extrapolation -m "$model" --corpus "$corpus" --sample 32
done
take "calibration" calibration --sample 3

[ "${#failed[@]}" = 0 ] || { echo "failed: ${failed[*]}"; exit 1; }
