#!/usr/bin/env bash
# What a GPU machine without network runs after first.sh.
#
#     bash .gpu/kit/next.sh                   wait for the training that goes on, and report; start it again if it broke off
#     bash .gpu/kit/next.sh state RUN [N]     give the checkpoint of an unfinished run, from its Nth piece on, at most 4
#     bash .gpu/kit/next.sh gather            on a new machine: take in pieces of an unfinished run (.gpu/state/*)
set -uo pipefail
. "$(dirname "$0")/common.sh"
if ! "$PYTHON" -c "import rich, filelock" 2>/dev/null; then export PYTHONPATH=$PYTHONPATH:$WORK/spare; fi
case ${1:-} in
  state) "$PYTHON" "$kit/state.py" cut "$WORK" "$2" "$OUT" --first "${3:-1}" ;;
  gather) "$PYTHON" "$kit/state.py" join "$WORK" "$project"/.gpu/state/* ;;
  "")
    [ -f "$WORK/choice.sh" ] || { echo "nothing was begun on this machine: run first.sh"; exit 1; }
    if ! alive && "$PYTHON" "$kit/report.py" "$WORK" --unfinished >/dev/null && [ $((ends - $(date +%s))) -gt 90 ]; then
      say "the training had stopped"
      train
    else
      attend
      while fall_back; do train; done
    fi
    report
    ;;
  *) echo "next.sh [state RUN [N] | gather]"; exit 2 ;;
esac
