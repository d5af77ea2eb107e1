// A named number of a summary.
#pragma once

#include <string>

namespace ziprl {

struct Figure {
  std::string name;
  double value = 0;
};

}  // namespace ziprl
