// Where the weights of a lease are to be had (GroupLease::weights), as text and as a struct. Pure.
#pragma once

#include <string>

#include "absl/status/statusor.h"

namespace ziprl {

// A receiver takes the first one that it can reach.
struct WeightPlaces {
  bool broadcast = false;  // "broadcast": the MPI job's ranks are sent every version unasked
  std::string host, job;   // "shm:JOB@HOST": segments of SharedMemoryReader on that host; or empty
  std::string address;     // "host:port" of a Weights service; or empty

  // The places there are, one space between two.
  std::string ToString() const;
  // InvalidArgument, with the text, for anything ToString does not write.
  static absl::StatusOr<WeightPlaces> Parse(const std::string& text);
};

}  // namespace ziprl
