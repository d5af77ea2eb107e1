"""A job of ranks under mpirun.sh whose program says "ready rank R pid P" for each, for the tests that strike one."""

import os
import re
import signal
import subprocess

RANKS = 3
HANG_S = 180  # far above any deadline: what takes as long hangs
EXIT_CODE = 70


def start(mpirun, *command, last_words_s, options=""):
    """last_words_s: what ranks have between the launcher's SIGTERM and its SIGKILL."""
    environment = dict(os.environ, ZIPRL_MPIRUN_OPTIONS=f"--mca odls_base_sigkill_timeout {last_words_s} {options}")
    return subprocess.Popen([mpirun, str(RANKS), *command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                            env=environment, start_new_session=True)


def finish(job):
    """(exit code, what it printed since); a job that hangs is ended with all its processes and has no code."""
    try:
        output, _ = job.communicate(timeout=HANG_S)
        return job.returncode, output
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        output, _ = job.communicate()
        return None, output


def read_pids(job):
    """Rank -> pid, of those that started."""
    pids = {}
    while len(pids) < RANKS:
        line = job.stdout.readline()
        if not line:
            break
        if match := re.match(r"ready rank (\d+) pid (\d+)", line):
            pids[int(match[1])] = int(match[2])
    return pids
