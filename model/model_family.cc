#include "model/model_family.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "model/qwen2_5_vl.h"
#include "model/qwen2_vl.h"

namespace ziprl {

std::span<const ModelFamily* const> ModelFamilies() {
  static constexpr std::array<const ModelFamily*, 2> kFamilies = {&kQwen2Vl, &kQwen25Vl};
  return kFamilies;
}

absl::StatusOr<const ModelFamily*> FindModelFamily(const std::string& model_type) {
  std::vector<std::string> known;
  for (const ModelFamily* family : ModelFamilies()) {
    if (model_type == family->model_type) return family;
    known.push_back(absl::StrCat("\"", family->model_type, "\""));
  }
  return absl::InvalidArgumentError(absl::StrCat("unsupported model_type \"", model_type,
                                                 "\", supported are ",
                                                 absl::StrJoin(known, " and ")));
}

const ModelFamily& FamilyOf(const Architecture& arch) {
  const auto family = FindModelFamily(arch.model_type);
  if (family.ok()) return **family;
  std::fprintf(stderr, "FamilyOf: %s\n", std::string(family.status().message()).c_str());
  std::abort();
}

}  // namespace ziprl
