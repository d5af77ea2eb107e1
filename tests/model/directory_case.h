// Shared by the tests of model directories: the parity fixtures' folders, scratch folders,
// contents.
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>

#include "model/hf_directory.h"
#include "tests/model/parity_case.h"

namespace ziprl {

inline std::string Source(const std::string& name) { return ParityDir() + "/" + name; }

// A folder of this test alone, empty.
inline std::string Scratch() {
  const auto* info = ::testing::UnitTest::GetInstance()->current_test_info();
  const std::string dir =
      ::testing::TempDir() + "/ziprl_" + info->test_suite_name() + "_" + info->name();
  std::filesystem::remove_all(dir);
  std::filesystem::create_directories(dir);
  return dir;
}

inline std::string Contents(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

inline std::map<std::string, std::string> Files(const std::string& dir) {
  std::map<std::string, std::string> files;
  for (const auto& entry : std::filesystem::directory_iterator(dir)) {
    files[entry.path().filename().string()] = Contents(entry.path());
  }
  return files;
}

struct Loaded {
  Architecture arch;
  ParamStore params;
};

inline Loaded LoadAll(const std::string& dir, const Device& device = Device()) {
  Loaded loaded;
  loaded.arch = *LoadArchitecture(dir);
  auto params = LoadParams(dir, loaded.arch, device);
  EXPECT_TRUE(params.ok()) << params.status();
  if (params.ok()) loaded.params = *std::move(params);
  return loaded;
}

inline bool SameParams(const ParamStore& a, const ParamStore& b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a.name(i) != b.name(i) || !at::equal(a.tensor(i), b.tensor(i))) return false;
  }
  return true;
}

}  // namespace ziprl
