// Our side of generate.py: a model that generates on request. Every line on standard input,
// "PROMPTS SAMPLES TOKENS", is answered by the seconds that so many samples of each of the first
// rows took. One thread, dense attention, temperature 1, responses of the full length. usage:
// bench_generate MODEL ROWS DTYPE
#include <cstdlib>
#include <iostream>
#include <memory>
#include <utility>
#include <vector>

#include "launch/training_setup.h"
#include "rollout/sparse_engine.h"
#include "tests/bench/must.h"
#include "tests/bench/report.h"
#include "trainer/data/prompt_dataset.h"

namespace ziprl {
namespace {

RunConfig Settings(const std::string& model, const std::string& rows, const std::string& dtype) {
  RunConfig config;
  config.model.path = model;
  config.model.dtype = dtype;
  config.data.train_files = {rows};
  config.data.shuffle = false;
  config.trainer.threads = 1;
  config.rollout.ignore_eos = true;
  config.rollout.rescore_interval = 0;
  return config;
}

class Generator {
 public:
  explicit Generator(RunConfig config)
      : config_(std::move(config)), model_(Must(OpenConfiguredModel(config_))) {}

  double Seconds(int prompts, int samples, int tokens) {
    config_.data.max_response_length = tokens;
    auto engine =
        Must(MakeSparseEngine(TrainingEngineConfig(config_), model_, MakeVisualFeatures()));
    const std::vector<GroupLease> leases = Leases(prompts, samples);
    std::vector<std::vector<Completion>> completions;
    const double seconds = ziprl::Seconds([&] { completions = Must(engine->Generate(leases)); });
    for (const auto& group : completions) {
      for (const Completion& sample : group) {
        if (static_cast<int>(sample.token_ids.size()) != tokens) std::abort();
      }
    }
    return seconds;
  }

 private:
  std::vector<GroupLease> Leases(int prompts, int samples) {
    auto rows = Must(
        PromptDataset::Open(TrainDataConfig(config_.data), EncodeWith(ModelProcessor(*model_))));
    std::vector<GroupLease> leases(prompts);
    for (GroupLease& lease : leases) {
      lease.prompt = Must(rows->Next());
      for (int i = 0; i < samples; ++i) {
        lease.samples.push_back({i, 1.0, lease.prompt.id * samples + i});
      }
    }
    return leases;
  }

  RunConfig config_;
  std::shared_ptr<Model> model_;
};

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  if (argc != 4) {
    std::cerr << "usage: bench_generate MODEL ROWS DTYPE\n";
    return 2;
  }
  ziprl::Generator generator(ziprl::Settings(argv[1], argv[2], argv[3]));
  for (int prompts, samples, tokens; std::cin >> prompts >> samples >> tokens;) {
    std::cout << generator.Seconds(prompts, samples, tokens) << std::endl;
  }
}
