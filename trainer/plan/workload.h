// What a plan is made for: a model, a run's config, the shape of its samples, and a machine for
// each rank. No torch.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "configs/run_config.h"
#include "model/architecture.h"
#include "trainer/train_units.h"

namespace ziprl {

// What one rank has. Rates are peaks: nothing real is faster.
struct Machine {
  std::string name;
  bool gpu = false;
  double memory = 0;     // bytes
  double bandwidth = 0;  // of that memory, bytes per second
  double flops = 0;      // of matrix products in the run's type, per second
  double link = 0;       // between ranks, bytes per second one way
};

// H100 SXM5: 80 GB, 3.35 TB/s, 989 TFLOP/s bf16 or 67 fp32, NVLink 450 GB/s one way (NVIDIA's data
// sheet, dense figures).
Machine H100(bool bf16);
// What was measured on two cores with AVX512-BF16: 199 GFLOP/s fp32, 440 bf16, 25 GB/s.
Machine TwoCores(bool bf16);

struct PlanInput {
  Architecture arch;
  RunConfig config;
  Machine machine;
  int threads = 1;       // of each process
  int64_t prompt = 0;    // tokens of a prompt
  int64_t visual = 0;    // of those, image tokens
  int64_t response = 0;  // tokens of an answer
  double kept_ratio = 1;
  double changed = 1;   // share of the weights that an update changes, in the stored type
  int64_t process = 0;  // bytes of a process before it does anything: code, libraries' data

  int64_t element() const { return config.model.dtype == "bf16" ? 2 : 4; }
  // `ziprl train CONFIG`: every role in one process.
  bool alone() const;
  // Rollouts beside the learner, in its memory.
  bool shared() const { return alone() || config.cluster.colocated(); }
  // Weights go from GPU to GPU (docs/running.md), not by way of the hosts' memory.
  bool device_broadcast() const;
  int learners() const { return config.cluster.learner; }
  int rollouts() const { return shared() ? learners() : config.cluster.rollout; }
  // Workers that learn at the same time in one rank; over ranks there is one.
  int workers() const { return learners() > 1 ? 1 : side_by_side(); }
  // Pieces of work that go side by side in a process (model/device.h).
  int side_by_side() const { return machine.gpu ? 1 : threads; }
  // Every sample attends to all tokens.
  bool dense() const;
  // How many selections the samples of a group have among them: equal thresholds select alike, but
  // for `stochastic`, where every sample's is drawn.
  int64_t Selections() const;
  int64_t samples() const { return int64_t{config.actor.global_batch_size} * config.rollout.n; }
  // A step's sequences in the learner: the samples above, those that share their prompt as one.
  std::vector<SequenceSize> Sequences() const;
  UnitLimits Limits() const;
  // Units of these.
  std::vector<TrainUnit> Units() const;
  // Rows of the largest pack.
  int64_t PackRows() const;
  bool Recompute() const;  // actor.recompute, `auto` decided
};

}  // namespace ziprl
