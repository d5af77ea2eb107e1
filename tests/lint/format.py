"""Every tracked C++ file is as clang-format 14 with the repository's .clang-format writes it."""

import concurrent.futures
import re
import subprocess
import sys

import lint

VERSION = "14"


def clang_format(*arguments, text=None):
    return subprocess.run(["clang-format", *arguments], cwd=lint.ROOT, input=text, text=True,
                          capture_output=True)


def find_problems(path, text):
    result = clang_format(f"--assume-filename={path}", "--dry-run", "-Werror", text=text)
    if result.returncode == 0:
        return []
    where = re.search(r":(\d+):\d+: error", result.stderr)
    line = where.group(1) if where else "1"
    return [f"{path}:{line}: not formatted; run: clang-format -i {path}"]


BAD = [
    ("model/a.cc", "int  F( ){return 1;}\n"),
    ("model/a.h", "#pragma once\n" + "int " + "a" * 60 + " = " + "b" * 60 + ";\n"),
]
GOOD = [("model/a.cc", "int F() { return 1; }\n")]

if __name__ == "__main__":
    version = re.search(r"version (\d+)", clang_format("--version").stdout)
    if not version or version.group(1) != VERSION:
        sys.exit(f"clang-format {version and version.group(1)} on PATH; the style is version {VERSION}'s")
    with concurrent.futures.ThreadPoolExecutor() as pool:
        paths = [path for path in lint.tracked_files() if path.endswith(lint.CPP_SUFFIXES)]
        texts = {path: lint.read(path) for path in paths}
        results = dict(zip(paths, pool.map(lambda path: find_problems(path, texts[path]), paths)))
    lint.main(lambda path, text: results.get(path) if texts.get(path) == text
              else find_problems(path, text), BAD, GOOD)
