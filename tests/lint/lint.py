"""What the lints share: the tracked files, and a main with a self-check.

A lint is a function `find_problems(path, text) -> list of sentences` and samples that must and must not be
reported: a lint that cannot fail proves nothing.
"""

import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
CPP_SUFFIXES = (".h", ".cc", ".cu", ".cuh")


def tracked_files():
    """Paths of the repository's files, relative to its root, that exist and are text."""
    command = ["git", "-c", f"safe.directory={ROOT}", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(command, check=True, capture_output=True).stdout.decode().split("\0")
    paths = [path for path in listed if path and (ROOT / path).is_file()]
    if not paths:
        sys.exit(f"git lists no file under {ROOT}")
    return paths


def read(path):
    """Text of a file, or None when it is binary."""
    try:
        return (ROOT / path).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return None


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def check_samples(find_problems, bad, good):
    """Reported samples: those of `bad`, each a (path, text); none of `good`."""
    failures = [f"a bad sample passes: {path}\n{text}" for path, text in bad
                if not find_problems(path, text)]
    for path, text in good:
        failures += [f"a good sample fails: {path}: {problem}" for problem in find_problems(path, text)]
    return failures


def main(find_problems, bad, good, wanted=lambda path: path.endswith(CPP_SUFFIXES)):
    """`--self-check` runs the samples, no argument runs the tree. Exit status 1 on any problem."""
    if sys.argv[1:] == ["--self-check"]:
        problems = check_samples(find_problems, bad, good)
        checked = f"{len(bad)} bad and {len(good)} good samples"
    else:
        paths = [path for path in tracked_files() if wanted(path)]
        texts = [(path, text) for path in paths if (text := read(path)) is not None]
        problems = [problem for path, text in texts for problem in find_problems(path, text)]
        checked = f"{len(texts)} files"
        if not texts:
            problems.append("no file to check")
    for problem in problems:
        print(problem)
    print(f"{len(problems)} problems in {checked}")
    sys.exit(1 if problems else 0)
