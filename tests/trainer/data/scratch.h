// A folder of a test's own, removed with it, and files in it.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace ziprl {

class Scratch {
 public:
  Scratch() {
    std::string pattern = testing::TempDir() + "/ziprl-XXXXXX";
    dir_ = mkdtemp(pattern.data());
  }
  ~Scratch() { std::filesystem::remove_all(dir_); }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;

  std::string Path(const std::string& name) const { return dir_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& contents) const {
    std::ofstream(Path(name), std::ios::binary) << contents;
    return Path(name);
  }
  std::string Read(const std::string& name) const {
    std::ifstream in(Path(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  bool Exists(const std::string& name) const { return std::filesystem::exists(Path(name)); }
  const std::string& dir() const { return dir_; }

 private:
  std::string dir_;
};

}  // namespace ziprl
