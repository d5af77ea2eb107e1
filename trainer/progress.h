// How far a run is, for people: on a terminal one line that is drawn again, with a bar and the time
// left; otherwise plain lines. Not thread-safe.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "absl/time/time.h"
#include "configs/base/clock.h"

namespace ziprl {

class Progress {
 public:
  // `label` stands in front ("train", "eval"). `done` of `total` units are done at the start
  // (resume).
  Progress(std::string label, int64_t done, int64_t total, std::FILE* out = stderr,
           const Clock* clock = Clock::Real());
  // Overrides whether `out` is taken for a terminal; for tests.
  void set_terminal(bool terminal) { terminal_ = terminal; }

  // `done` units are done; `text` says how it goes ("reward 0.81  acc 0.79").
  void Update(int64_t done, const std::string& text);

  // A line of its own that stays.
  void Note(const std::string& text);

  // Ends the drawn line.
  void Finish();

 private:
  std::string Eta(int64_t done) const;

  const std::string label_;
  const int64_t start_, total_;
  std::FILE* const out_;
  const Clock* const clock_;
  const absl::Time started_;
  bool terminal_;
  bool drawn_ = false;
};

// "45s", "3m20s", "2h05m".
std::string ShortDuration(absl::Duration duration);

}  // namespace ziprl
