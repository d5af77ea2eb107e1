"""Scripts are executable, bash ones parse, stop on errors, and the promised commands are there."""

import os
import subprocess
import sys

import lint

COMMANDS = ("launch/setup", "launch/quickstart", "launch/test", "launch/bench", ".ci/run")


def find_problems(path, text, executable=None):
    if path in COMMANDS and not text.startswith("#!/bin/bash\n"):
        return [f"{path}: must be a bash script"]
    if not text.startswith("#!"):
        return []
    problems = []
    if executable is None:
        executable = os.access(lint.ROOT / path, os.X_OK)
    if not executable:
        problems.append(f"{path}: starts with #! but is not executable; run: chmod +x {path}")
    if text.startswith("#!/bin/bash\n"):
        if "\nset -euo pipefail\n" not in text:
            problems.append(f"{path}: must say: set -euo pipefail")
        parsed = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True)
        if parsed.returncode != 0:
            problems.append(f"{path}: does not parse: {parsed.stderr.strip()}")
    return problems


def find_sample_problems(path, text):
    """Samples say whether they are executable in their path: "x:launch/a"."""
    return find_problems(path.removeprefix("x:"), text, executable=path.startswith("x:"))


BAD = [
    ("launch/a", "#!/bin/bash\nset -euo pipefail\ntrue\n"),
    ("x:launch/a", "#!/bin/bash\ntrue\n"),
    ("x:launch/a", "#!/bin/bash\nset -euo pipefail\nif true; then\n"),
    ("x:launch/setup", "#!/bin/sh\ntrue\n"),
]
GOOD = [
    ("x:launch/a", "#!/bin/bash\nset -euo pipefail\ntrue\n"),
    ("launch/a.cc", "int main() {}\n"),
]

if __name__ == "__main__":
    if missing := set(COMMANDS) - set(lint.tracked_files()):
        sys.exit(f"missing: {', '.join(sorted(missing))}")
    self_check = sys.argv[1:] == ["--self-check"]
    lint.main(find_sample_problems if self_check else find_problems, BAD, GOOD, wanted=lambda path: True)
