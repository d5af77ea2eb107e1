// Memory of every role of a run, phase by phase, from the code that will hold it. Sums of what is
// alive at once; a role's peak is its largest phase. No torch.
//
// Sources: weights, gradients and optimizer by ZeRO level as in arXiv 1910.02054, with what
// trainer/zero holds (fp32 gradients, one part a rank from level 1 on; level 3 gathers a block at a
// time) and trainer/optimizer (two fp32 moments, an fp32 master copy of bf16 weights); activations
// by plan/model_shape; caches by rollout/kv_cache (fp32, kept tokens only, in pages, a
// prompt's once for samples that select alike); snapshots by
// proto/weights/weight_store (the live version and the one before), or from GPU to GPU two pieces
// of 64 MiB and, beside what a rollout generates with, the version that arrives (launch/device_*).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/plan/model_shape.h"
#include "trainer/plan/workload.h"

namespace ziprl {

// What CUDA and its libraries take of a GPU.
inline constexpr int64_t kContextBytes = int64_t{1} << 30;

struct MemoryPart {
  std::string name;
  int64_t bytes = 0;
};

struct MemoryPhase {
  std::string name;
  std::vector<MemoryPart> parts;
  int64_t bytes() const;
};

struct RoleMemory {
  std::string role;
  int ranks = 0;
  std::vector<MemoryPhase> phases;
  std::vector<MemoryPart> host;  // beside a GPU's memory; empty on the CPU, where it is in phases
  const MemoryPhase& peak() const;
};

std::vector<RoleMemory> PlanMemory(const PlanInput& input, const ModelShape& shape);

// Sequences that a rollout rank decodes at the same time: rollout/sparse_engine's batches.
int64_t SequencesAtOnce(const PlanInput& input);
// Leases that a rollout rank takes at a time.
int64_t GroupsAtATime(const PlanInput& input);
// Activations of the largest packs of all workers: every layer's graph, or with `recompute` their
// inputs and one graph.
int64_t PassActivationBytes(const PlanInput& input, bool recompute);
// Bytes of the caches of a group's sequences at the end of their answers.
int64_t GroupCacheBytes(const PlanInput& input);

}  // namespace ziprl
