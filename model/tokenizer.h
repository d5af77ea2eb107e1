// Byte-level BPE as the Qwen2 tokenizer defines it in tokenizer.json: added (special) tokens, NFC,
// the Qwen2 split pattern, byte-level alphabet, merges by rank. Thread-safe after construction. No
// torch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "absl/status/statusor.h"

namespace ziprl {

class Tokenizer {
 public:
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Load(const std::string& tokenizer_json_path);
  static absl::StatusOr<std::unique_ptr<Tokenizer>> Parse(std::string_view json,
                                                          const std::string& where);
  ~Tokenizer();

  // Ids of the text; added tokens in it are recognised; nothing is added. Invalid UTF-8 becomes
  // U+FFFD.
  std::vector<int32_t> Encode(std::string_view text) const;
  // Bytes of the ids, invalid UTF-8 replaced by U+FFFD; special tokens left out when asked.
  std::string Decode(const std::vector<int32_t>& ids, bool skip_special) const;

  int32_t TokenId(std::string_view token) const;  // of an added or vocabulary token; -1 if absent
  int32_t vocab_size() const;                     // largest id + 1
  bool IsSpecial(int32_t id) const;

 private:
  Tokenizer();
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Trains a byte-level BPE on `corpus` until the vocabulary (256 bytes + merges) holds `vocab_size`
// entries, appends the Qwen2.5-VL special tokens, and returns tokenizer.json text. Deterministic;
// ties by pair.
absl::StatusOr<std::string> TrainTokenizerJson(const std::vector<std::string>& corpus,
                                               int vocab_size);

// tokenizer_config.json that lets transformers load the tokenizer, with the chat template inside.
std::string TokenizerConfigJson(const std::string& chat_template,
                                const std::string& processor_class);

}  // namespace ziprl
