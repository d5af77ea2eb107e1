// CoordinatorSnapshot as a message, and back. Pure.
#pragma once

#include "trainer/coordinator/snapshot.h"

namespace ziprl {

namespace v1 {
class StatusReply;
}

void ToPb(const CoordinatorSnapshot& snapshot, v1::StatusReply* out);
CoordinatorSnapshot SnapshotFromPb(const v1::StatusReply& reply);

}  // namespace ziprl
