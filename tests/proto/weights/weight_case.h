// Small sets of weights for tests: filled with a version's own words, so that a mix of two versions
// shows; and changed the way a step with a small learning rate changes them.
#pragma once

#include <cstdint>
#include <string>

#include "proto/weights/weight_set.h"

namespace ziprl {

// A bf16 matrix of rows x 1024 between a small fp32 vector and a bf16 scalar.
WeightLayout::Ptr CaseLayout(int64_t rows);

// Every word of every tensor is `version` (low 16 bits).
WeightSnapshot::Ptr UniformWeights(WeightLayout::Ptr layout, PolicyVersion version);

// Words of plausible bf16 weights.
WeightSnapshot::Ptr RandomWeights(WeightLayout::Ptr layout, PolicyVersion version, uint64_t seed);

// `base` with a fraction of its 16-bit words moved by one or two units in the last place, and one
// in a hundred of those replaced.
WeightSnapshot::Ptr SmallStep(const WeightSnapshot& base, double fraction, uint64_t seed);

// The snapshot's bytes under another version number.
WeightSnapshot::Ptr WithVersion(const WeightSnapshot& snapshot, PolicyVersion version);

// A snapshot with `bytes` (layout->total_bytes() of them).
WeightSnapshot::Ptr FromBytes(WeightLayout::Ptr layout, PolicyVersion version,
                              const std::string& bytes);

// Version of a snapshot of UniformWeights if all its words agree with each other and with
// version(); -1 when they do not.
PolicyVersion UniformVersion(const WeightSnapshot& snapshot);

}  // namespace ziprl
