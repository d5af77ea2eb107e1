# Sourced by the scripts that start jobs, with `here` the clone's directory: what they share.
ziprl=$here/build/bin/ziprl
# Threads of several roles on one machine must not spin.
export OMP_WAIT_POLICY=passive
if [[ $(id -u) == 0 ]]; then export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1; fi

# read_config CONFIG [key=value ...]: the resolved config, for `setting`.
read_config() { config=$("$ziprl" config "$@"); }

# setting SECTION KEY: a value of it.
setting() {
  awk -v section="$1:" -v key="  $2:" '/^[a-z]/ { inside = $0 ~ "^" section }
    inside && index($0, key) == 1 { sub(/^[^:]*: */, ""); sub(/ *#.*/, ""); gsub(/"/, ""); print; exit }' <<<"$config"
}

# rollouts: how many workers of their own there are; colocated: none, the learner's ranks generate.
rollouts() {
  if [[ $(setting cluster placement) == colocated ]]; then echo 0; else setting cluster rollout; fi
}

# ranks: how many the roles of `cluster` need in all.
ranks() {
  local role sum
  sum=$(rollouts)
  for role in learner reward coordinator; do sum=$((sum + $(setting cluster $role))); done
  echo "$sum"
}

# make_secrets: certificates and token beside the run's directory. Sets run, logs and secured, the overrides that name
# the secrets.
make_secrets() {
  local secrets
  run=$(setting trainer output_dir)
  [[ -n $run ]] || { echo "${0##*/}: trainer.output_dir is empty" >&2; exit 1; }
  "$here/launch/job-secrets" "$run.secrets"
  secrets=$(cd "$run.secrets" && pwd)
  secured=("cluster.tls=$secrets" "cluster.token_file=$secrets/token")
  logs=$run.logs
}

# await_exit PID: sets code to the exit code of our child PID, whatever signals come meanwhile.
await_exit() {
  while true; do
    code=0
    wait "$1" || code=$?
    kill -0 "$1" 2>/dev/null || return 0 # else a signal woke us
  done
}

# await_address LOG PID: waits for the address that a service prints and sets `address`; ends the script with the
# log's last lines when the service ends, or says nothing for cluster.deadline_s.
await_address() {
  local log=$1 pid=$2 waited=0 deadline
  deadline=$(setting cluster deadline_s)
  until address=$(sed -n 's/^listening on //p' "$log") && [[ -n $address ]]; do
    kill -0 "$pid" 2>/dev/null && ((waited++ < ${deadline%.*} * 10)) ||
      { echo "${0##*/}: ${log##*/} shows no address:" >&2; tail -n 5 "$log" >&2; exit 1; }
    sleep 0.1
  done
}

# judges_at [ADDRESS ...]: sets judges, the override that names the reward services; none without addresses.
judges_at() {
  judges=()
  if [[ $# -gt 0 ]]; then judges=("reward.endpoints=[$(IFS=,; echo "$*")]"); fi
}
