#!/bin/bash
# run.sh PRESET BUILD_DIR [TARGET...]: configures and builds a torch-free preset of CMakePresets.json, then
# runs every test program that it built. Run from the repository's root.
set -euo pipefail
preset=$1 build=$2
shift 2

cmake --preset "$preset" -B "$build" >"$build.log" 2>&1 || { cat "$build.log"; exit 1; }
rm -f "$build"/bin/*_test
cmake --build "$build" --parallel "$(nproc)" ${1:+--target "$@"}

shopt -s nullglob
programs=("$build"/bin/*_test)
[[ ${#programs[@]} -gt 0 ]] || { echo "$preset: no test program was built"; exit 1; }

export ASAN_OPTIONS=detect_stack_use_after_return=1 UBSAN_OPTIONS=print_stacktrace=1
run_one() {
  if "$1" --gtest_brief=1 >"$1.log" 2>&1; then
    echo "passed: $(basename "$1"): $(tail -n 1 "$1.log")"
  else
    echo "FAILED: $(basename "$1")"
    tail -n 200 "$1.log"
    return 1
  fi
}
export -f run_one
printf '%s\0' "${programs[@]}" | xargs -0 -n 1 -P "$(nproc)" bash -c 'run_one "$1"' run_one
echo "$preset: ${#programs[@]} test programs passed"
