// UTF-8 and the Unicode properties tokenisation depends on, exactly as the `tokenizers` library
// (0.23) sees them: classes of Unicode 17 (Oniguruma), NFC with the combining classes of Unicode 9.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ziprl {

inline constexpr char32_t kReplacement = 0xFFFD;

enum class CharClass : uint8_t { kOther, kLetter, kNumber, kSpace };  // \p{L}, \p{N}, \s

CharClass ClassOf(char32_t code_point);

// The code point at *pos of valid UTF-8; moves *pos behind it.
char32_t NextCodePoint(std::string_view text, size_t* pos);

void AppendUtf8(char32_t code_point, std::string* out);

bool IsValidUtf8(std::string_view bytes);

// Each maximal invalid part becomes one U+FFFD, as Rust's from_utf8_lossy does.
std::string ReplaceInvalidUtf8(std::string_view bytes);

// Whether canonical composition cannot change valid UTF-8: a quick look; false may err.
bool IsPlainlyNfc(std::string_view text);

// Canonical composition of valid UTF-8. Linear up to sorting runs of combining marks.
std::string Nfc(std::string_view text);

}  // namespace ziprl
