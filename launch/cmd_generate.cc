#include <iostream>
#include <utility>

#include "absl/strings/str_format.h"
#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "configs/base/status_macros.h"
#include "launch/command.h"
#include "model/model_handle.h"
#include "rollout/sparse_engine.h"

namespace ziprl {
namespace {

struct Options {
  ModelConfig model;
  std::vector<std::string> images, videos;
  double video_fps = 0;
  std::string prompt;
  double p = 0.975;
  uint64_t seed = 0;
  EngineConfig engine;
};

// The turn's media in the order of their marks; what has no mark is left for the processor to say.
absl::StatusOr<std::vector<MediaRef>> OpenMedia(const Options& options,
                                                const std::vector<ContentItem>& turn) {
  std::vector<MediaRef> media;
  size_t image = 0, video = 0;
  for (const ContentItem& item : turn) {
    if (item.kind == ContentItem::Kind::kImage && image < options.images.size()) {
      ZIPRL_ASSIGN_OR_RETURN(MediaRef one, ReadMedia(options.images[image++]));
      media.push_back(std::move(one));
    } else if (item.kind == ContentItem::Kind::kVideo && video < options.videos.size()) {
      ZIPRL_ASSIGN_OR_RETURN(MediaRef one, ReferToVideo(options.videos[video++]));
      media.push_back(std::move(one));
    }
  }
  const size_t left = options.images.size() - image + options.videos.size() - video;
  if (left == 0) return media;
  return absl::InvalidArgumentError(absl::StrCat("--prompt marks ", image, " of ",
                                                 options.images.size(), " images and ", video,
                                                 " of ", options.videos.size(), " videos"));
}

// One user turn. Without `<image>` or `<video>` marks in the text those come first.
absl::StatusOr<GroupLease> MakeLease(const Options& options, const Processor& processor) {
  std::string text = options.prompt;
  const std::pair<const char*, size_t> kinds[] = {{"<video>", options.videos.size()},
                                                  {"<image>", options.images.size()}};
  for (const auto& [mark, count] : kinds) {
    if (options.prompt.find(mark) != std::string::npos) continue;
    for (size_t i = 0; i < count; ++i) text.insert(0, mark);
  }
  const Message turn = {"user", SplitMarks(text)};
  GroupLease lease;
  ZIPRL_ASSIGN_OR_RETURN(lease.prompt.media, OpenMedia(options, turn.content));
  ZIPRL_ASSIGN_OR_RETURN(
      lease.prompt.token_ids,
      processor.PromptIds({turn}, lease.prompt.media, /*add_generation_prompt=*/true));
  lease.group_seed = options.seed;
  lease.samples = {{0, options.p, options.seed}};
  return lease;
}

void Print(const Prompt& prompt, const Completion& answer, absl::Duration time) {
  std::string kept;
  for (const Bitmap& layer : answer.kept.events[0]) {
    absl::StrAppendFormat(&kept, "%s%d", kept.empty() ? "" : " ", layer.Count());
  }
  std::cout << answer.text << "\n"
            << absl::StreamFormat("kept: %.1f %% of %d prompt tokens at p = %g (per layer: %s)\n",
                                  100 * answer.kept_ratio, prompt.token_ids.size(), answer.p, kept)
            << absl::StreamFormat("time: %.3f s, %d tokens\n", absl::ToDoubleSeconds(time),
                                  answer.token_ids.size());
}

absl::Status Answer(const Options& options) {
  ZIPRL_ASSIGN_OR_RETURN(const std::shared_ptr<Model> model,
                         OpenModel(options.model, /*vision_frozen=*/true));
  VideoProcessorConfig& videos = MutableModelProcessor(*model).mutable_media().video;
  if (options.video_fps > 0) {
    videos.fps = options.video_fps;
    videos.num_frames = 0;
  }
  ZIPRL_ASSIGN_OR_RETURN(const GroupLease lease, MakeLease(options, ModelProcessor(*model)));
  ZIPRL_ASSIGN_OR_RETURN(const auto engine,
                         MakeSparseEngine(options.engine, model, MakeVisualFeatures()));
  const absl::Time start = absl::Now();
  ZIPRL_ASSIGN_OR_RETURN(const auto completions, engine->Generate({lease}));
  Print(lease.prompt, completions[0][0], absl::Now() - start);
  return absl::OkStatus();
}

}  // namespace

int RunGenerate(const Args& args) {
  CLI::App app(
      "Answers one prompt and says how many prompt tokens were kept and how long it took.\n"
      "Example: ziprl generate MODEL --image photo.png --prompt \"What is this?\"",
      "ziprl generate");
  Options options;
  options.engine.temperature = 0.0;
  app.add_option("model", options.model.path, "Hugging Face directory")->required();
  app.add_option("--prompt", options.prompt, "user text; <image> and <video> marks place them")
      ->required();
  app.add_option("--image", options.images,
                 "PNG, JPEG, WebP or GIF file; may be given several times");
  app.add_option("--video", options.videos,
                 "MP4, WebM, GIF or AVI file; may be given several times");
  app.add_option("--video-fps", options.video_fps,
                 "frames sampled from a second of video; 0 = the checkpoint's, else 2")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--p", options.p, "sparsity threshold in (0, 1]; 1 is dense")
      ->capture_default_str();
  app.add_option("--temperature", options.engine.temperature, "0 = greedy")->capture_default_str();
  app.add_option("--max-response-length", options.engine.max_response_length, "tokens")
      ->capture_default_str();
  app.add_option("--rescore-interval", options.engine.rescore_interval,
                 "re-compress the cache every so many generated tokens; 0 = never")
      ->capture_default_str();
  app.add_option("--seed", options.seed, "of probes and sampling")->capture_default_str();
  app.add_option("--threads", options.engine.threads, "CPU threads")->capture_default_str();
  app.add_option("--device", options.model.device, "auto | cpu | cuda")->capture_default_str();
  app.add_option("--dtype", options.model.dtype, "fp32 | bf16")->capture_default_str();
  return ParseAndRun(app, args, [&] {
    SetIntraOpThreads(options.engine.threads);
    return Answer(options);
  });
}

}  // namespace ziprl
