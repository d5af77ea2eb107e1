// What saving and loading hold in memory, measured.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <string>

#include "model/hf_directory.h"
#include "tests/model/directory_case.h"

namespace ziprl {
namespace {

namespace fs = std::filesystem;

// Bytes of a line of /proc/self/status.
int64_t MemoryOf(const std::string& key) {
  std::ifstream in("/proc/self/status");
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  ADD_FAILURE() << "no " << key;
  return 0;
}

// Two large matrices of bf16 around a small model.
Architecture LargeArchitecture() {
  Architecture arch = *LoadArchitecture(Source("qwen2_base"));
  arch.tied_embeddings = false;
  arch.vocab = 400'000;
  return arch;
}

// Matrices of 2 to 10 MB of bf16, of which malloc maps some and takes others from its heap.
Architecture DeepArchitecture() {
  Architecture arch = *LoadArchitecture(Source("qwen2_base"));
  arch.hidden = 1024;
  arch.heads = 32;  // of 32, as before
  arch.kv_heads = 8;
  arch.intermediate = 5120;
  arch.layers = 8;
  arch.vision.out_hidden = 1024;
  return arch;
}

struct Counted {
  int alive = 0, most = 0;
};

// Constant tensors, counting those that somebody holds.
ParamSource CountedSource(const Architecture& arch, Counted* counted) {
  ParamSource source;
  source.specs = ParamSpecs(arch);
  source.tensor = [specs = source.specs, counted](size_t i) -> absl::StatusOr<at::Tensor> {
    const at::Tensor whole = at::full(specs[i].shape, 0.25, HostFloat().dtype(at::kBFloat16));
    counted->most = std::max(counted->most, ++counted->alive);
    return at::from_blob(
        whole.mutable_data_ptr(), specs[i].shape, [whole, counted](void*) { --counted->alive; },
        whole.options());
  };
  return source;
}

TEST(MemoryTest, SavingHoldsOneTensorAndLoadingOneCopy) {
  const std::string dir = Scratch() + "/model";
  const Architecture arch = LargeArchitecture();
  Counted counted;
  const ParamSource source = CountedSource(arch, &counted);
  ASSERT_TRUE(
      SaveModelDirectory(dir, arch, source, "bfloat16", Source("qwen2_base"), 50'000'000).ok());
  EXPECT_EQ(counted.most, 1);
  EXPECT_EQ(counted.alive, 0);
  EXPECT_TRUE(fs::exists(dir + "/model-00004-of-00004.safetensors"));

  Device device;
  device.dtype = at::kBFloat16;
  const int64_t before = MemoryOf("VmRSS");
  const auto params = LoadParams(dir, *LoadArchitecture(dir), device);
  ASSERT_TRUE(params.ok()) << params.status();
  const int64_t bytes = params->NumElements() * 2;
  EXPECT_GT(bytes, 200'000'000);
  const int64_t taken = MemoryOf("VmHWM") - before;
  RecordProperty("taken_percent", static_cast<int>(taken * 100 / bytes));
  EXPECT_LE(taken, bytes * 115 / 100);
  EXPECT_GE(taken, bytes);
  EXPECT_EQ(params->Get("lm_head.weight")[399'999][127].item<float>(), 0.25f);
  fs::remove_all(dir);
}

TEST(MemoryTest, LoadingLeavesNoHolesBetweenTensors) {
  const std::string dir = Scratch() + "/deep";
  Counted counted;
  const ParamSource source = CountedSource(DeepArchitecture(), &counted);
  ASSERT_TRUE(
      SaveModelDirectory(dir, DeepArchitecture(), source, "bfloat16", Source("qwen2_base")).ok());
  Device device;
  device.dtype = at::kBFloat16;
  const int64_t before = MemoryOf("RssAnon");
  const auto params = LoadParams(dir, *LoadArchitecture(dir), device);
  ASSERT_TRUE(params.ok()) << params.status();
  const int64_t taken = MemoryOf("RssAnon") - before, bytes = params->NumElements() * 2;
  RecordProperty("taken_percent", static_cast<int>(taken * 100 / bytes));
  EXPECT_GE(bytes, 280'000'000);
  EXPECT_LE(taken, bytes * 102 / 100);
  EXPECT_GE(taken, bytes * 90 / 100);  // what saving left free may be used again
  fs::remove_all(dir);
}

TEST(MemoryTest, CopyingFromSourceIsSavingTheStore) {
  const std::string dir = Scratch();
  const Loaded loaded = LoadAll(Source("qwen2_odd_sharded"));
  const auto source = OpenParams(Source("qwen2_odd_sharded"), loaded.arch, Device());
  ASSERT_TRUE(source.ok()) << source.status();
  const std::string assets = Source("qwen2_odd");
  ASSERT_TRUE(SaveModelDirectory(dir + "/a", loaded.arch, loaded.params, "float32", assets).ok());
  ASSERT_TRUE(SaveModelDirectory(dir + "/b", loaded.arch, *source, "float32", assets).ok());
  EXPECT_EQ(Files(dir + "/a"), Files(dir + "/b"));
}

}  // namespace
}  // namespace ziprl
