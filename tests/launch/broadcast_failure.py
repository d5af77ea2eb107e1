"""Ranks of an MPI job killed and stopped while weights are broadcast: broadcast_failure.py MPIRUN PROGRAM.

MPIRUN is tests/kernels/comm/mpirun.sh, PROGRAM broadcast_run.cc's. Every surviving rank must name the victim and the
broadcast it was in, and the job must end by itself with an exit code that is not 0.
"""

import os
import re
import signal
import subprocess
import sys
import time

RANKS = 3
DEADLINE_MS = 5000
HANG_S = 180  # far above the deadline: what takes as long hangs
EXIT_CODE = 70

mpirun, program = sys.argv[1:]


def start():
    # Time for last words between the launcher's SIGTERM and its SIGKILL.
    environment = dict(os.environ, ZIPRL_MPIRUN_OPTIONS="--mca odls_base_sigkill_timeout 10")
    return subprocess.Popen([mpirun, str(RANKS), program, str(DEADLINE_MS)], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True, env=environment, start_new_session=True)


def finish(job):
    try:
        output, _ = job.communicate(timeout=HANG_S)
    except subprocess.TimeoutExpired:
        os.killpg(job.pid, signal.SIGKILL)
        sys.exit(f"FAILED: hangs\n{job.communicate()[0]}")
    return job.returncode, output


def check(name, condition, output):
    if not condition:
        sys.exit(f"FAILED: {name}\n{output}")


def strike(victim, number):
    name = f"{signal.Signals(number).name} of rank {victim}"
    job = start()
    pids = {}
    while len(pids) < RANKS:
        line = job.stdout.readline()
        if not line:
            break
        if match := re.match(r"ready rank (\d+) pid (\d+)", line):
            pids[int(match[1])] = int(match[2])
    check(f"{name}: every rank starts", len(pids) == RANKS, finish(job)[1] if len(pids) < RANKS else "")
    # One version follows the other: now it is in the middle of one, and its heartbeats have told the others.
    time.sleep(DEADLINE_MS / 1000 / 3)
    os.kill(pids[victim], number)
    code, output = finish(job)
    check(f"{name}: exit code {code}", code == EXIT_CODE if number == signal.SIGSTOP else code, output)
    lines = re.findall(rf"^.*watchdog: rank {victim} \(host \S+, pid {pids[victim]}\)(.*); rank (\d+) ends$", output,
                       re.MULTILINE)
    check(f"{name}: each survivor names it", {int(rank) for _, rank in lines} >= set(range(RANKS)) - {victim}, output)
    check(f"{name}: with what it did", all(re.search(r"of version \d+' #\d+ of 'weights', step \d+", line)
                                           for line, _ in lines), output)
    print(f"ok: {name}: exit code {code}: {lines[0][0]}")


for rank, blow in ((1, signal.SIGKILL), (2, signal.SIGSTOP), (0, signal.SIGKILL)):
    strike(rank, blow)
