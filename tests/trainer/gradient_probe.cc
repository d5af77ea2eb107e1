// gradient_probe grpo MODEL OUT: one step of the paper recipe at p = 1 on generated groups.
// gradient_probe sft MODEL OUT ROWS.jsonl: the loss of all rows.
// Writes OUT.safetensors with the gradient of every parameter and OUT.json with the sequences and
// the loss.
#include <ATen/ATen.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "configs/base/files.h"
#include "model/safetensors.h"
#include "model/visual_features.h"
#include "tests/rollout/engine_case.h"
#include "tests/trainer/learner_case.h"
#include "trainer/sft_dataset.h"
#include "trainer/unit_runner.h"

namespace ziprl {
namespace {

using nlohmann::json;

void Write(const std::string& out, const Model& model, const std::vector<at::Tensor>& grads,
           const json& about) {
  std::vector<at::Tensor> held;
  std::vector<TensorView> views;
  for (size_t i = 0; i < grads.size(); ++i) {
    held.push_back(grads[i].defined() ? grads[i].contiguous()
                                      : at::zeros(model.params.tensor(i).sizes(),
                                                  at::TensorOptions().dtype(at::kFloat)));
    views.push_back({model.params.name(i), "F32", held.back().sizes().vec(), held.back().data_ptr(),
                     static_cast<size_t>(held.back().numel()) * 4});
  }
  MustOk(WriteSafetensors(out + ".safetensors", views, {}));
  MustOk(WriteFileAtomically(out + ".json", about.dump()));
}

void Grpo(const std::shared_ptr<Model>& model, const std::string& out) {
  RunConfig config = TinyRun("paper");
  config.trainer.deterministic = false;
  config.trainer.threads = 2;
  const auto groups = TinyGroups(config, model, 2, 130, {1.0});
  const StepAdvantages advantages = TinyAdvantages(config, groups);
  const StepGradient step = GradientOf(config, model, groups, advantages);
  json about = {{"loss", step.loss}, {"suppressed", model->processor->SuppressedIds()}};
  for (size_t g = 0; g < groups.size(); ++g) {
    for (size_t i = 0; i < groups[g].completions.size(); ++i) {
      const Completion& c = groups[g].completions[i];
      about["samples"].push_back({{"prompt", groups[g].prompt.token_ids},
                                  {"response", c.token_ids},
                                  {"logprobs", c.logprobs},
                                  {"advantage", advantages.groups[g][i].advantage},
                                  {"image", groups[g].prompt.media[0].source}});
    }
  }
  Write(out, *model, step.grads, about);
}

void Sft(const std::shared_ptr<Model>& model, const std::string& out, const std::string& rows) {
  RunConfig config;
  config.sft.files = {rows};
  config.data.shuffle = false;
  auto data = MustValue(SftDataset::Open(config));
  const auto sequences = MustValue(data->Next(*model, static_cast<int>(data->rows()), 2));
  double targets = 0;
  for (const TrainSequence& s : sequences) targets += static_cast<double>(s.target_ids.size());
  UnitRunner::Config runner_config;
  runner_config.workers = 2;
  VisualFeatures features;
  UnitRunner runner(*model, features, runner_config);
  std::vector<double> losses(sequences.size());
  MustOk(runner.Run(sequences, MakeUnits(sequences, {2, 700, false}), nullptr,
                    [&](const std::vector<int>& pack, int, const PackPass&,
                        const PassResult& result) -> absl::StatusOr<std::vector<float>> {
                      size_t next = 0;
                      for (int i : pack) {
                        for (size_t t = 0; t < sequences[i].target_ids.size(); ++t) {
                          losses[i] -= result.logprob[next++] / targets;
                        }
                      }
                      return std::vector<float>(next, static_cast<float>(-1 / targets));
                    }));
  json about = {{"loss", 0.0}};
  for (size_t i = 0; i < sequences.size(); ++i) {
    about["loss"] = about["loss"].get<double>() + losses[i];
    about["rows"].push_back({{"ids", sequences[i].ids},
                             {"target_rows", sequences[i].target_rows},
                             {"target_ids", sequences[i].target_ids}});
  }
  std::vector<at::Tensor> grads;
  for (size_t i = 0; i < runner.gradients().size(); ++i) grads.push_back(runner.gradients().sum(i));
  Write(out, *model, grads, about);
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  const std::vector<std::string> args(argv, argv + argc);
  if (argc < 4) return 2;
  const auto model = ziprl::TinyModel(args[2]);
  if (args[1] == "grpo") {
    ziprl::Grpo(model, args[3]);
  } else {
    ziprl::Sft(model, args[3], args.at(4));
  }
}
