// Our side of text.py: the text tower alone, one thread. Commands on standard input, each answered
// by seconds:
//   prefill TOKENS               a prompt, to its first sampled token
//   decode BATCH TOKENS STEPS    so many further tokens of each of BATCH different prompts
// usage: bench_text MODEL DTYPE
#include <iostream>
#include <string>

#include "model/model_handle.h"
#include "tests/bench/bench_model.h"

namespace ziprl {
namespace {

double Prefill(const std::shared_ptr<Model>& model, int tokens) {
  return Generate(model, {LeaseOf(*model, RandomPrompt(*model, 0, tokens, 1), 1, 1)}, 1).seconds;
}

// By difference, so that the prompts' own cost is left out.
double Decode(const std::shared_ptr<Model>& model, int batch, int tokens, int steps) {
  std::vector<GroupLease> leases;
  for (int i = 1; i <= batch; ++i) {
    leases.push_back(LeaseOf(*model, RandomPrompt(*model, 0, tokens, i), 1, 1));
  }
  const double prompts = Generate(model, leases, 1).seconds;
  return Generate(model, leases, 1 + steps).seconds - prompts;
}

int Serve(const std::string& dir, const std::string& dtype) {
  SetIntraOpThreads(1);
  const std::shared_ptr<Model> model = Must(LoadModel(dir, Must(MakeDevice("cpu", dtype))));
  int batch = 0, tokens = 0, steps = 0;
  for (std::string command; std::cin >> command;) {
    if (command == "prefill" && std::cin >> tokens) {
      std::cout << Prefill(model, tokens) << std::endl;
    } else if (command == "decode" && std::cin >> batch >> tokens >> steps) {
      std::cout << Decode(model, batch, tokens, steps) << std::endl;
    } else {
      return 2;
    }
  }
  return 0;
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  if (argc == 3) return ziprl::Serve(argv[1], argv[2]);
  std::cerr << "usage: bench_text MODEL DTYPE\n";
  return 2;
}
