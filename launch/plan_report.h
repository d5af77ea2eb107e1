// A plan as a table and as JSON.
#pragma once

#include <string>

#include "trainer/plan/plan.h"

namespace ziprl {

std::string PlanTable(const PlanInput& input, const Plan& plan);
// One object; keys as in docs/planning.md.
std::string PlanJson(const PlanInput& input, const Plan& plan);

}  // namespace ziprl
