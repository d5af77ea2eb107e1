"""launch/slurm/*.sbatch under a real Slurm: munge, a controller and two node daemons on this machine.

usage: slurm.py ZIPRL FIXTURES WORK CASE
"""

import os
import pathlib
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import workbench
from jobs import check_like_local
from over_ranks import run_colocated, same_samples
from workbench import check, check_same_files, steps_of, tiny_run

HOME = pathlib.Path(__file__).resolve().parents[2]
LIMIT_S = 240  # Slurm holds a requeued heterogeneous job back for 100 s
CONF = """
ClusterName=ziprl
SlurmctldHost={host}(127.0.0.1)
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={dir}/munge.sock,cred_expire=6
CryptoType=crypto/munge
MpiDefault=none
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,bf_interval=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=20
ReturnToService=2
SlurmdParameters=config_overrides
SlurmctldPort={ports[0]}
StateSaveLocation={dir}/state
SlurmdSpoolDir={dir}/spool-%n
TmpFS={dir}/tmp-%n
SlurmctldPidFile={dir}/slurmctld.pid
SlurmdPidFile={dir}/slurmd-%n.pid
SlurmctldLogFile={dir}/slurmctld.log
SlurmdLogFile={dir}/slurmd-%n.log
AccountingStorageType=accounting_storage/none
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 State=UNKNOWN
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 State=UNKNOWN
PartitionName=low Nodes=one,two Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=60
PartitionName=high Nodes=one,two MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""


def free_ports(count):
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


class Slurm:
    """A cluster of two nodes that ends with the `with` block."""

    def __init__(self, bench):
        self.bench = bench
        self.dir = tempfile.mkdtemp(prefix="ziprl-slurm-")
        self.conf = f"{self.dir}/slurm.conf"
        self.env = {**os.environ, "SLURM_CONF": self.conf, "ZIPRL_HOME": str(HOME), "OMP_WAIT_POLICY": "passive",
                    "OMPI_MCA_mpi_yield_when_idle": "1"}
        self.processes = []

    def __enter__(self):
        os.mkdir(f"{self.dir}/state")
        for node in ("one", "two"):
            os.mkdir(f"{self.dir}/spool-{node}")
            os.mkdir(f"{self.dir}/tmp-{node}")
        key = pathlib.Path(f"{self.dir}/munge.key")
        key.write_bytes(os.urandom(128))
        key.chmod(0o600)
        pathlib.Path(self.conf).write_text(CONF.format(
            host=socket.gethostname(), user=pwd.getpwuid(os.getuid()).pw_name, dir=self.dir, ports=free_ports(3)))
        try:
            self.start("munged", "--foreground", "--force", f"--socket={self.dir}/munge.sock",
                       f"--key-file={key}", f"--pid-file={self.dir}/munged.pid", f"--log-file={self.dir}/munged.log",
                       f"--seed-file={self.dir}/munged.seed", "--num-threads=2")
            self.wait_for("munged's socket", lambda: os.path.exists(f"{self.dir}/munge.sock"))
            self.start("slurmctld", "-D", "-c", "-f", self.conf)
            for node in ("one", "two"):
                self.start("slurmd", "-D", "-f", self.conf, "-N", node)
            self.wait_for("two idle nodes", lambda: self.call("sinfo", "-h", "-N", "-p", "low", "-o", "%t")
                          .split() == ["idle", "idle"])
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        subprocess.run(["scancel", "--user", pwd.getpwuid(os.getuid()).pw_name], env=self.env, capture_output=True,
                       timeout=30)
        time.sleep(1)
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
        for process in reversed(self.processes):
            try:
                process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)

    def start(self, program, *args):
        found = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
        check(found, program, "is not installed: launch/setup --tests")
        self.processes.append(subprocess.Popen([found, *args], env=self.env, stdin=subprocess.DEVNULL,
                                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))

    def call(self, *command):
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=60).stdout

    def wait_for(self, what, happens):
        deadline = time.monotonic() + LIMIT_S
        while not happens():
            if time.monotonic() > deadline:
                self.fail("waited for", what)
            time.sleep(0.1)

    def fail(self, *what):
        logs = [path.read_text(errors="replace")[-1500:] for path in
                (*pathlib.Path(self.dir).glob("slurm*.log"), *pathlib.Path(self.bench.work).glob("*.log"),
                 *pathlib.Path(self.bench.work).glob("*.logs/*.log"))]
        queue = self.call("squeue", "-o", "%i %T %r %N")
        check(False, *what, queue, *logs)

    def submit(self, script, *args, options=(), components=()):
        """The job's number. `components`: the options of the job's further components."""
        command = ["sbatch", "--parsable", f"--output={self.bench.work}/%j.log", *options]
        for component in components:
            command += [":", f"--output={self.bench.work}/%j.log", *component]
        done = subprocess.run([*command, script, *args], env=self.env, capture_output=True, text=True,
                              cwd=self.bench.work, timeout=60)
        check(done.returncode == 0, "sbatch:", done.stderr)
        return done.stdout.strip().split(";")[0]

    def state(self, job):
        """State and number of restarts."""
        text = self.call("scontrol", "show", "job", job)
        found = re.search(r"JobState=(\w+)", text), re.search(r"Restarts=(\d+)", text)
        return (found[0][1], int(found[1][1])) if all(found) else ("UNKNOWN", 0)

    def wait_until_done(self, job):
        def over():
            state = self.state(job)[0]
            if state in ("FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL"):
                self.fail("job", job, "ended as", state)
            return state == "COMPLETED"
        self.wait_for(f"the end of job {job}", over)

    def wait_for_step(self, out, step):
        self.wait_for(f"step {step}", lambda: steps_of(out) >= step)


def arguments(bench, out, learner, rollout, *more):
    return [*tiny_run(bench, out, f"cluster.learner={learner}", f"cluster.rollout={rollout}", "trainer.threads=1",
                      "rollout.log_completions=true", *more)[1:]]


TRAIN, HETERO = (str(HOME / "launch" / "slurm" / f"{name}.sbatch") for name in ("train", "hetero"))


def short_job(bench):
    """Three ranks by srun --mpi=pmix: the bits of one process. A job of another size is told the right one."""
    out = bench.path("run")
    with Slurm(bench) as slurm:
        job = slurm.submit(TRAIN, *arguments(bench, out, 1, 2), options=["--ntasks=3", "--nodes=1"])
        slurm.wait_until_done(job)
        wrong = slurm.submit(TRAIN, *arguments(bench, bench.path("wrong"), 1, 2), options=["--ntasks=2"])
        slurm.wait_for("the wrong job's end", lambda: slurm.state(wrong)[0] == "FAILED")
        said = pathlib.Path(bench.path(f"{wrong}.log")).read_text(encoding="utf-8")
        check("need 3 ranks" in said and "--ntasks=3" in said, said)
    check_like_local(bench, out, 4)


def two_nodes(bench):
    """Learner and rollouts on two nodes."""
    out = bench.path("run")
    with Slurm(bench) as slurm:
        job = slurm.submit(TRAIN, *arguments(bench, out, 1, 1), options=["--ntasks=2", "--nodes=2",
                                                                          "--ntasks-per-node=1"])
        slurm.wait_until_done(job)
    check_like_local(bench, out, 4)


def colocated(bench):
    """Two learner ranks that generate themselves, a node each, the coordinator beside one: the bits of mpirun."""
    out, settings = bench.path("run"), ["trainer.threads=1", "actor.zero=3"]
    with Slurm(bench) as slurm:
        job = slurm.submit(TRAIN, *arguments(bench, out, 2, 1, "cluster.placement=colocated", *settings),
                           options=["--ntasks=2", "--nodes=2", "--ntasks-per-node=1"])
        slurm.wait_until_done(job)
    like = run_colocated(bench, bench.path("mpirun"), 2, *settings)
    same_samples(like, out)
    check_same_files(f"{like}/step_4", f"{out}/step_4", ["model.safetensors"])


def requeued_when_asked(bench, script, arguments_of_job, options, **more):
    """The signal before the time limit: saved, back into the queue, and the same run in the end."""
    out, steps = bench.path("run"), 150
    with Slurm(bench) as slurm:
        job = slurm.submit(script, *arguments_of_job, f"trainer.max_steps={steps}", options=options, **more)
        slurm.wait_for_step(out, 3)
        slurm.call("scancel", "--signal=USR1", "--batch", job)
        slurm.wait_for("the job's requeueing", lambda: slurm.state(job)[1] == 1)
        done = steps_of(out)
        check(done < steps and os.readlink(f"{out}/latest") == f"step_{done}", os.readlink(f"{out}/latest"), done)
        slurm.wait_until_done(job)
    check_like_local(bench, out, steps)


def time_is_up(bench):
    requeued_when_asked(bench, TRAIN, arguments(bench, bench.path("run"), 1, 1), ["--ntasks=2", "--nodes=1"])


def preempted(bench):
    """A job of a higher partition takes the nodes: saved within the grace time, requeued, finished later."""
    out, steps = bench.path("run"), 150
    with Slurm(bench) as slurm:
        job = slurm.submit(TRAIN, *arguments(bench, out, 1, 1, f"trainer.max_steps={steps}"),
                           options=["--ntasks=2", "--nodes=1", "--exclusive"])
        slurm.wait_for_step(out, 3)
        urgent = bench.path("urgent.sh")
        pathlib.Path(urgent).write_text("#!/bin/bash\nsleep 2\n", encoding="utf-8")
        other = slurm.submit(urgent, options=["--partition=high", "--nodes=2", "--exclusive"])
        slurm.wait_for("the job's requeueing", lambda: slurm.state(job)[1] == 1)
        done = steps_of(out)
        check(done < steps and os.readlink(f"{out}/latest") == f"step_{done}", os.readlink(f"{out}/latest"), done)
        slurm.wait_until_done(other)
        slurm.wait_until_done(job)
    check_like_local(bench, out, steps)


def hetero(bench):
    """A heterogeneous job: learner, coordinator and a reward service here, workers there."""
    out = bench.path("run")
    with Slurm(bench) as slurm:
        job = slurm.submit(HETERO, *arguments(bench, out, 1, 2, "cluster.reward=1"),
                           options=["--ntasks=1", "--nodes=1"], components=[["--ntasks=2", "--nodes=1"]])
        slurm.wait_until_done(job)
    check_like_local(bench, out, 4)


def hetero_time_is_up(bench):
    requeued_when_asked(bench, HETERO, arguments(bench, bench.path("run"), 1, 1), ["--ntasks=1", "--nodes=1"],
                        components=[["--ntasks=1", "--nodes=1"]])


CASES = [short_job, two_nodes, colocated, time_is_up, preempted, hetero, hetero_time_is_up]

if __name__ == "__main__":
    workbench.main({case.__name__: case for case in CASES})
