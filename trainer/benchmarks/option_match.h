// Which option of a multiple choice a response names, by the rules of the benchmarks' own scripts:
// no model is asked. Pure.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ziprl {

inline char OptionLetter(size_t option) { return static_cast<char>('A' + option); }

// VLMEvalKit's exact matching as of August 2025 (MMBench, MMStar). With .()[],:;!*#{} taken for
// blanks, the one letter of an option that stands as a word, first among the last four; else, of a
// response not longer than twice the options together, the one option whose text occurs in it. 'Z'
// for a refusal; nullopt for neither.
std::optional<char> InferOption(const std::string& response,
                                const std::vector<std::string>& options);

// MMMU's parser, with MMMU-Pro's rule before it: the one letter behind the last "Answer:"; else the
// last of "(B)", else of "B ", else of "B.", else, of more than five words, of the options' texts.
// nullopt where the published script would draw an option at random.
std::optional<char> ParseMmmuOption(const std::string& response,
                                    const std::vector<std::string>& options);

// Video-MME's: phrases like "The answer is" are taken off, then the first A, B, C or D counts.
std::optional<char> FirstOptionLetter(const std::string& response);

}  // namespace ziprl
