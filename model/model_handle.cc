#include "model/model_handle.h"

#include <ATen/Parallel.h>

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>

#include "absl/strings/str_cat.h"
#include "configs/base/files.h"
#include "configs/base/status_macros.h"
#include "model/hf_directory.h"
#include "model/init_param.h"
#include "model/model.h"
#include "model/model_family.h"
#include "model/processor_files.h"
#include "model/visual_features.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;

// Builds a directory at `out` through a temporary neighbour, so that it is whole or absent.
absl::Status BuildDirectory(
    const std::string& out,
    const std::function<absl::Status(const std::string& temporary)>& build) {
  std::error_code error;
  if (fs::exists(out) && !fs::is_empty(out, error)) {
    return absl::AlreadyExistsError(absl::StrCat(out, ": exists and is not empty"));
  }
  const std::string temporary = absl::StrCat(out, ".tmp");
  fs::remove_all(temporary, error);
  absl::Status status = build(temporary);
  if (status.ok()) {
    fs::remove(out, error);
    status = RenameDurably(temporary, out);
  }
  if (!status.ok()) fs::remove_all(temporary, error);
  return status;
}

struct InitFile {
  nlohmann::json config, image_processor;
  int tokenizer_vocab = 0;
  double init_std = 0.02;
};

absl::StatusOr<InitFile> ReadInitFile(const std::string& path) {
  ZIPRL_ASSIGN_OR_RETURN(const std::string text, ReadFile(path));
  try {
    const auto json = nlohmann::json::parse(text);
    InitFile file;
    file.config = json.at("config");
    file.image_processor = json.at("image_processor");
    file.tokenizer_vocab = json.at("tokenizer_vocab");
    file.init_std = json.at("init_std");
    return file;
  } catch (const nlohmann::json::exception& error) {
    return absl::InvalidArgumentError(absl::StrCat(path, ": ", error.what()));
  }
}

// The corpus with the template's own words once per text, as every prompt will hold them.
std::vector<std::string> WithTemplateWords(const std::vector<std::string>& corpus) {
  std::vector<std::string> out = corpus;
  for (size_t i = 0; i < corpus.size(); ++i) {
    for (const char* text :
         {"system\nYou are a helpful assistant.", "\n", "user\n", "assistant\n"}) {
      out.push_back(text);
    }
  }
  return out;
}

// The token ids that a config names, from the tokenizer that was just trained.
void FillTokenIds(const Tokenizer& tokenizer, nlohmann::json& config) {
  nlohmann::json& vocab = config["text_config"]["vocab_size"];
  const int rounded = (tokenizer.vocab_size() + 15) / 16 * 16;
  if (!vocab.is_number_integer() || vocab < rounded) vocab = rounded;
  config["vocab_size"] = vocab;
  config["image_token_id"] = tokenizer.TokenId("<|image_pad|>");
  config["video_token_id"] = tokenizer.TokenId("<|video_pad|>");
  config["vision_start_token_id"] = tokenizer.TokenId("<|vision_start|>");
  config["vision_end_token_id"] = tokenizer.TokenId("<|vision_end|>");
  for (nlohmann::json* part : {&config, &config["text_config"]}) {
    (*part)["bos_token_id"] = tokenizer.TokenId("<|endoftext|>");
    (*part)["eos_token_id"] = tokenizer.TokenId("<|im_end|>");
    (*part)["pad_token_id"] = tokenizer.TokenId("<|endoftext|>");
  }
}

}  // namespace

absl::StatusOr<std::shared_ptr<Model>> OpenModel(const ModelConfig& config, bool vision_frozen) {
  ZIPRL_ASSIGN_OR_RETURN(const Device device, MakeDevice(config.device, config.dtype, config.gpu));
  ZIPRL_ASSIGN_OR_RETURN(auto model, LoadModel(config.path, device));
  model->vision_frozen = vision_frozen;
  return model;
}

absl::StatusOr<ModelDevice> DeviceOf(const ModelConfig& config) {
  ZIPRL_ASSIGN_OR_RETURN(const Device device, MakeDevice(config.device, config.dtype, config.gpu));
  return ModelDevice{device.device.is_cuda(), [device] { return CurrentStream(device.device); }};
}

const Processor& ModelProcessor(const Model& model) { return *model.processor; }
Processor& MutableModelProcessor(Model& model) { return *model.processor; }
int64_t ParameterCount(const Model& model) { return model.params.NumElements(); }

std::shared_ptr<VisualFeatures> MakeVisualFeatures() { return std::make_shared<VisualFeatures>(); }

int64_t ModelVersion(const Model& model) { return model.version; }

void AddBudgetHead(Model& model) {
  model.budget_head = ZeroBudgetHead(model.arch.hidden, model.device);
}

absl::Status ReadBudgetHead(const std::string& dir, Model& model) {
  ZIPRL_ASSIGN_OR_RETURN(model.budget_head, LoadBudgetHead(dir, model.arch.hidden, model.device));
  return absl::OkStatus();
}

absl::Status SaveModelAs(const Model& model, const std::string& out_dir, const std::string& dtype) {
  return BuildDirectory(out_dir, [&](const std::string& temporary) {
    return SaveModelDirectory(temporary, model.arch, model.params,
                              dtype.empty() ? model.arch.dtype : dtype, model.dir);
  });
}

absl::StatusOr<int64_t> CopyModelDirectory(const std::string& from, const std::string& to,
                                           const std::string& dtype) {
  ZIPRL_ASSIGN_OR_RETURN(const Architecture arch, LoadArchitecture(from));
  ZIPRL_RETURN_IF_ERROR(Processor::Load(from).status());
  const std::string stored = dtype.empty() ? arch.dtype : dtype;
  ZIPRL_ASSIGN_OR_RETURN(const Device device,
                         MakeDevice("cpu", stored == "bfloat16" ? "bf16" : "fp32"));
  ZIPRL_ASSIGN_OR_RETURN(const ParamSource params, OpenParams(from, arch, device));
  ZIPRL_RETURN_IF_ERROR(BuildDirectory(to, [&](const std::string& temporary) {
    return SaveModelDirectory(temporary, arch, params, stored, from);
  }));
  int64_t count = 0;
  for (const ParamSpec& spec : params.specs) {
    count += std::accumulate(spec.shape.begin(), spec.shape.end(), int64_t{1}, std::multiplies<>());
  }
  return count;
}

absl::Status InitModelDirectory(const InitOptions& options) {
  ZIPRL_ASSIGN_OR_RETURN(InitFile file, ReadInitFile(options.architecture_file));
  ZIPRL_ASSIGN_OR_RETURN(
      const std::string tokenizer_json,
      TrainTokenizerJson(WithTemplateWords(options.corpus), file.tokenizer_vocab));
  ZIPRL_ASSIGN_OR_RETURN(const auto tokenizer, Tokenizer::Parse(tokenizer_json, "tokenizer.json"));
  FillTokenIds(*tokenizer, file.config);
  file.config["dtype"] = options.dtype;
  ZIPRL_ASSIGN_OR_RETURN(const Architecture arch,
                         ParseArchitecture(file.config.dump(), "", options.architecture_file));
  ParamSource params;
  params.specs = ParamSpecs(arch);
  params.tensor = [&](size_t i) -> absl::StatusOr<at::Tensor> {
    return InitParam(params.specs[i], i, options.seed, file.init_std);
  };
  const std::string assets = absl::StrCat(options.out_dir, ".assets");
  std::error_code error;
  fs::create_directories(assets, error);
  if (error) return absl::InternalError(absl::StrCat(assets, ": ", error.message()));
  absl::Status status = WriteFileAtomically(assets + "/tokenizer.json", tokenizer_json);
  if (status.ok()) {
    status = WriteFileAtomically(assets + "/preprocessor_config.json", file.image_processor.dump());
  }
  if (status.ok()) {
    const auto images = LoadImageProcessorConfig(assets);
    status = images.ok() ? WriteProcessorFiles(assets, FamilyOf(arch).processor_class, *images,
                                               kQwenChatTemplate)
                         : images.status();
  }
  if (status.ok()) {
    status = BuildDirectory(options.out_dir, [&](const std::string& temporary) {
      return SaveModelDirectory(temporary, arch, params, options.dtype, assets);
    });
  }
  fs::remove_all(assets, error);
  return status;
}

void SetIntraOpThreads(int threads) { at::set_num_threads(threads); }

}  // namespace ziprl
