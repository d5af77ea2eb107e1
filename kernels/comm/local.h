// Communicators whose ranks are threads of one process.
#pragma once

#include <memory>
#include <vector>

#include "kernels/comm/communicator.h"

namespace ziprl::comm {

// The ranks of a new group, one communicator per thread. Without a monitor in the config the group
// keeps its own table, so that a late rank is named with what it last did.
std::vector<std::unique_ptr<Communicator>> MakeLocalGroup(int ranks,
                                                          const Communicator::Config& config);

// A group of one: every operation is a copy at most.
std::unique_ptr<Communicator> MakeSelfCommunicator(const Communicator::Config& config);

}  // namespace ziprl::comm
