// Records of tab-separated values as pandas writes them: a field may stand in double quotes, a
// quote within them doubled. Pure.
#pragma once

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace ziprl {

// The fields of a record, quotes taken off. A carriage return at its end is no part of it.
std::vector<std::string> SplitRecord(absl::string_view record);

// A field as it stands in a record: in quotes where it holds a tab, a quote or a line end.
std::string TableField(absl::string_view value);

}  // namespace ziprl
