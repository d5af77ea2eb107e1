// The difference between two versions of weights, exact to the bit: after a step with a small
// learning rate about 99 % of the bf16 words are what they were. Format: docs/formats.md.
// Pure, thread-safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "absl/status/statusor.h"
#include "proto/weights/weight_buffer.h"
#include "proto/weights/weight_set.h"

namespace ziprl {

// What turns base into target. nullopt: send target in full, because the layouts differ or the
// delta would not be smaller than the weights. Equal input, equal bytes, whatever `threads` is.
std::optional<std::string> EncodeDelta(const WeightSnapshot& base, const WeightSnapshot& target,
                                       int threads);

// The target. Believes nothing that `delta` says: InvalidArgument when it is malformed, DataLoss
// when the result does not have the target's checksum; FailedPrecondition when it was made against
// another base, with both identities. After any of them the receiver asks for the full weights.
absl::StatusOr<WeightSnapshot::Ptr> ApplyDelta(const WeightSnapshot& base, std::string_view delta,
                                               WeightBufferPool* pool, int threads);

}  // namespace ziprl
