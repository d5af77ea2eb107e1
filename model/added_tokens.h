// Tokens recognised in raw text before anything else: the longest at the leftmost place.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace ziprl {

struct AddedToken {
  std::string content;
  int32_t id = 0;
  bool special = false;
};

class AddedTokens {
 public:
  explicit AddedTokens(std::vector<AddedToken> tokens = {});

  // Calls on_text for stretches without added tokens (never empty) and on_token for each token, in
  // order.
  void Split(std::string_view text, const std::function<void(std::string_view)>& on_text,
             const std::function<void(int32_t)>& on_token) const;

  const std::vector<AddedToken>& tokens() const { return tokens_; }

 private:
  const AddedToken* MatchAt(std::string_view text) const;

  std::vector<AddedToken> tokens_;  // longest first
  std::array<std::vector<int>, 256> by_first_byte_;
};

}  // namespace ziprl
