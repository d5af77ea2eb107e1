// Model directories in and out: round trips byte for byte, and every way a checkpoint can be wrong.
#include "model/hf_directory.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "model/safetensors.h"
#include "tests/model/directory_case.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// The base model in a scratch folder, its tensors rewritten by `change`; what loading says.
using Tensors = std::vector<TensorView>;
absl::Status LoadChanged(const std::function<void(Tensors&)>& change,
                         const std::string& model = "base") {
  const std::string dir = Scratch() + "/model";
  fs::copy(Source(model), dir);
  {
    const auto file = SafetensorsFile::Open(Source(model) + "/model.safetensors");
    Tensors tensors = (*file)->tensors();
    change(tensors);
    const absl::Status written =
        WriteSafetensors(dir + "/model.safetensors", tensors, {{"format", "pt"}});
    EXPECT_TRUE(written.ok()) << written;
  }
  return LoadParams(dir, *LoadArchitecture(dir), Device()).status();
}

TensorView& Named(Tensors& tensors, const std::string& name) {
  for (TensorView& view : tensors) {
    if (view.name == name) return view;
  }
  ADD_FAILURE() << "no tensor " << name;
  return tensors[0];
}

constexpr char kNorm[] = "model.norm.weight";

TEST(LoadTest, EveryLayoutGivesTheSameParameters) {
  const Loaded base = LoadAll(Source("base"));
  EXPECT_TRUE(SameParams(base.params, LoadAll(Source("base_flat")).params));
  EXPECT_TRUE(SameParams(base.params, LoadAll(Source("base_nested_names")).params));
  EXPECT_TRUE(SameParams(LoadAll(Source("odd")).params, LoadAll(Source("odd_sharded")).params));
  const Loaded qwen2 = LoadAll(Source("qwen2_base"));
  EXPECT_TRUE(SameParams(qwen2.params, LoadAll(Source("qwen2_base_flat")).params));
  EXPECT_TRUE(SameParams(qwen2.params, LoadAll(Source("qwen2_base_nested_names")).params));
}

TEST(LoadTest, MissingTensorIsNamed) {
  const absl::Status status = LoadChanged(
      [](Tensors& t) { std::erase_if(t, [](const TensorView& v) { return v.name == kNorm; }); });
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("missing"), HasSubstr(kNorm)));
}

TEST(LoadTest, UnexpectedTensorIsNamed) {
  const absl::Status status = LoadChanged([](Tensors& t) {
    t.push_back(Named(t, kNorm));
    t.back().name = "model.layers.77.extra";
  });
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("unexpected"), HasSubstr("model.layers.77.extra")));
}

TEST(LoadTest, WrongShapeIsNamedWithBothShapes) {
  const absl::Status status = LoadChanged([](Tensors& t) { Named(t, kNorm).shape = {2, 64}; });
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(kNorm), HasSubstr("[2, 64]"), HasSubstr("[128]")));
}

TEST(LoadTest, NonFiniteWeightsAreNamedAndCounted) {
  std::vector<float> bad(128, 1.0f);
  bad[3] = std::numeric_limits<float>::infinity();
  bad[9] = std::numeric_limits<float>::quiet_NaN();
  const absl::Status status = LoadChanged([&](Tensors& t) { Named(t, kNorm).data = bad.data(); });
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr(kNorm), HasSubstr("2 non-finite")));
}

TEST(LoadTest, IntegerWeightsAreRefused) {
  const absl::Status status = LoadChanged([](Tensors& t) { Named(t, kNorm).dtype = "I32"; });
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr(kNorm), HasSubstr("I32"), HasSubstr("BF16")));
}

TEST(LoadTest, HalfPrecisionIsConverted) {
  const at::Tensor half = at::full({128}, 1.5, HostFloat().dtype(at::kHalf));
  const absl::Status status = LoadChanged([&](Tensors& t) {
    TensorView& norm = Named(t, kNorm);
    norm.dtype = "F16";
    norm.data = half.const_data_ptr();
    norm.bytes = half.nbytes();
  });
  ASSERT_TRUE(status.ok()) << status;
  const Loaded loaded =
      LoadAll(::testing::TempDir() + "/ziprl_LoadTest_HalfPrecisionIsConverted/model");
  EXPECT_TRUE(at::equal(loaded.params.Get(kNorm), half.to(at::kFloat)));
}

TEST(LoadTest, OldBuffersAreLeftOut) {
  const absl::Status status = LoadChanged([](Tensors& t) {
    t.push_back(Named(t, kNorm));
    t.back().name = "visual.rotary_pos_emb.inv_freq";
  });
  EXPECT_TRUE(status.ok()) << status;
}

TEST(LoadTest, HeadOfATiedModelMustBeTheEmbedding) {
  const auto add_head = [](Tensors& t) {
    t.push_back(Named(t, "model.embed_tokens.weight"));
    t.back().name = "lm_head.weight";
  };
  EXPECT_TRUE(LoadChanged(add_head).ok());
  std::vector<float> other(512 * 128, 0.5f);
  const absl::Status status = LoadChanged([&](Tensors& t) {
    add_head(t);
    t.back().data = other.data();
  });
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("lm_head.weight"), HasSubstr("tie_word_embeddings")));
}

TEST(LoadTest, BothNamesOfOneTensorAreADuplicate) {
  const absl::Status status = LoadChanged([](Tensors& t) {
    t.push_back(Named(t, kNorm));
    t.back().name = "model.language_model.norm.weight";
  });
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("duplicates"), HasSubstr(kNorm),
                                                   HasSubstr("model.language_model.norm.weight")));
}

TEST(LoadTest, TruncatedFileIsRefused) {
  const std::string dir = Scratch() + "/model";
  fs::copy(Source("base"), dir);
  fs::resize_file(dir + "/model.safetensors", fs::file_size(dir + "/model.safetensors") - 10);
  const absl::Status status = LoadParams(dir, *LoadArchitecture(dir), Device()).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.safetensors"));
}

TEST(LoadTest, NoWeightsAtAll) {
  const Architecture arch = *LoadArchitecture(Source("base"));
  const absl::Status status = LoadParams(Scratch(), arch, Device()).status();
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("model.safetensors"), HasSubstr("model.safetensors.index.json")));
}

class IndexTest : public ::testing::Test {
 protected:
  // The sharded model in a scratch folder with its index text changed.
  absl::Status LoadWithIndex(const std::string& from, const std::string& to) {
    dir_ = Scratch() + "/model";
    fs::copy(Source("odd_sharded"), dir_);
    std::string text = Contents(dir_ + "/model.safetensors.index.json");
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    text.replace(at, from.size(), to);
    std::ofstream(dir_ + "/model.safetensors.index.json") << text;
    return LoadParams(dir_, *LoadArchitecture(dir_), Device()).status();
  }
  std::string dir_;
};

TEST_F(IndexTest, MissingShardIsNamed) {
  const absl::Status status = LoadWithIndex("model-00001-of-00013", "model-00099-of-00013");
  EXPECT_THAT(std::string(status.message()),
              AllOf(HasSubstr("index.json"), HasSubstr("model-00099-of-00013.safetensors")));
}

TEST_F(IndexTest, TensorInAnotherShardIsNamed) {
  const std::string entry = "\"lm_head.weight\": \"model-";
  const std::string text = Contents(Source("odd_sharded") + "/model.safetensors.index.json");
  const std::string shard = text.substr(text.find(entry) + entry.size(), 5);
  const absl::Status status =
      LoadWithIndex(entry + shard, entry + (shard == "00002" ? "00003" : "00002"));
  EXPECT_THAT(std::string(status.message()), HasSubstr("lm_head.weight"));
}

TEST_F(IndexTest, OneTensorInTwoShardsIsNamedWithBoth) {
  dir_ = Scratch() + "/model";
  fs::copy(Source("odd_sharded"), dir_);
  const std::string shard = dir_ + "/model-00002-of-00013.safetensors";
  {
    const auto one = SafetensorsFile::Open(dir_ + "/model-00001-of-00013.safetensors");
    const auto two =
        SafetensorsFile::Open(Source("odd_sharded") + "/model-00002-of-00013.safetensors");
    Tensors tensors = (*two)->tensors();
    tensors.push_back((*one)->tensors().front());
    ASSERT_TRUE(WriteSafetensors(shard, tensors, {}).ok());
    const absl::Status status = LoadParams(dir_, *LoadArchitecture(dir_), Device()).status();
    EXPECT_THAT(std::string(status.message()),
                AllOf(HasSubstr(shard), HasSubstr("duplicates '" + tensors.back().name),
                      HasSubstr("model-00001-of-00013.safetensors")));
  }
}

TEST_F(IndexTest, BrokenJsonNamesTheFile) {
  const absl::Status status = LoadWithIndex("{", "[");
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.safetensors.index.json"));
}

TEST_F(IndexTest, PathsOutsideTheFolderAreRefused) {
  const absl::Status status = LoadWithIndex("model-00001-of-00013", "../model-00001-of-00013");
  EXPECT_THAT(std::string(status.message()), HasSubstr("not a plain file name"));
}

using RoundTripCase = std::tuple<std::string, std::string, int64_t>;
class RoundTripTest : public ::testing::TestWithParam<RoundTripCase> {};

TEST_P(RoundTripTest, ExportImportExportIsByteEqual) {
  const auto [model, dtype, shard_bytes] = GetParam();
  const std::string dir = Scratch();
  const Loaded first = LoadAll(Source(model));
  ASSERT_TRUE(
      SaveModelDirectory(dir + "/a", first.arch, first.params, dtype, Source(model), shard_bytes)
          .ok());
  const Loaded second = LoadAll(dir + "/a");
  EXPECT_EQ(second.arch.dtype, dtype);
  EXPECT_EQ(SameParams(first.params, second.params), dtype == "float32");
  ASSERT_TRUE(
      SaveModelDirectory(dir + "/b", second.arch, second.params, dtype, dir + "/a", shard_bytes)
          .ok());
  const auto a = Files(dir + "/a"), b = Files(dir + "/b");
  EXPECT_EQ(a, b);
  EXPECT_EQ(a.count("model.safetensors.index.json"), shard_bytes < 1'000'000 ? 1u : 0u);
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
        "processor_config.json", "chat_template.jinja"}) {
    EXPECT_EQ(a.count(name), 1u) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, RoundTripTest,
    ::testing::Values(RoundTripCase{"base", "float32", int64_t{5'000'000'000}},
                      RoundTripCase{"base", "bfloat16", int64_t{5'000'000'000}},
                      RoundTripCase{"odd", "float32", int64_t{150'000}},
                      RoundTripCase{"odd", "bfloat16", int64_t{5'000'000'000}},
                      RoundTripCase{"base_flat", "float32", int64_t{300'000}},
                      RoundTripCase{"qwen2_base", "bfloat16", int64_t{5'000'000'000}},
                      RoundTripCase{"qwen2_odd", "float32", int64_t{150'000}},
                      RoundTripCase{"qwen2_base_flat", "float32", int64_t{300'000}}),
    [](const auto& info) {
      return std::get<0>(info.param) + "_" + std::get<1>(info.param) + "_" +
             std::to_string(std::get<2>(info.param));
    });

TEST(SaveTest, DoesNotWriteIntoAnotherModel) {
  const std::string dir = Scratch();
  const Loaded base = LoadAll(Source("base"));
  std::ofstream(dir + "/mine") << "mine";
  const absl::Status status =
      SaveModelDirectory(dir, base.arch, base.params, "float32", Source("base"));
  EXPECT_EQ(status.code(), absl::StatusCode::kAlreadyExists);
  EXPECT_EQ(Files(dir).size(), 1u);
}

TEST(SaveTest, UnknownDtypeNamesWhatIsAllowed) {
  const Loaded base = LoadAll(Source("base"));
  const absl::Status status =
      SaveModelDirectory(Scratch() + "/out", base.arch, base.params, "int8", Source("base"));
  EXPECT_THAT(std::string(status.message()), AllOf(HasSubstr("int8"), HasSubstr("bfloat16")));
}

TEST(SaveTest, ShortageOfSpaceIsAnErrorThatNamesTheFile) {
  const Loaded base = LoadAll(Source("base"));
  const std::string dir = Scratch();
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small = {100'000, before.rlim_max};
  const auto handler = std::signal(SIGXFSZ, SIG_IGN);
  setrlimit(RLIMIT_FSIZE, &small);
  const absl::Status status =
      SaveModelDirectory(dir + "/out", base.arch, base.params, "float32", Source("base"));
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, handler);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(std::string(status.message()), HasSubstr("model.safetensors"));
}

// For check_export.py: what transformers then loads.
TEST(ExportTest, WritesForTransformers) {
  const std::string out = ParityDir() + "/exported";
  fs::remove_all(out);
  fs::create_directories(out);
  for (const std::string model : {"base", "odd", "windows", "qwen2_base", "qwen2_odd"}) {
    const Loaded loaded = LoadAll(Source(model));
    const int64_t shard_bytes = model.ends_with("odd") ? 200'000 : 5'000'000'000;
    const absl::Status status = SaveModelDirectory(out + "/" + model, loaded.arch, loaded.params,
                                                   "float32", Source(model), shard_bytes);
    ASSERT_TRUE(status.ok()) << status;
  }
}

TEST(InitTest, RandomParametersAreReproducibleAndAsTransformersInitialises) {
  const Architecture arch = *LoadArchitecture(Source("base"));
  const ParamStore a = InitParams(arch, 3, 0.02, Device()), b = InitParams(arch, 3, 0.02, Device());
  EXPECT_TRUE(SameParams(a, b));
  EXPECT_FALSE(SameParams(a, InitParams(arch, 4, 0.02, Device())));
  EXPECT_EQ(a.size(), ParamSpecs(arch).size());
  for (size_t i = 0; i < a.size(); ++i) {
    const at::Tensor& t = a.tensor(i);
    if (t.dim() > 1) {
      EXPECT_NEAR(t.std().item<double>(), 0.02, 0.001) << a.name(i);
      EXPECT_NEAR(t.mean().item<double>(), 0.0, 0.001) << a.name(i);
    } else {
      const float constant = a.name(i).ends_with("bias") ? 0.0f : 1.0f;
      EXPECT_TRUE(at::equal(t, at::full_like(t, constant, t.options()))) << a.name(i);
    }
  }
}

TEST(DeviceTest, NamesAndAlternatives) {
  EXPECT_TRUE(MakeDevice("cpu", "bf16")->dtype == c10::kBFloat16);
  EXPECT_TRUE(MakeDevice("auto", "fp32").ok());
  EXPECT_THAT(std::string(MakeDevice("gpu", "fp32").status().message()),
              AllOf(HasSubstr("gpu"), HasSubstr("auto, cpu, cuda")));
  EXPECT_THAT(std::string(MakeDevice("cpu", "fp16").status().message()),
              AllOf(HasSubstr("fp16"), HasSubstr("fp32, bf16")));
  const auto cuda = MakeDevice("cuda", "fp32");
  if (!cuda.ok()) {
    EXPECT_THAT(std::string(cuda.status().message()), HasSubstr("model.device=cpu"));
  }
}

// Looking for a device costs a CPU run nothing.
TEST(DeviceTest, TorchsCudaHalfIsLoadedWhereTheDriverIs) {
  ASSERT_TRUE(MakeDevice("auto", "fp32").ok());
  std::ifstream file("/proc/self/maps");
  const std::string maps((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  ASSERT_NE(maps.find("libtorch_cpu"), std::string::npos);
  const bool driver = maps.find("libcuda.so") != std::string::npos;
  EXPECT_TRUE(driver || maps.find("libtorch_cuda.so") == std::string::npos);
}

}  // namespace
}  // namespace ziprl
