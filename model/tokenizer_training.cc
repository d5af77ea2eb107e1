// A tokenizer from text: counting pieces, learning merges, writing tokenizer.json.
#include <map>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "model/added_tokens.h"
#include "model/bpe_trainer.h"
#include "model/split_pattern.h"
#include "model/tokenizer.h"
#include "model/tokenizer_json.h"
#include "model/unicode.h"

namespace ziprl {

absl::StatusOr<std::string> TrainTokenizerJson(const std::vector<std::string>& corpus,
                                               int vocab_size) {
  if (vocab_size < 256) {
    return absl::InvalidArgumentError(absl::StrCat(
        "vocab_size is ", vocab_size, ", allowed is at least 256 (one entry per byte)"));
  }
  const AddedTokens added(QwenAddedTokens(0));
  std::map<std::string, int64_t> words;
  const auto count_text = [&](std::string_view text) {
    SplitPieces(Nfc(text), [&](std::string_view piece) { ++words[std::string(piece)]; });
  };
  for (const std::string& text : corpus) {
    added.Split(ReplaceInvalidUtf8(text), count_text, [](int32_t) {});
  }
  const TrainedBpe trained = TrainBpe(words, vocab_size);
  const auto first_id = static_cast<int32_t>(trained.vocab.size());
  return WriteTokenizerJson(trained.vocab, trained.merges, QwenAddedTokens(first_id));
}

}  // namespace ziprl
