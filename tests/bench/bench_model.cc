#include "tests/bench/bench_model.h"

#include <stdlib.h>

#include <cmath>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "configs/base/counter_rng.h"
#include "model/model_handle.h"
#include "model/png_writer.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr int kSide = 512;  // pixels; 32 x 32 tokens of 2 x 2 patches of 8 x 8

MediaRef RandomImage(uint64_t seed) {
  Image image;
  image.width = image.height = kSide;
  image.pixels.resize(3 * kSide * kSide);
  for (size_t i = 0; i < image.pixels.size(); i += 8) {
    const uint64_t random = PhiloxU64(seed, i, 0, 0, RngStream::kInit);
    for (size_t j = 0; j < 8; ++j) image.pixels[i + j] = static_cast<uint8_t>(random >> (8 * j));
  }
  return MediaFromBytes(Must(EncodePng(image)), "random image");
}

}  // namespace

std::shared_ptr<Model> RandomModel(const std::string& size) {
  SetIntraOpThreads(1);
  std::string dir = (std::filesystem::temp_directory_path() / "bench_model.XXXXXX").string();
  if (mkdtemp(dir.data()) == nullptr) std::exit(1);
  InitOptions options;
  options.architecture_file = absl::StrCat("tests/bench/models/", size, ".json");
  options.out_dir = absl::StrCat(dir, "/model");
  options.corpus = {"What shape is in the image? What color is the shape? Is there a circle?"};
  options.seed = 1;
  const absl::Status made = InitModelDirectory(options);
  absl::StatusOr<std::shared_ptr<Model>> model =
      made.ok() ? LoadModel(options.out_dir, Must(MakeDevice("cpu", "fp32")))
                : absl::StatusOr<std::shared_ptr<Model>>(made);
  std::filesystem::remove_all(dir);
  return Must(std::move(model));
}

EngineConfig BenchEngine(int response) {
  EngineConfig config;
  config.max_response_length = response;
  config.ignore_eos = true;
  config.rescore_interval = 0;
  return config;
}

Prompt RandomPrompt(const Model& model, int images, int text, uint64_t seed) {
  Prompt prompt;
  prompt.id = seed;
  for (int i = 0; i < images; ++i) {
    prompt.media.push_back(RandomImage(seed * 1000 + i));
    const Grid grid = Must(model.processor->GridOf(prompt.media.back()));
    const int merged = model.arch.vision.merge * model.arch.vision.merge;
    prompt.token_ids.push_back(model.arch.vision_start_token);
    prompt.token_ids.insert(prompt.token_ids.end(), grid.t * grid.h * grid.w / merged,
                            model.arch.image_token);
    prompt.token_ids.push_back(model.arch.vision_end_token);
  }
  for (int i = 0; i < text; ++i) {
    prompt.token_ids.push_back(
        static_cast<int32_t>(PhiloxU64(seed, i, 1, 0, RngStream::kInit) % 256));
  }
  return prompt;
}

GroupLease LeaseOf(const Model& model, const Prompt& prompt, int samples, double p) {
  GroupLease lease;
  lease.lease_id = lease.group_seed = prompt.id;
  lease.prompt = prompt;
  lease.version = model.version;
  for (int i = 0; i < samples; ++i) {
    lease.samples.push_back({i, p, prompt.id * 1000 + static_cast<uint64_t>(i)});
  }
  return lease;
}

Generated Generate(const std::shared_ptr<Model>& model, const std::vector<GroupLease>& leases,
                   int response) {
  auto engine = Must(MakeSparseEngine(BenchEngine(response), model, MakeVisualFeatures()));
  Generated out;
  std::vector<std::vector<Completion>> completions;
  out.seconds = Seconds([&] { completions = Must(engine->Generate(leases)); });
  out.kept_ratio = completions[0][0].kept_ratio;
  return out;
}

double QuarterThreshold(const std::shared_ptr<Model>& model, const Prompt& prompt) {
  double p = 0.25;
  for (int i = 0; i < 4; ++i) {
    const double kept = Generate(model, {LeaseOf(*model, prompt, 1, p)}, 1).kept_ratio;
    if (std::abs(kept - 0.25) < 0.01) break;
    p = std::min(0.99, p * 0.25 / kept);
  }
  return p;
}

}  // namespace ziprl
