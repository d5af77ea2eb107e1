"""TensorBoard's own reader on our event files: values, steps, times, and a resumed run's purge."""
import pathlib
import shutil
import subprocess
import sys

import numpy as np
from tensorboard.backend.event_processing import event_accumulator


def load(directory):
    accumulator = event_accumulator.EventAccumulator(str(directory))
    accumulator.Reload()
    return accumulator


def main(probe, scratch):
    directory = pathlib.Path(scratch) / "events"
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([probe, directory, "1", "300"], check=True)
    events = load(directory)
    assert events.Tags()["scalars"] == ["actor/lr", "critic/rewards/mean", "unicode/τ"], events.Tags()
    rewards = events.Scalars("critic/rewards/mean")
    assert [e.step for e in rewards] == list(range(1, 301))
    assert [e.value for e in rewards] == [0.25 * s for s in range(1, 301)]
    assert all(e.value == float(np.float32(1e-6)) for e in events.Scalars("actor/lr"))
    assert rewards[2].wall_time == 1700000001 + 3
    assert [e.value for e in events.Scalars("unicode/τ")][:2] == [-1.0, -2.0]

    subprocess.run([probe, directory, "101", "120"], check=True)  # resumed from step 100
    steps = [e.step for e in load(directory).Scalars("critic/rewards/mean")]
    assert steps == list(range(1, 121)), steps

    path = sorted(directory.iterdir())[-1]
    broken = bytearray(path.read_bytes())
    broken[len(broken) // 2] ^= 1  # the reader checks our checksums
    path.write_bytes(broken)
    assert len(load(directory).Scalars("critic/rewards/mean")) < 120


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
