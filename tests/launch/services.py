"""The services' own programs, as a user starts them.

services.py COORDINATOR REWARD REWARD_PROBE ZIPRL_OR_EMPTY WORK_DIR CASE
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "configs" / "models" / "easy-vqa-warm-start"
DEADLINE_S = 120


def check(condition, *what):
    if not condition:
        sys.exit("FAILED: " + " ".join(str(part) for part in what))


class Service:
    """A program that listens; the address is the first line it prints."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True)
        self.timer = threading.Timer(DEADLINE_S, self.process.kill)
        self.timer.start()
        line = self.process.stdout.readline()
        if not line.startswith("listening on "):
            sys.exit(f"FAILED: {command[0]} said {line!r} and {self.process.communicate()[1]}")
        self.address = line.split()[-1]

    def stop(self):
        """Asks it to end; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=DEADLINE_S)
        self.timer.cancel()
        return code


def run(*command):
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=DEADLINE_S)


class Case:
    def __init__(self, coordinator, reward, probe, ziprl, work):
        self.coordinator, self.reward, self.probe, self.ziprl = coordinator, reward, probe, ziprl
        shutil.rmtree(work, ignore_errors=True)
        os.makedirs(work)
        self.rows = os.path.join(work, "rows.jsonl")
        with open(self.rows, "w", encoding="utf-8") as file:
            file.writelines(json.dumps({"problem": f"Question {i}?", "answer": "red"}) + "\n" for i in range(5))
        self.token = os.path.join(work, "token")
        pathlib.Path(self.token).write_text("secret\n", encoding="utf-8")
        self.config = [f"model.path={MODEL}", f"data.train_files=[{self.rows}]"]

    def torch_free(self):
        for program in (self.coordinator, self.reward):
            # Names and paths only: an address behind them, 0x7f...c10..., is no library.
            linked = [line.split(" (0x")[0].strip() for line in run("ldd", program).stdout.splitlines()]
            check(any("libgrpc++" in line for line in linked), program, linked)
            for library in ("torch", "c10", "cudart", "nccl"):
                check(not any("lib" + library in line for line in linked), program, "links", library, linked)

    def reward_serves(self):
        service = Service(self.reward, *self.config, "--listen", "127.0.0.1:0", "--token-file", self.token)
        result = run(self.probe, service.address, self.token)
        # No text is the exact answer, and the last prompt has none.
        check(result.stdout == "SCORED 0\n" * 3 + "INVALID -1\n", result)
        check(service.stop() == 0, "exit code")

    def coordinator_serves(self):
        service = Service(self.coordinator, *self.config, "--listen", "127.0.0.1:0", "--token-file", self.token)
        if self.ziprl:
            status = run(self.ziprl, "status", "--coordinator", service.address, "--token-file", self.token, "--json")
            check(status.returncode == 0, status.stderr)
            check(json.loads(status.stdout)["run_begun"] is False, status.stdout)
        taken = run(self.coordinator, *self.config, "--listen", service.address, "--token-file", self.token)
        check(taken.returncode == 1 and "Address already in use" in taken.stderr, taken)
        check(service.stop() == 0, "exit code")

    def bad_input(self):
        listen = ["--listen", "127.0.0.1:0"]
        for command, expected in (
                ([self.coordinator, "model.path=nowhere", f"data.train_files=[{self.rows}]", *listen], "nowhere"),
                ([self.coordinator, f"model.path={MODEL}", *listen], "data.train_files: empty"),
                ([self.coordinator, *self.config, "--listen", "0.0.0.0:0"], "insecure: true"),
                ([self.reward, *self.config, "--listen", "0.0.0.0:0", "--token-file", self.token], "TLS"),
                ([self.reward, *self.config, "--listen", "nonsense"], "host:port"),
                ([self.reward, "reward.functions=[nonsense]", *listen], "nonsense"),
                ([self.reward, *self.config, *listen, "--token-file", "absent"], "absent")):
            result = run(*command)
            check(result.returncode == 1 and expected in result.stderr and not result.stdout, command, result)
        check(run(self.reward).returncode == 2, "no arguments")
        help_text = run(self.coordinator, "--help")
        check(help_text.returncode == 0 and "Example:" in help_text.stdout, help_text)


if __name__ == "__main__":
    getattr(Case(*sys.argv[1:6]), sys.argv[6])()
    print("passed:", sys.argv[6])
