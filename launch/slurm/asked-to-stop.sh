# Sourced by the job scripts, behind job-common.sh: the end of a job's time, and pre-emption.

# step_id NAME: of the job's step that `srun --job-name=NAME` began.
step_id() { squeue --steps --noheader --jobs="$SLURM_JOB_ID" --format='%i %j' | awk -v name="$1" '$2 == name { print $1; exit }'; }

asked=""
# ask_step NAME: SIGUSR1 and SIGTERM to this script become a SIGTERM to the tasks of that step: finish the step of the
# run, save, end. (srun itself would answer SIGTERM with SIGKILL to its tasks; scancel hands it on.)
ask_step() { trap "asked=yes; scancel --signal=TERM \"\$(step_id $1)\" 2>/dev/null || true" USR1 TERM; }

# finish: exits with the step's code, or back into the queue when it was asked to stop and has.
finish() {
  # Pre-emption asks the tasks, not this script.
  if scontrol show job "$SLURM_JOB_ID" | grep -q 'PreemptTime=[0-9]'; then asked=yes; fi
  [[ $code == 0 && -n $asked ]] || exit "$code"
  echo "asked to stop; saved, and back into the queue"
  scontrol requeue "$SLURM_JOB_ID"
}
