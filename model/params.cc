#include "model/params.h"

#include <ATen/ATen.h>

#include <cstdio>
#include <cstdlib>

#include "model/init_param.h"

namespace ziprl {
namespace {

[[noreturn]] void Die(const char* what, const std::string& name) {
  std::fprintf(stderr, "ParamStore: %s '%s'\n", what, name.c_str());
  std::abort();
}

}  // namespace

void ParamStore::Add(std::string name, at::Tensor tensor) {
  if (!index_.emplace(name, tensors_.size()).second) Die("duplicate name", name);
  names_.push_back(std::move(name));
  tensors_.push_back(std::move(tensor));
}

const at::Tensor& ParamStore::Get(const std::string& name) const {
  const int i = Find(name);
  if (i < 0) Die("no parameter", name);
  return tensors_[i];
}

int ParamStore::Find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? -1 : static_cast<int>(it->second);
}

int64_t ParamStore::NumElements() const {
  int64_t total = 0;
  for (const at::Tensor& tensor : tensors_) total += tensor.numel();
  return total;
}

ParamStore InitParams(const Architecture& arch, uint64_t seed, double std, const Device& device) {
  ParamStore store;
  for (const ParamSpec& spec : ParamSpecs(arch)) {
    store.Add(spec.name, InitParam(spec, store.size(), seed, std).to(device.Options()));
  }
  return store;
}

}  // namespace ziprl
