# Read by first.sh and next.sh.
begun=$(date +%s)
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
kit=$project/.gpu/kit
WORK=${WORK:-/tmp/howfar-work}    # everything that is made; it must outlast the command
OUT=${OUT:-$project/.gpu/out}     # what is to be carried away
LIMIT=${LIMIT:-580}               # seconds that this command may take
SECONDS_LEFT=${SECONDS_LEFT:-1500} # that the machine is to be had, counted from the first command
SECONDS_TO_REPORT=${SECONDS_TO_REPORT:-40}
PYTHON=${PYTHON:-python3}
mkdir -p "$WORK" "$OUT"
[ -f "$WORK/ends" ] || echo $((begun + SECONDS_LEFT)) >"$WORK/ends"
ends=$(cat "$WORK/ends")

export PYTHONPATH=$WORK/packages:$WORK/project/src${PYTHONPATH_AFTER:+:$PYTHONPATH_AFTER}
export PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE= HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
export PYTHONWARNINGS=ignore::UserWarning:multiprocessing.resource_tracker
export HF_HOME=$WORK/huggingface TORCHINDUCTOR_CACHE_DIR=$WORK/inductor TRITON_CACHE_DIR=$WORK/triton

say() { printf '%5d s  %s\n' $(($(date +%s) - begun)) "$*"; }

alive() { [ -f "$WORK/train.pid" ] && kill -0 "$(cat "$WORK/train.pid")" 2>/dev/null; }

# Trains in the background, apart from this command, so that it goes on when the command is over.
launch() {
  # shellcheck disable=SC1091
  . "$WORK/choice.sh"
  local minutes
  minutes=$(awk -v s=$((ends - $(date +%s) - SECONDS_TO_REPORT)) 'BEGIN { printf "%.2f", s / 60 }')
  say "training ${JOBS[*]}, $AT_ONCE at once, for $minutes minutes at most"
  cd "$WORK/project" || return 1
  setsid nohup "$PYTHON" tools/train_recipes.py train "$WORK/text" "$WORK/packed" "${JOBS[@]}" --at-once "$AT_ONCE" \
    --minutes "$minutes" --corpus "$WORK/corpus" --runs "$WORK/runs" "${SETTINGS[@]}" \
    </dev/null >>"$WORK/train.log" 2>&1 &
  echo $! >"$WORK/train.pid"
}

# A run that broke off (not one that was told to end) is tried again in the next simpler way, and so are those after it.
fall_back() {
  alive && return 1
  grep -q 'broke off: ' "$WORK/train.log" || return 1
  [ $((ends - $(date +%s))) -gt 120 ] || return 1
  grep -h 'broke off: ' "$WORK/train.log"
  tail -qn 3 "$WORK"/runs/*.txt
  mv "$WORK/train.log" "$WORK/train-failed-$(date +%s).log"
  if grep -q 'torch_compile_mode="[rm]' "$WORK/choice.sh"; then
    sed -i 's/torch_compile_mode="[^"]*"/torch_compile_mode="default"/' "$WORK/choice.sh"
  elif grep -q 'torch_compile=true' "$WORK/choice.sh"; then
    sed -i 's/torch_compile=true/torch_compile=false/' "$WORK/choice.sh"
  else
    return 1
  fi
  say "once more, in a simpler way: $(grep SETTINGS "$WORK/choice.sh")"
}

# Waits until training is done or this command has to end, and says now and then how far it is.
attend() {
  local until=$((begun + LIMIT - SECONDS_TO_REPORT)) said=0 now
  while alive; do
    now=$(date +%s)
    [ "$now" -lt "$until" ] || break
    if [ $((now - said)) -ge 60 ]; then
      said=$now
      say "$(find "$WORK/runs" -maxdepth 1 -name '*.txt' -mmin -2 -exec tail -qn 1 {} + 2>/dev/null | cut -c -100 | paste -sd '|')"
    fi
    sleep 1
  done
}

train() {
  launch
  attend
  while fall_back; do launch; attend; done
}

report() { "$PYTHON" "$kit/report.py" "$WORK" "$OUT"; say "$((ends - $(date +%s))) s are left"; }
