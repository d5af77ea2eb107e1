// Our side of learner.py: a learner that takes steps on request, one thread, p = 1, layers' graphs
// kept. Commands on standard input, each answered by a line:
//   gemm                              GFLOP/s of a large matrix product in the model's type; of
//   bf16
//                                     in fp32, where products of bf16 would be emulated
//   rows PROMPTS SAMPLES TOKENS       a step of the first rows: "SECONDS GFLOP PEAK"
//   text GROUPS SAMPLES WORDS TOKENS  a step of groups that all have the same random text
// GFLOP: the products that the step cannot do without when nothing is shared between samples. PEAK:
// bytes above those resident before the step. usage: bench_learner MODEL ROWS DTYPE
#include "trainer/learner.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "model/model_handle.h"
#include "model/tiled_product.h"
#include "model/visual_features.h"
#include "tests/bench/bench_model.h"
#include "tests/bench/peak_memory.h"
#include "tests/bench/report.h"
#include "trainer/data/prompt_dataset.h"

namespace ziprl {
namespace {

constexpr int64_t kTotalSteps = 1000;

RunConfig Settings(const std::string& model, const std::string& rows, const std::string& dtype) {
  RunConfig config;
  config.model.path = model;
  config.model.dtype = dtype;
  config.data.train_files = {rows};
  config.data.shuffle = false;
  config.rollout.thresholds = {1};
  config.rollout.rescore_interval = 0;
  config.actor.recompute = "none";
  config.actor.optim.lr = 1e-5;
  config.trainer.threads = 1;
  return config;
}

class Trainer {
 public:
  explicit Trainer(RunConfig config)
      : config_(std::move(config)),
        model_(Must(OpenModel(config_.model, false))),
        learner_(Must(Learner::Create(config_, model_, std::make_shared<VisualFeatures>(), nullptr,
                                      kTotalSteps))) {}

  double GemmRate() const {
    // A processor without instructions for bf16 multiplies it fastest in fp32.
    const int64_t n = 2048;
    const at::Tensor a = Multiplicand(at::randn({n, n}, model_->device.Options()));
    const at::Tensor b = Multiplicand(at::randn({n, n}, model_->device.Options()));
    at::mm(a, b);
    double seconds = ziprl::Seconds([&] { at::mm(a, b); });
    for (int i = 0; i < 4; ++i) {  // the best: a machine's rate is what it can do
      seconds = std::min(seconds, ziprl::Seconds([&] { at::mm(a, b); }));
    }
    return 2e-9 * static_cast<double>(n * n * n) / seconds;
  }

  std::vector<ScoredGroup> Rows(int prompts, int samples, int tokens) const {
    auto rows = Must(
        PromptDataset::Open(TrainDataConfig(config_.data), EncodeWith(ModelProcessor(*model_))));
    std::vector<ScoredGroup> groups;
    for (int i = 0; i < prompts; ++i) groups.push_back(Group(Must(rows->Next()), samples, tokens));
    return groups;
  }

  std::vector<ScoredGroup> Text(int groups, int samples, int words, int tokens) const {
    return std::vector<ScoredGroup>(groups,
                                    Group(RandomPrompt(*model_, 0, words, 1), samples, tokens));
  }

  void Step(std::vector<ScoredGroup> groups) {
    for (ScoredGroup& group : groups) {
      group.version = model_->version;
      for (Completion& sample : group.completions) sample.version = model_->version;
    }
    const StepAdvantages advantages = Advantages(groups);
    const int64_t before = ResetPeak();
    const double seconds = ziprl::Seconds([&] {
      if (Must(learner_->Step(groups, advantages)).skipped) std::abort();
    });
    std::cout << seconds << " " << 1e-9 * Flop(groups) << " " << PeakBytes() - before << std::endl;
  }

 private:
  // Random responses; the ids of single bytes.
  ScoredGroup Group(const Prompt& prompt, int samples, int tokens) const {
    ScoredGroup group;
    group.lease_id = group.group_seed = prompt.id + 1;
    group.prompt = prompt;
    for (int i = 0; i < samples; ++i) {
      Completion sample;
      sample.index = i;
      sample.token_ids = RandomPrompt(*model_, 0, tokens, 100 + i).token_ids;
      sample.logprobs.assign(tokens, -6.0f);
      Bitmap all(static_cast<uint32_t>(prompt.token_ids.size()));
      for (uint32_t j = 0; j < all.size; ++j) all.Set(j);
      sample.kept.events.emplace_back(model_->arch.layers, all);
      sample.digest = sample.kept.Digest();
      group.completions.push_back(std::move(sample));
      Score score;
      score.status = ScoreStatus::kScored;
      score.components["accuracy"] = i % 2;
      group.scores.push_back(score);
    }
    return group;
  }

  static StepAdvantages Advantages(const std::vector<ScoredGroup>& groups) {
    StepAdvantages out;
    for (size_t g = 0; g < groups.size(); ++g) {
      out.groups.emplace_back(groups[g].completions.size());
      for (size_t i = 0; i < out.groups[g].size(); ++i) {
        out.groups[g][i].used = true;
        out.groups[g][i].advantage = (g + i) % 2 == 0 ? 1.0 : -1.0;
      }
    }
    return out;
  }

  // Forward once, backward twice as much: decoder layers on every row, head on responses, tower
  // once a group (its attention left out).
  double Flop(const std::vector<ScoredGroup>& groups) const {
    const Architecture& arch = model_->arch;
    double layers = 0, tower = 0;
    for (size_t i = 0; i < model_->params.size(); ++i) {
      const std::string& name = model_->params.name(i);
      if (model_->params.tensor(i).dim() < 2) continue;
      const auto elements = static_cast<double>(model_->params.tensor(i).numel());
      if (IsVisionParam(name)) tower += elements / (name.find("merger") == name.npos ? 1 : 4);
      if (name.starts_with("model.layers.")) layers += elements;
    }
    double products = 0;
    for (const ScoredGroup& group : groups) {
      const auto& ids = group.prompt.token_ids;
      products +=
          4 * tower * static_cast<double>(std::count(ids.begin(), ids.end(), arch.image_token));
      for (const Completion& sample : group.completions) {
        const auto tokens = static_cast<double>(sample.token_ids.size());
        const double rows = static_cast<double>(ids.size()) + tokens - 1;
        products += layers * rows + tokens * arch.hidden * arch.vocab;
        products +=
            rows * rows * arch.heads * arch.head_dim * arch.layers;  // causal half, q k and p v
      }
    }
    return 6 * products;
  }

  const RunConfig config_;
  const std::shared_ptr<Model> model_;
  const std::unique_ptr<Learner> learner_;
};

int Serve(const std::string& model, const std::string& rows, const std::string& dtype) {
  Trainer trainer(Settings(model, rows, dtype));
  int groups = 0, samples = 0, words = 0, tokens = 0;
  for (std::string command; std::cin >> command;) {
    if (command == "gemm") {
      std::cout << trainer.GemmRate() << std::endl;
    } else if (command == "rows" && std::cin >> groups >> samples >> tokens) {
      trainer.Step(trainer.Rows(groups, samples, tokens));
    } else if (command == "text" && std::cin >> groups >> samples >> words >> tokens) {
      trainer.Step(trainer.Text(groups, samples, words, tokens));
    } else {
      return 2;
    }
  }
  return 0;
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  if (argc == 4) return ziprl::Serve(argv[1], argv[2], argv[3]);
  std::cerr << "usage: bench_learner MODEL ROWS DTYPE\n";
  return 2;
}
