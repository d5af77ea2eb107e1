// Writes an event file for judge_events.py: event_probe DIR FIRST_STEP LAST_STEP.
#include <cstdio>
#include <cstdlib>

#include "trainer/tensorboard_writer.h"

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const int first = std::atoi(argv[2]), last = std::atoi(argv[3]);
  const absl::Time start = absl::FromUnixSeconds(1700000000 + first);
  auto writer = ziprl::TensorBoardWriter::Open(argv[1], first, start);
  if (!writer.ok()) return 1;
  for (int step = first; step <= last; ++step) {
    const std::map<std::string, double> scalars = {
        {"critic/rewards/mean", 0.25 * step}, {"actor/lr", 1e-6}, {"unicode/\u03c4", -step}};
    if (!(*writer)->Write(step, scalars, start + absl::Seconds(step)).ok()) return 1;
  }
  return 0;
}
