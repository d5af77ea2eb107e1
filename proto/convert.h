// The nouns of proto/types.h as messages of proto/types.proto, and back. A message comes from
// another process: FromPb believes nothing, checks every count, size and number against what it
// finds, computes hashes again, and names the field that is wrong (InvalidArgument,
// "groups[3].completions[0].logprobs: ..."). Pure, thread-safe.
#pragma once

#include <string>

#include "absl/status/statusor.h"
#include "proto/coordinator.h"
#include "proto/types.h"

namespace ziprl {

namespace v1 {
class Prompt;
class GroupLease;
class Completion;
class Score;
class ScoredGroup;
class WorkerId;
}  // namespace v1

// Bitmaps that one message may hold: a small message must not become a large allocation.
inline constexpr int kMaxBitmaps = 65536;
// Ids, versions and counters stay below this, so that sums and differences of them cannot overflow.
inline constexpr int64_t kMaxCount = int64_t{1} << 53;

void ToPb(const Prompt& prompt, v1::Prompt* out);
void ToPb(const GroupLease& lease, v1::GroupLease* out);
void ToPb(const Score& score, v1::Score* out);
// kIdOnly leaves everything but id and row of the prompt out: the receiver holds the prompt.
enum class PromptBody { kWhole, kIdOnly };
void ToPb(const ScoredGroup& group, PromptBody prompt, v1::ScoredGroup* out);
// kWithoutKept leaves `kept` and `digest` out: what a reward service gets.
enum class Kept { kWith, kWithout };
void ToPb(const Completion& completion, Kept kept, v1::Completion* out);

// `field` is the message's own name in errors.
absl::StatusOr<Prompt> FromPb(const v1::Prompt& prompt, const std::string& field);
absl::StatusOr<GroupLease> FromPb(const v1::GroupLease& lease, const std::string& field);
absl::StatusOr<Completion> FromPb(const v1::Completion& completion, const std::string& field);
absl::StatusOr<Score> FromPb(const v1::Score& score, const std::string& field);
absl::StatusOr<ScoredGroup> FromPb(const v1::ScoredGroup& group, const std::string& field);

// The name must hold 1 to 256 bytes.
void ToPb(const WorkerId& worker, v1::WorkerId* out);
absl::StatusOr<WorkerId> FromPb(const v1::WorkerId& worker, const std::string& field);

// InvalidArgument "field: VALUE, allowed is 0 to 2^53".
absl::Status CheckCount(const std::string& field, int64_t value);

// InvalidArgument for a host:port of more than 256 bytes; an empty one is fine.
absl::Status CheckAddress(const std::string& field, const std::string& address);

// `text` with every byte that is no part of UTF-8 replaced by '?': protobuf refuses others.
std::string ToUtf8(const std::string& text);

}  // namespace ziprl
