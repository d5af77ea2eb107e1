// The suite over ranks that are threads.
#include <thread>

#include "kernels/comm/local.h"
#include "tests/kernels/comm/conformance.h"

namespace ziprl::comm {
namespace {

class LocalWorld : public World {
 public:
  explicit LocalWorld(int ranks) : group_(MakeLocalGroup(ranks, TestConfig())) {}

  void Run(const std::function<void(Communicator&, Memory&)>& body) override {
    std::vector<std::thread> threads;
    for (auto& rank : group_) {
      threads.emplace_back([&body, comm = rank.get()] {
        Memory memory;
        body(*comm, memory);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }

 private:
  const std::vector<std::unique_ptr<Communicator>> group_;
};

WorldMaker Local(int ranks) {
  return {"Local" + std::to_string(ranks), [ranks] { return std::make_unique<LocalWorld>(ranks); }};
}

INSTANTIATE_TEST_SUITE_P(Local, CommunicatorTest,
                         testing::Values(Local(1), Local(2), Local(3), Local(4)), WorldName);

}  // namespace
}  // namespace ziprl::comm
