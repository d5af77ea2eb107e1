// Learns byte-pair merges from counted words. Deterministic: the most frequent pair first, ties by
// the smaller pair of ids.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/bpe.h"

namespace ziprl {

struct TrainedBpe {
  std::vector<std::string>
      vocab;                  // byte-level spelling, in id order: 256 bytes, then one per new merge
  std::vector<Merge> merges;  // best first
};

// words: byte strings with their counts. Stops at vocab_size entries, or when no pair is left.
TrainedBpe TrainBpe(const std::map<std::string, int64_t>& words, int vocab_size);

}  // namespace ziprl
