"""Runs the Python reward service of docs/reward-service.md as it stands there and scores through it.

third_party_service.py REWARD_PROBE WORK_DIR
"""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
DEADLINE_S = 120


def check(condition, *what):
    if not condition:
        sys.exit("FAILED: " + " ".join(str(part) for part in what))


def from_document():
    """The service's text and the command that makes its messages."""
    text = (ROOT / "docs" / "reward-service.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    commands = re.findall(r"`(python -m grpc_tools[^`]*)`", text)
    check(len(blocks) == 1 and len(commands) == 1, "the document holds", len(blocks), len(commands))
    check(blocks[0].count("\n") < 40, "the service has", blocks[0].count("\n"), "lines, promised are fewer than 40")
    return blocks[0], commands[0]


def probe(program, address, token_file):
    result = subprocess.run([program, address, token_file], capture_output=True, text=True, timeout=DEADLINE_S)
    check(result.returncode == 0, result.stderr)
    return result.stdout.split("\n")[:-1], result.stderr


def main(program, work):
    shutil.rmtree(work, ignore_errors=True)
    os.makedirs(os.path.join(work, "gen"))
    service, command = from_document()
    arguments = [sys.executable if part == "python" else part for part in shlex.split(command)]
    arguments = [part.replace("=gen", "=" + os.path.join(work, "gen")) for part in arguments]
    subprocess.run(arguments, cwd=ROOT, check=True, timeout=DEADLINE_S)
    pathlib.Path(work, "judge.py").write_text(service, encoding="utf-8")
    pathlib.Path(work, "token").write_text("secret\n", encoding="utf-8")
    pathlib.Path(work, "other").write_text("other\n", encoding="utf-8")

    environment = dict(os.environ, PYTHONPATH=os.path.join(work, "gen"))
    server = subprocess.Popen([sys.executable, "judge.py", "127.0.0.1:0", "token"], cwd=work, env=environment,
                              stdout=subprocess.PIPE, text=True)
    timer = threading.Timer(DEADLINE_S, server.kill)
    timer.start()
    try:
        line = server.stdout.readline()
        check(line.startswith("listening on "), "the service said", repr(line))
        address = line.split()[-1]
        scores, _ = probe(program, address, os.path.join(work, "token"))
        check(scores == ["SCORED 1", "SCORED 0", "SCORED 0", "INVALID -1"], scores)
        scores, errors = probe(program, address, os.path.join(work, "other"))
        check(scores == ["FAILED -1"] * 4, scores)
        check("wrong job token" in errors, errors)
    finally:
        timer.cancel()
        server.kill()
        server.wait()
    print("passed: the document's service scores")


if __name__ == "__main__":
    main(*sys.argv[1:])
