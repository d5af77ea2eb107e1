"""Single ranks of an MPI job killed, stopped, stuck and failing: rank_failure.py MPIRUN PROGRAM.

MPIRUN is mpirun.sh, PROGRAM watched_run.cc's. Every surviving rank must name the victim in one line, and
the job must end by itself with an exit code that is not 0.
"""

import os
import re
import signal
import socket
import sys

import ranks_job
from ranks_job import EXIT_CODE, RANKS, finish, read_pids

DEADLINE_MS = 3000

mpirun, program = sys.argv[1:]
problems = []


def start(*options):
    return ranks_job.start(mpirun, program, f"deadline_ms={DEADLINE_MS}", *options, last_words_s=3)


def check(name, condition, output):
    if condition:
        return
    problems.append(name)
    print(f"FAILED: {name}\n{output}")


def verdicts(output, victim):
    """Rank that printed -> its lines about the victim."""
    lines = {}
    for line, rank in re.findall(rf"^(.*watchdog: rank {victim} \(.*); rank (\d+) ends$", output, re.MULTILINE):
        lines.setdefault(int(rank), []).append(line)
    return lines


def signal_a_rank(victim, number):
    name = f"{signal.Signals(number).name} of rank {victim}"
    job = start()
    pids = read_pids(job)
    os.kill(pids[victim], number)
    code, output = finish(job)
    check(f"{name}: ends by itself", code is not None, output)
    check(f"{name}: exit code {code}", code == EXIT_CODE if number == signal.SIGSTOP else code, output)
    lines = verdicts(output, victim)
    survivors = set(range(RANKS)) - {victim}
    check(f"{name}: each survivor names it once", all(len(lines.get(rank, [])) == 1 for rank in survivors), output)
    check(f"{name}: nobody else is named", len(re.findall("watchdog: rank", output)) == len(lines), output)
    for line in sum(lines.values(), []):
        host = re.escape(socket.gethostname())
        check(f"{name}: host, pid, step and operation in: {line}",
              re.search(rf"rank {victim} \(host {host}, pid {pids[victim]}\).*; step \d+, .*"
                        r"AllReduceSum 'gradients' #\d+ of 'world', step \d+, 120000 bytes",
                        line), output)
    print(f"ok: {name}: exit code {code}: {next(iter(lines.values()), None)}")


def check_ending(name, options, code_wanted, pattern):
    code, output = finish(start(*options))
    check(f"{name}: exit code {code}", code == code_wanted if code_wanted is not None else code, output)
    check(f"{name}: {pattern}", re.search(pattern, output), output)
    print(f"ok: {name}: exit code {code}")


for rank in range(RANKS):
    for number in (signal.SIGKILL, signal.SIGSTOP):
        signal_a_rank(rank, number)
check_ending("a run that ends", ["steps=20"], 0, "ready rank 2")
for rank in (0, 2):
    check_ending(f"rank {rank} fails", [f"fail_rank={rank}"], None,
                 rf"watchdog: rank {rank} \(.*failed: DATA_LOSS: the disk of this rank is full.*; rank 1 ends")
    # It lives, so its heartbeats go on: the others' deadline names it.
    check_ending(f"rank {rank} stays away", [f"stuck_rank={rank}"], None,
                 rf"AllReduceSum 'gradients' #\d+ of 'world', step 1, 120000 bytes: rank 1 waited 3\.\d+s .*"
                 rf"did not arrive: rank {rank} \(host .*last finished AllReduceSum 'gradients' #\d+ of "
                 r"'world', step 0, 120000 bytes, now outside of any operation")
print(f"{len(problems)} problems")
sys.exit(1 if problems else 0)
