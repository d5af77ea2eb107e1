#!/bin/bash
# mpirun.sh RANKS PROGRAM [ARGUMENT...]: ranks on this machine, however few cores it has. Extra
# options of mpirun in ZIPRL_MPIRUN_OPTIONS.
set -euo pipefail
ranks=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# shellcheck disable=SC2086
exec mpirun -np "$ranks" --oversubscribe --bind-to none ${ZIPRL_MPIRUN_OPTIONS:-} "$@"
