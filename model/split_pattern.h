// The Qwen2 pre-tokenisation pattern as a hand-written scanner: linear, no back-tracking limits.
#pragma once

#include <functional>
#include <string_view>

namespace ziprl {

// The regular expression the scanner equals, as tokenizer.json carries it.
extern const char kQwenSplitPattern[];

// End of the piece that starts at `begin` of valid UTF-8 (begin < text.size()).
size_t PieceEnd(std::string_view text, size_t begin);

// Calls fn for each piece of the text in order; together they are the text.
void SplitPieces(std::string_view text, const std::function<void(std::string_view)>& fn);

}  // namespace ziprl
