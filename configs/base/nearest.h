// "Did you mean": the known name that needs the fewest single-letter edits. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ziprl {

// Insertions, deletions and substitutions that turn a into b.
int EditDistance(std::string_view a, std::string_view b);

// The first of the nearest candidates; empty when there are none.
std::string Nearest(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace ziprl
