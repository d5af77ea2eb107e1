"""Instructions of the hot loops, counted by callgrind, within 3 % of those in counts.txt beside this file.

usage: instructions.py PROGRAM WORK [LOOP...] [--update]

PROGRAM is counted_loops of the `dev` preset, run from the repository's root. Callgrind's machine has AVX2 and no more,
whatever this one has. Fewer instructions fail too: a gain that is not stored can be lost again unseen. --update
writes what it counts (of all loops, or of those named) into counts.txt.
"""

import os
import pathlib
import shutil
import subprocess
import sys

COUNTS = pathlib.Path(__file__).with_name("counts.txt")
ALLOWED = 0.03


def read_counts():
    lines = COUNTS.read_text().splitlines() if COUNTS.exists() else []
    return {name: int(count) for name, count in map(str.split, lines)}


def count(program, loop, profile):
    # The environment lies on the stack, where its length would move what the loop sees.
    ran = subprocess.run(
        ["valgrind", "--tool=callgrind", "--toggle-collect=ziprl_counted", f"--callgrind-out-file={profile}",
         program, loop], env={"PATH": os.environ["PATH"], "LC_ALL": "C"}, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True)
    if ran.returncode != 0:
        sys.exit(f"{loop} under callgrind ended with {ran.returncode}:\n{ran.stdout}")
    totals = [line.split()[1] for line in profile.read_text().splitlines() if line.startswith("totals:")]
    if len(totals) != 1 or int(totals[0]) == 0:
        sys.exit(f"{profile}: totals {totals}, expected one that is not 0")
    return int(totals[0])


def verdict(loop, got, golden, profile, update_command):
    change = got / golden - 1
    if abs(change) <= ALLOWED:
        return None
    return (f"{loop}: {got:,} instructions, {abs(change):.1%} {'more' if change > 0 else 'fewer'} than the {golden:,} of "
            f"{COUNTS.name}; where they are: callgrind_annotate {profile}\n"
            f"if this is meant: {update_command}")


def main(program, work, *arguments):
    if shutil.which("valgrind") is None:
        sys.exit("no valgrind here; launch/setup --tests installs it")
    work = pathlib.Path(work)
    work.mkdir(parents=True, exist_ok=True)
    every = subprocess.run([program], stdout=subprocess.PIPE, check=True, text=True).stdout.split()
    loops = [argument for argument in arguments if argument != "--update"] or every
    counts = read_counts()
    problems = [f"{name} is in one of {COUNTS.name} and {program} only" for name in {*counts} ^ {*every}]
    for loop in loops:
        profile = work / f"{loop}.callgrind"
        got = count(program, loop, profile)
        print(f"{loop}: {got:,} instructions")
        if "--update" in arguments:
            counts[loop] = got
            continue
        command = f"{sys.executable} {os.path.relpath(__file__)} {os.path.relpath(program)} {work} {loop} --update"
        if problem := verdict(loop, got, counts.get(loop, 1), profile, command):
            problems.append(problem)
    if "--update" in arguments:
        COUNTS.write_text("".join(f"{name} {counts[name]}\n" for name in every if name in counts))
    elif problems:
        sys.exit("FAILED: " + "\n".join(problems))


if __name__ == "__main__":
    main(*sys.argv[1:])
