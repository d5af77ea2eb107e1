#!/bin/bash
# launch/mpirun.sh CONFIG [key=value ...]: `ziprl train` on as many ranks as the config's cluster section asks for.
# Certificates and the job's token are made beside the run directory. What mpirun shall know besides stands in
# MPIRUN_OPTIONS, say "--hostfile hosts" or "--oversubscribe". SIGTERM to this script: finish the step, save, exit 0.
# Example: launch/mpirun.sh run.yaml cluster.learner=2 cluster.rollout=4
set -euo pipefail
exec </dev/null
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[[ $# -gt 0 ]] || { sed -n '2,6s/^# \{0,1\}//p' "$0" >&2; exit 2; }
source "$here/launch/job-common.sh"
read_config "$@"
make_secrets
# shellcheck disable=SC2086
mpirun -np "$(ranks)" --bind-to none ${MPIRUN_OPTIONS:-} "$ziprl" train "$@" "${secured[@]}" &
# mpirun answers SIGTERM by killing its ranks a second later; these two it hands on.
trap 'kill -USR2 $! 2>/dev/null || true' TERM
trap 'kill -USR1 $! 2>/dev/null || true' USR1
await_exit $!
exit "$code"
