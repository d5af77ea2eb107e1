#include "model/bpe_trainer.h"

#include <algorithm>
#include <queue>
#include <unordered_map>
#include <unordered_set>
#include <utility>

namespace ziprl {
namespace {

using Pair = std::pair<int32_t, int32_t>;

struct PairHash {
  size_t operator()(const Pair& p) const {
    const uint64_t key =
        uint64_t{static_cast<uint32_t>(p.first)} << 32 | static_cast<uint32_t>(p.second);
    return std::hash<uint64_t>()(key * 0x9E3779B97F4A7C15u);
  }
};

struct Word {
  std::vector<int32_t> ids;
  int64_t count;
};

struct PairStat {
  int64_t count = 0;
  std::unordered_set<int> words;  // that hold, or once held, the pair
};

struct Entry {
  int64_t count;
  Pair pair;
  bool operator<(const Entry& other) const {  // the heap's top: highest count, then smallest pair
    return count != other.count ? count < other.count : pair > other.pair;
  }
};

class Trainer {
 public:
  Trainer(const std::map<std::string, int64_t>& words, int vocab_size) : vocab_size_(vocab_size) {
    std::array<int32_t, 256> byte_ids;
    for (uint8_t byte : ByteOrder()) {
      byte_ids[byte] = static_cast<int32_t>(out_.vocab.size());
      AddToken(ToByteLevel(std::string(1, static_cast<char>(byte))));
    }
    for (const auto& [text, count] : words) {
      Word word{{}, count};
      for (char c : text) word.ids.push_back(byte_ids[static_cast<uint8_t>(c)]);
      words_.push_back(std::move(word));
      for (size_t i = 0; i + 1 < words_.back().ids.size(); ++i) {
        Count(static_cast<int>(words_.size()) - 1, i, +1);
      }
    }
    for (const auto& [pair, stat] : stats_) queue_.push({stat.count, pair});
  }

  TrainedBpe Run() {
    while (static_cast<int>(out_.vocab.size()) < vocab_size_ && !queue_.empty()) {
      const Entry best = queue_.top();
      queue_.pop();
      const PairStat& stat = stats_[best.pair];
      if (stat.count <= 0) continue;
      if (stat.count != best.count) {
        queue_.push({stat.count, best.pair});
        continue;
      }
      Apply(best.pair);
    }
    return std::move(out_);
  }

 private:
  int32_t AddToken(const std::string& token) {
    const auto [it, added] = ids_.try_emplace(token, static_cast<int32_t>(out_.vocab.size()));
    if (added) out_.vocab.push_back(token);
    return it->second;
  }

  // Adds sign * the word's count to the pair at place i of the word.
  void Count(int word, size_t i, int sign) {
    const Pair pair = {words_[word].ids[i], words_[word].ids[i + 1]};
    PairStat& stat = stats_[pair];
    stat.count += sign * words_[word].count;
    if (sign > 0) {
      stat.words.insert(word);
      changed_.insert(pair);
    }
  }

  void Apply(const Pair& pair) {
    const int32_t merged = AddToken(out_.vocab[pair.first] + out_.vocab[pair.second]);
    out_.merges.push_back({pair.first, pair.second, merged});
    const std::unordered_set<int> holders = std::move(stats_[pair].words);
    changed_.clear();
    for (int word : holders) MergeInWord(word, pair, merged);
    stats_.erase(pair);
    for (const Pair& p : changed_) {
      const auto it = stats_.find(p);
      if (it != stats_.end() && it->second.count > 0) queue_.push({it->second.count, p});
    }
  }

  void MergeInWord(int word, const Pair& pair, int32_t merged) {
    std::vector<int32_t>& ids = words_[word].ids;
    for (size_t i = 0; i + 1 < ids.size(); ++i) Count(word, i, -1);
    std::vector<int32_t> shorter;
    for (size_t i = 0; i < ids.size(); ++i) {
      const bool here = i + 1 < ids.size() && ids[i] == pair.first && ids[i + 1] == pair.second;
      shorter.push_back(here ? merged : ids[i]);
      if (here) ++i;
    }
    ids = std::move(shorter);
    for (size_t i = 0; i + 1 < ids.size(); ++i) Count(word, i, +1);
  }

  int vocab_size_;
  TrainedBpe out_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Word> words_;
  std::unordered_map<Pair, PairStat, PairHash> stats_;
  std::unordered_set<Pair, PairHash> changed_;
  std::priority_queue<Entry> queue_;
};

}  // namespace

TrainedBpe TrainBpe(const std::map<std::string, int64_t>& words, int vocab_size) {
  return Trainer(words, vocab_size).Run();
}

}  // namespace ziprl
