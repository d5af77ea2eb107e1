#include "proto/weights/weight_places.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "proto/weights/shared_memory_format.h"

namespace ziprl {
namespace {

constexpr char kBroadcast[] = "broadcast", kSharedMemory[] = "shm:";

// "JOB@HOST" into both.
bool ParseSharedMemory(const std::string& text, WeightPlaces* out) {
  const size_t at = text.find('@');
  out->job = text.substr(0, at);
  out->host = text.substr(at + 1);
  return IsShmJob(out->job) && !out->host.empty();
}

}  // namespace

std::string WeightPlaces::ToString() const {
  std::vector<std::string> places;
  if (broadcast) places.emplace_back(kBroadcast);
  if (!job.empty()) places.push_back(absl::StrCat(kSharedMemory, job, "@", host));
  if (!address.empty()) places.push_back(address);
  return absl::StrJoin(places, " ");
}

absl::StatusOr<WeightPlaces> WeightPlaces::Parse(const std::string& text) {
  WeightPlaces out;
  bool good = !text.empty();
  const std::vector<std::string> places = absl::StrSplit(text, ' ');
  for (const std::string& place : places) {
    const bool shm = place.starts_with(kSharedMemory) && absl::StrContains(place, '@');
    if (place == kBroadcast && !out.broadcast) {
      out.broadcast = true;
    } else if (shm && out.job.empty()) {
      good &= ParseSharedMemory(place.substr(sizeof(kSharedMemory) - 1), &out);
    } else if (!shm && out.address.empty() && absl::StrContains(place, ':')) {
      out.address = place;
    } else {
      good = false;
    }
  }
  if (good) return out;
  return absl::InvalidArgumentError(
      absl::StrCat("'", text,
                   "' does not say where weights are: expected 'broadcast', 'shm:JOB@HOST' or "
                   "'host:port', or several of them with a space between"));
}

}  // namespace ziprl
