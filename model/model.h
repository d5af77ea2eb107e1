// A loaded model: architecture, parameters, device and the processor of its directory. In one
// process the engine and the learner share one Model; whoever updates parameters raises `version`.
#pragma once

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "model/architecture.h"
#include "model/budget_head.h"
#include "model/device.h"
#include "model/params.h"
#include "model/processor.h"

namespace ziprl {

struct Model {
  Architecture arch;
  ParamStore params;
  Device device;
  std::unique_ptr<Processor> processor;
  std::string dir;             // where tokenizer and processor files are copied from on save
  int64_t version = 0;         // the policy's, of the parameters
  BudgetHead budget_head;      // recipe `budget` only; undefined tensors otherwise
  bool vision_frozen = false;  // the tower never changes: its outputs may be kept across versions
};

absl::StatusOr<std::shared_ptr<Model>> LoadModel(const std::string& dir, const Device& device);

}  // namespace ziprl
