#include "model/added_tokens.h"

#include <algorithm>
#include <utility>

namespace ziprl {

AddedTokens::AddedTokens(std::vector<AddedToken> tokens) : tokens_(std::move(tokens)) {
  std::stable_sort(tokens_.begin(), tokens_.end(), [](const AddedToken& a, const AddedToken& b) {
    return a.content.size() > b.content.size();
  });
  for (size_t i = 0; i < tokens_.size(); ++i) {
    if (tokens_[i].content.empty()) continue;
    by_first_byte_[static_cast<uint8_t>(tokens_[i].content[0])].push_back(static_cast<int>(i));
  }
}

const AddedToken* AddedTokens::MatchAt(std::string_view text) const {
  for (int i : by_first_byte_[static_cast<uint8_t>(text[0])]) {
    if (text.starts_with(tokens_[i].content)) return &tokens_[i];
  }
  return nullptr;
}

void AddedTokens::Split(std::string_view text, const std::function<void(std::string_view)>& on_text,
                        const std::function<void(int32_t)>& on_token) const {
  size_t begin = 0, pos = 0;
  while (pos < text.size()) {
    const bool may_begin = !by_first_byte_[static_cast<uint8_t>(text[pos])].empty();
    const AddedToken* token = may_begin ? MatchAt(text.substr(pos)) : nullptr;
    if (token == nullptr) {
      ++pos;
      continue;
    }
    if (pos > begin) on_text(text.substr(begin, pos - begin));
    on_token(token->id);
    pos += token->content.size();
    begin = pos;
  }
  if (begin < text.size()) on_text(text.substr(begin));
}

}  // namespace ziprl
