// Our side of generate.py: a model that generates on request. Every line on standard input,
// "PROMPTS SAMPLES TOKENS forced|uneven", is answered by the seconds that so many samples of each
// of the first rows took, and by their tokens. One thread, dense attention, temperature 1; forced
// responses have the full length. usage: bench_generate MODEL ROWS DTYPE
#include <iostream>
#include <memory>
#include <string>
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
  config.rollout.rescore_interval = 0;
  return config;
}

class Generator {
 public:
  explicit Generator(RunConfig config)
      : config_(std::move(config)), model_(Must(OpenConfiguredModel(config_))) {}

  struct Took {
    double seconds = 0;
    size_t tokens = 0;
  };
  Took Generate(int prompts, int samples, int tokens, bool forced) {
    config_.data.max_response_length = tokens;
    config_.rollout.ignore_eos = forced;
    auto engine =
        Must(MakeSparseEngine(TrainingEngineConfig(config_), model_, MakeVisualFeatures()));
    const std::vector<GroupLease> leases = Leases(prompts, samples);
    std::vector<std::vector<Completion>> completions;
    Took took;
    took.seconds = Seconds([&] { completions = Must(engine->Generate(leases)); });
    for (const auto& group : completions) {
      for (const Completion& sample : group) took.tokens += sample.token_ids.size();
    }
    return took;
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
  std::string lengths;
  for (int prompts, samples, tokens; std::cin >> prompts >> samples >> tokens >> lengths;) {
    const auto took = generator.Generate(prompts, samples, tokens, lengths == "forced");
    std::cout << took.seconds << ' ' << took.tokens << std::endl;
  }
}
