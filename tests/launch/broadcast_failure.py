"""Ranks of an MPI job killed, stopped and stuck while weights are broadcast: broadcast_failure.py MPIRUN PROGRAM [FAKE].

MPIRUN is tests/kernels/comm/mpirun.sh, PROGRAM broadcast_run.cc's. Every surviving rank must name the victim and the
broadcast it was in, and the job must end by itself with an exit code that is not 0. FAKE: tests/fake_nccl's library,
and weights go over NCCL, from the memory of one rank's GPU to that of the others.
"""

import os
import pathlib
import re
import signal
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "kernels" / "comm"))
import ranks_job
from ranks_job import EXIT_CODE, RANKS, finish, read_pids

DEADLINE_MS = 5000
PATIENT = "deadline_ms=120000"  # where none is to be met
VERSIONS = 4

mpirun, program, *fake = sys.argv[1:]


def start(*options, last_words_s=10):
    preload = " ".join(f"-x LD_PRELOAD={path}" for path in fake)
    return ranks_job.start(mpirun, program, f"deadline_ms={DEADLINE_MS}", f"nccl={len(fake)}", *options,
                           last_words_s=last_words_s, options=preload)


def check(name, condition, output):
    if not condition:
        sys.exit(f"FAILED: {name}\n{output}")


def strike(victim, number):
    name = f"{signal.Signals(number).name} of rank {victim}"
    job = start()
    pids = read_pids(job)
    check(f"{name}: every rank starts", len(pids) == RANKS, finish(job)[1] if len(pids) < RANKS else "")
    # One version follows the other: now it is in the middle of one, and its heartbeats have told the others.
    time.sleep(DEADLINE_MS / 1000 / 3)
    os.kill(pids[victim], number)
    code, output = finish(job)
    check(f"{name}: ends by itself", code is not None, output)
    check(f"{name}: exit code {code}", code == EXIT_CODE if number == signal.SIGSTOP else code, output)
    lines = re.findall(rf"^.*watchdog: rank {victim} \(host \S+, pid {pids[victim]}\)(.*); rank (\d+) ends$", output,
                       re.MULTILINE)
    check(f"{name}: each survivor names it", {int(rank) for _, rank in lines} >= set(range(RANKS)) - {victim}, output)
    check(f"{name}: with what it did", all(re.search(r"of version \d+' #\d+ of 'weights', step \d+", line)
                                           for line, _ in lines), output)
    print(f"ok: {name}: exit code {code}: {lines[0][0]}")


def arrive(name, where, *options):
    """Versions of weights, each whole and with the learner's bits, to the end."""
    code, output = finish(start(PATIENT, f"versions={VERSIONS}", *options))
    check(f"{name}: exit code {code}", code == 0, output)
    said = re.findall(rf"^rank (\d+) has every tensor of version {VERSIONS}, in (.*)$", output, re.MULTILINE)
    check(f"{name}: {said}", sorted(said) == [(str(rank), where) for rank in range(1, RANKS)], output)
    print(f"ok: {name}: {said}")


def ends(name, pattern, *options):
    code, output = finish(start(*options, last_words_s=1))
    check(f"{name}: exit code {code}", code, output)
    found = re.search(pattern, output)
    check(f"{name}: {pattern}", found, output)
    print(f"ok: {name}: exit code {code}: {found[0]}")


if fake:
    gpu, host = "the memory of its GPU", "the host's memory"
    arrive("from GPU to GPU", gpu)
    arrive("a GPU without room", host, "largest=70000000")  # for a piece, not for two
    ends("a GPU that does not finish", r"Broadcast 'weights of version \d+' #\d+ of 'weights', step \d+, \d+ bytes: "
         r"(every rank arrived, but the GPUs did not finish by the deadline; NCCL aborted|NCCL error|"
         r"rank 2 waited .* did not arrive: .*rank 1 \(.* now in Broadcast 'weights)", "stall_rank=1")
    ends("a byte of another value", r"DATA_LOSS: (rank 2: )?weights of version \d+ do not match their checksum",
         "corrupt_rank=2", PATIENT)
    strike(1, signal.SIGKILL)
else:
    arrive("from host to host", "the host's memory")
    for rank, blow in ((1, signal.SIGKILL), (2, signal.SIGSTOP), (0, signal.SIGKILL)):
        strike(rank, blow)
