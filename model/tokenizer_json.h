// tokenizer.json as data: reading with every unsupported option refused, and the layout we write.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "absl/status/statusor.h"
#include "model/added_tokens.h"
#include "model/bpe.h"

namespace ziprl {

struct TokenizerData {
  std::unordered_map<std::string, int32_t> vocab;  // byte-level spelling -> id
  std::vector<Merge> merges;                       // best first
  std::vector<AddedToken> added;                   // in id order as written
};

absl::StatusOr<TokenizerData> ParseTokenizerJson(std::string_view json, const std::string& where);

// vocab: entries in id order 0, 1, ...; the added tokens carry their ids.
std::string WriteTokenizerJson(const std::vector<std::string>& vocab,
                               const std::vector<Merge>& merges,
                               const std::vector<AddedToken>& added);

// The tokens Qwen2.5-VL adds, in order; ids count from first_id.
std::vector<AddedToken> QwenAddedTokens(int32_t first_id);

}  // namespace ziprl
