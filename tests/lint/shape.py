"""Files of the length a reader can hold, with a guard that is `#pragma once` in every header."""

import lint

MAX_LINES = 400


def find_problems(path, text):
    problems = []
    lines = text.count("\n")
    if lines > MAX_LINES:
        problems.append(f"{path}: {lines} lines; a file has one noun and at most {MAX_LINES}")
    if path.endswith((".h", ".cuh")) and text.count("\n#pragma once\n") != 1:
        problems.append(f"{path}: a header says #pragma once, once, after its opening comment")
    if not text.endswith("\n") or text.endswith("\n\n"):
        problems.append(f"{path}: must end with one line end")
    return problems


BAD = [
    ("model/a.cc", "int a;\n" * 401),
    ("model/a.h", "// A noun.\nint a;\n"),
    ("model/a.cc", "int a;"),
    ("model/a.cc", "int a;\n\n"),
]
GOOD = [("model/a.h", "// A noun.\n#pragma once\n\nint A();\n"), ("model/a.cc", "int a;\n" * 400)]

if __name__ == "__main__":
    lint.main(find_problems, BAD, GOOD)
