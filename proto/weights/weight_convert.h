// proto/weights.proto as the structs of weight_transfer.h, and back. FromPb believes nothing that a
// peer says: InvalidArgument names the field and its value. Pure, thread-safe.
#pragma once

#include "absl/status/statusor.h"
#include "proto/weights/weight_transfer.h"

namespace ziprl {

namespace v1 {
class FetchHeader;
class FetchRequest;
}  // namespace v1

void ToPb(const FetchQuery& query, v1::FetchRequest* out);
void ToPb(const TransferHeader& header, v1::FetchHeader* out);

absl::StatusOr<FetchQuery> FromPb(const v1::FetchRequest& request);
absl::StatusOr<TransferHeader> FromPb(const v1::FetchHeader& header, const WeightLimits& limits);

}  // namespace ziprl
