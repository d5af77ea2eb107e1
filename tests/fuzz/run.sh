#!/bin/bash
# run.sh BUILD_DIR SECONDS [TARGET...]: builds the preset `fuzz` and runs every target (or those named) for that
# long, as many at once as there are cores. What a target found lies under BUILD_DIR/findings/. What it learnt
# stays in BUILD_DIR/corpus/ for the next run. Run from the repository's root.
#   ZIPRL_FUZZ_SEED   of libFuzzer's random numbers (default 0: another one each time)
set -euo pipefail
build=$1 seconds=$2
shift 2

cmake --preset fuzz -B "$build" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
cmake --build "$build" --parallel "$(nproc)" --target fuzzers
.venv/bin/python -B tests/fuzz/make_seeds.py "$build/seeds" .

names=("$@")
if [[ ${#names[@]} == 0 ]]; then
  for program in "$build"/bin/fuzz_*; do names+=("$(basename "$program" | sed 's/^fuzz_//')"); done
fi
for name in "${names[@]}"; do
  [[ -x $build/bin/fuzz_$name ]] || { echo "fuzz: no target '$name' in $build/bin"; exit 1; }
done
mkdir -p "$build/findings"

export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
export build seconds
run_one() {
  mkdir -p "$build/corpus/$1"
  if "$build/bin/fuzz_$1" -max_total_time="$seconds" -seed="${ZIPRL_FUZZ_SEED:-0}" -max_len=65536 -timeout=120 -rss_limit_mb=4096 \
    -artifact_prefix="$build/findings/$1-" "$build/corpus/$1" "$build/seeds/$1" >"$build/$1.log" 2>&1; then
    echo "passed: $1: $(grep -a '^Done' "$build/$1.log" || tail -n 1 "$build/$1.log")"
  else
    echo "FAILED: $1"
    tail -n 60 "$build/$1.log"
    return 1
  fi
}
export -f run_one
printf '%s\0' "${names[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'run_one "$1"' run_one
echo "fuzz: ${#names[@]} targets, $seconds s each, nothing found"
