#!/bin/bash
# launch/local.sh CONFIG [key=value ...]: a run whose roles are jobs of their own on this machine: a coordinator,
# cluster.reward reward services, cluster.rollout rollout workers (cluster.placement = colocated: none, the learner
# generates) and a learner (mpirun with cluster.learner ranks).
# Any of them but the learner may die: it is started again, also when it was asked to end or stopped for long. The
# learner's end is the run's, and its exit code this script's; the same command goes on from the last checkpoint.
# SIGTERM: finish the step, save, end. Logs of the roles lie in RUN_DIRECTORY.logs/, their pids in there too.
# Example: launch/local.sh run.yaml cluster.rollout=2 cluster.reward=1
set -euo pipefail
exec </dev/null
here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
[[ $# -gt 0 ]] || { sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 2; }
source "$here/launch/job-common.sh"
read_config "$@"
make_secrets
mkdir -p "$logs"
learners=$(setting cluster learner) rollouts=$(rollouts) rewards=$(setting cluster reward)
deadline=$(setting cluster deadline_s)
deadline=${deadline%.*}
patience=$((deadline / 2 < 60 ? deadline / 2 + 1 : 60)) # seconds that a process may be stopped
common=("$@" "${secured[@]}")
if [[ $(setting trainer threads) == 0 ]]; then
  share=$(($(nproc) / (learners + rollouts)))
  common+=(trainer.threads=$((share > 0 ? share : 1)))
fi

declare -A pid_of started command_of early stopped_at
say() { echo "local: $*" >&2; }

# start NAME: runs command_of[NAME] in the background.
start() {
  local name=$1
  # shellcheck disable=SC2086
  eval "${command_of[$name]}" >>"$logs/$name.log" 2>&1 &
  pid_of[$name]=$! started[$name]=$SECONDS
  echo "$!" >"$logs/$name.pid"
}

# A role's words as one line that `eval` reads back.
quoted() { printf '%q ' "$@"; }

# serve NAME PROGRAM: starts a service on a port of the system's choice, sets `address`, and has it started there again.
serve() {
  local name=$1 program=$2
  : >"$logs/$name.log"
  command_of[$name]="exec $(quoted "$here/build/bin/$program" "${common[@]}" --listen 127.0.0.1:0)"
  start "$name"
  await_address "$logs/$name.log" "${pid_of[$name]}"
  command_of[$name]="exec $(quoted "$here/build/bin/$program" "${common[@]}" --listen "$address")"
}

end_all() {
  local pid
  trap - EXIT
  for pid in "${pid_of[@]}"; do kill -TERM "$pid" 2>/dev/null && kill -CONT "$pid" 2>/dev/null || true; done
  for _ in {1..100}; do
    [[ -n $(jobs -pr) ]] || return 0
    sleep 0.1
  done
  for pid in "${pid_of[@]}"; do kill -KILL "$pid" 2>/dev/null || true; done
}
trap end_all EXIT
# As SIGTERM to a learner, and what mpirun hands on to its ranks.
trap 'kill -USR2 "${pid_of[learner]:-}" 2>/dev/null || exit 143' TERM INT

serve coordinator ziprl-coordinator
coordinator=$address
say "coordinator at $coordinator, logs in $logs"
endpoints=()
for ((i = 0; i < rewards; i++)); do
  serve "reward-$i" ziprl-reward
  endpoints+=("$address")
done
judges_at "${endpoints[@]}"
for ((i = 0; i < rollouts; i++)); do
  command_of[rollout-$i]="exec $(quoted "$ziprl" rollout "${common[@]}" "${judges[@]}" \
    model.gpu=$(($(setting model gpu) + learners + i)) --coordinator "$coordinator" --name "rollout-$i")"
  : >"$logs/rollout-$i.log"
  start "rollout-$i"
done
learner=("$ziprl" learn "${common[@]}" "${judges[@]}" --coordinator "$coordinator")
if ((learners > 1)); then
  # shellcheck disable=SC2206
  learner=(mpirun -np "$learners" --bind-to none ${MPIRUN_OPTIONS:-} "${learner[@]}")
fi
# The learner speaks to the terminal.
"${learner[@]}" 2> >(tee "$logs/learner.log" >&2) &
pid_of[learner]=$!
echo "$!" >"$logs/learner.pid"

# ended NAME CODE: a role but the learner has ended.
ended() {
  local name=$1 code=$2
  unset "pid_of[$name]"
  [[ $name == rollout-* && $code == 0 ]] && return # the run is over
  if ((SECONDS - started[$name] < 10)); then early[$name]=$((${early[$name]:-0} + 1)); else early[$name]=0; fi
  if ((early[$name] >= 5)); then
    say "$name ended ${early[$name]} times within 10 s of its start, last with $code:"
    tail -n 5 "$logs/$name.log" >&2
    exit 1
  fi
  say "$name ended ($code), starting it again"
  start "$name"
}

# state_of PID: one letter, nothing when there is no such process.
state_of() { sed -n 's/^State:[[:space:]]*\(.\).*/\1/p' "/proc/$1/status" 2>/dev/null || true; }

# stopped NAME: a process that was stopped does not come back by itself.
stopped() {
  : "${stopped_at[$1]:=$SECONDS}"
  ((SECONDS - stopped_at[$1] >= patience)) || return 0
  say "$1 was stopped for $patience s, ending it"
  kill -KILL "${pid_of[$1]}" 2>/dev/null || true
  unset "stopped_at[$1]"
}

while true; do
  sleep 0.5 &
  wait $! || true
  for name in "${!pid_of[@]}"; do
    case $(state_of "${pid_of[$name]}") in
      T) stopped "$name"; continue ;;
      [A-Y]) unset "stopped_at[$name]"; continue ;;
    esac
    code=0
    wait "${pid_of[$name]}" || code=$?
    [[ $name != learner ]] || { say "the learner ended ($code)"; exit "$code"; }
    ended "$name" "$code"
  done
done
