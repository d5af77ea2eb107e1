#!/bin/bash
# launch/mpirun.sh CONFIG [key=value ...]: `ziprl train` on as many ranks as the config's cluster section asks for.
# Certificates and the job's token are made beside the run directory. What mpirun shall know besides stands in
# MPIRUN_OPTIONS, say "--hostfile hosts" or "--oversubscribe".
# Example: launch/mpirun.sh run.yaml cluster.learner=2 cluster.rollout=4
set -euo pipefail
exec </dev/null
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[[ $# -gt 0 ]] || { sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 2; }
source "$here/launch/job-common.sh"
read_config "$@"
make_secrets
# shellcheck disable=SC2086
exec mpirun -np "$(ranks)" --bind-to none ${MPIRUN_OPTIONS:-} "$ziprl" train "$@" "${secured[@]}"
