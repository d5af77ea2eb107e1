// The suite over NCCL on the fake of tests/fake_nccl: start it with mpirun and the fake preloaded.
// With a real NCCL and a GPU per rank it runs as it is.
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <thread>

#include "gmock/gmock.h"
#include "kernels/comm/mpi.h"
#include "kernels/comm/nccl.h"
#include "kernels/comm/nccl_api.h"
#include "kernels/comm/nccl_plugin.h"
#include "tests/kernels/comm/conformance.h"

namespace ziprl::comm {
namespace {

MpiWorld* world = nullptr;
const NcclApi* api = nullptr;
void* caller_stream = nullptr;
const bool is_fake = dlsym(RTLD_DEFAULT, "ziprl_fake_nccl") != nullptr;

void Require(int result) {
  if (result == 0) return;
  std::fprintf(stderr, "%s\n", api->error_text(result));
  std::abort();
}

class DeviceMemory : public Memory {
 public:
  void* Allocate(int64_t bytes) override {
    void* memory = nullptr;
    Require(api->allocate(&memory, bytes > 0 ? bytes : 1));
    return memory;
  }
  void Free(void* memory) override { Require(api->release(memory)); }
  void CopyIn(void* to, const void* from, int64_t bytes) override {
    if (bytes > 0) Require(api->copy(to, from, bytes, caller_stream));
  }
  void CopyOut(void* to, const void* from, int64_t bytes) override {
    CopyIn(to, from, bytes);
    void* event = nullptr;
    Require(api->event_create(&event));
    Require(api->event_record(event, caller_stream));
    while (api->event_query(event) == kCudaNotReady) std::this_thread::yield();
    Require(api->event_destroy(event));
  }
};

NcclOptions Options() {
  NcclOptions options;
  options.name = "nccl world";
  options.device = world->local_rank();
  options.caller_stream = [] { return caller_stream; };
  return options;
}

class NcclWorld : public World {
 public:
  void Run(const std::function<void(Communicator&, Memory&)>& body) override {
    auto comm = MakeNcclCommunicator(world->communicator(), Options());
    ASSERT_EQ(comm.status(), absl::OkStatus());
    DeviceMemory memory;
    body(**comm, memory);
  }
};

INSTANTIATE_TEST_SUITE_P(Nccl, CommunicatorTest,
                         testing::Values(WorldMaker{"Nccl",
                                                    [] { return std::make_unique<NcclWorld>(); }}),
                         WorldName);

TEST(NcclTest, ItsOwnOrderOnlyWhenAsked) {
  auto host = world->communicator().Split("loose", 0, 0, "loose");
  ASSERT_EQ(host.status(), absl::OkStatus());
  (*host)->SetDeterministic(false);
  auto comm = MakeNcclCommunicator(**host, Options());
  ASSERT_EQ(comm.status(), absl::OkStatus());
  DeviceMemory memory;
  const int ranks = (*comm)->size();
  Buffer<double> data(memory, RankValues<double>((*comm)->rank(), 5000));
  ASSERT_EQ((*comm)->AllReduceSum("loose", data.data(), 5000), absl::OkStatus());
  const std::vector<double> sum = data.Read(), ordered = SumInOrder<double>(RankOrder(ranks), 5000);
  for (size_t i = 0; i < sum.size(); ++i) ASSERT_NEAR(sum[i], ordered[i], 1e-6);
  if (is_fake || ranks <= 2) {
    EXPECT_EQ(SameBits(sum, ordered), ranks <= 2);
  }
}

// What the fake does when it is told to fail or to stall.
absl::Status ReduceWith(const char* variable, absl::Duration deadline) {
  auto comm = MakeNcclCommunicator(world->communicator(), Options());
  if (!comm.ok()) return comm.status();
  DeviceMemory memory;
  Buffer<float> data(memory, std::vector<float>(1000, 1.0f));
  (*comm)->SetDeadline(deadline);
  if (world->communicator().rank() == 0) setenv(variable, "1", 1);
  const absl::Status status = (*comm)->AllReduceSum({"gradients", 3}, data.data(), 1000);
  EXPECT_EQ(world->communicator().Barrier("all have seen it"), absl::OkStatus());
  unsetenv(variable);
  return status;
}

TEST(NcclTest, AnAsynchronousErrorAbortsEveryRank) {
  if (!is_fake) GTEST_SKIP() << "needs the fake NCCL";
  const absl::Status status = ReduceWith("ZIPRL_FAKE_NCCL_FAIL", absl::Seconds(100));
  EXPECT_TRUE(absl::IsUnavailable(status)) << status;
  EXPECT_THAT(
      std::string(status.message()),
      testing::AllOf(testing::HasSubstr("AllReduceSum 'gradients' #0 of 'nccl world', step 3"),
                     testing::HasSubstr("NCCL error")));
}

TEST(NcclTest, AGpuThatNeverFinishesEndsAtTheDeadline) {
  if (!is_fake) GTEST_SKIP() << "needs the fake NCCL";
  const absl::Status status = ReduceWith("ZIPRL_FAKE_NCCL_STALL", absl::Seconds(3));
  // Whoever reaches its deadline first aborts the others.
  EXPECT_TRUE(absl::IsDeadlineExceeded(status) || absl::IsUnavailable(status)) << status;
  EXPECT_THAT(std::string(status.message()),
              testing::AllOf(testing::HasSubstr("AllReduceSum 'gradients' #0"),
                             testing::AnyOf(testing::HasSubstr("GPUs did not finish"),
                                            testing::HasSubstr("NCCL error"))));
}

// A GPU that does not exist on one rank is every rank's error.
TEST(NcclTest, WithoutADeviceItNamesTheRankAndTheAlternative) {
  NcclOptions options = Options();
  const int last = world->communicator().size() - 1;
  if (world->communicator().rank() == last) options.device = 1000;
  const auto comm = MakeNcclCommunicator(world->communicator(), options);
  EXPECT_TRUE(absl::IsFailedPrecondition(comm.status())) << comm.status();
  EXPECT_THAT(std::string(comm.status().message()),
              testing::AllOf(testing::HasSubstr("rank " + std::to_string(last)),
                             testing::HasSubstr("none of number 1000"),
                             testing::HasSubstr("MPI: model.device=cpu")));
}

TEST(NcclTest, TwoRanksOnOneGpuAreNamed) {
  if (world->communicator().size() == 1) GTEST_SKIP() << "needs two ranks";
  NcclOptions options = Options();
  options.device = 0;
  const auto comm = MakeNcclCommunicator(world->communicator(), options);
  EXPECT_TRUE(absl::IsFailedPrecondition(comm.status())) << comm.status();
  EXPECT_THAT(std::string(comm.status().message()),
              testing::AllOf(testing::HasSubstr("rank 1: it would share GPU"),
                             testing::HasSubstr("with rank 0, and NCCL needs one each")));
}

// Of every operation and argument; nothing is broken by it.
TEST(NcclTest, HostMemoryIsRefusedByName) {
  auto made = MakeNcclCommunicator(world->communicator(), Options());
  ASSERT_EQ(made.status(), absl::OkStatus());
  Communicator& comm = **made;
  DeviceMemory memory;
  Buffer<float> device(memory, std::vector<float>(comm.size(), 1.0f));
  std::vector<float> host(comm.size());
  const std::vector<int64_t> one(comm.size(), 1), four(comm.size(), 4);
  const auto expect_refused = [](const char* name, const absl::Status& status) {
    EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
    EXPECT_THAT(std::string(status.message()),
                testing::AllOf(testing::HasSubstr(name), testing::HasSubstr("host memory"),
                               testing::HasSubstr("model.device=cpu cluster.collectives=mpi")));
  };
  double sum = 1;
  expect_refused("AllReduceSum 'norm' of 'nccl world'", comm.AllReduceSum("norm", &sum, 1));
  expect_refused("ReduceScatterSum 'in'",
                 comm.ReduceScatterSum("in", host.data(), device.data(), one));
  expect_refused("ReduceScatterSum 'out'",
                 comm.ReduceScatterSumAsync("out", device.data(), host.data(), one)->Wait());
  expect_refused("AllGather 'in'", comm.AllGather("in", host.data(), device.data(), four));
  expect_refused("AllGather 'out'",
                 comm.AllGatherAsync("out", device.data(), host.data(), four)->Wait());
  expect_refused("Broadcast 'data'", comm.Broadcast("data", host.data(), 4, 0));
  expect_refused("Broadcast 'data'", comm.BroadcastAsync("data", host.data(), 4, 0)->Wait());
  EXPECT_EQ(comm.CheckMemory("device memory", device.data()), absl::OkStatus());
  ASSERT_EQ(comm.AllReduceSum("whole", device.data(), 1), absl::OkStatus());
  EXPECT_EQ(device.Read()[0], comm.size());
}

}  // namespace
}  // namespace ziprl::comm

// usage: comm_nccl_conformance RANKS
int main(int argc, char** argv) {
  using namespace ziprl::comm;
  testing::InitGoogleTest(&argc, argv);
  auto made = MpiWorld::Init(TestConfig());
  if (!made.ok() || argc != 2 || (*made)->communicator().size() != std::atoi(argv[1])) {
    std::fprintf(stderr, "no MPI job of %s ranks: %s\n", argc > 1 ? argv[1] : "?",
                 made.status().ToString().c_str());
    return 1;
  }
  world = made->get();
  const auto loaded = LoadNcclApi();
  if (!loaded.ok() || (*loaded)->device_count() < world->local_size()) {
    std::printf("SKIPPED: %s\n",
                loaded.ok() ? "fewer CUDA devices than ranks" : loaded.status().ToString().c_str());
    return world->Finalize().ok() ? 0 : 1;
  }
  api = *loaded;
  Require(api->set_device(world->local_rank()));
  Require(api->stream_create(&caller_stream));
  const int failed = RUN_ALL_TESTS();
  const absl::Status end = (*made)->Finalize();
  if (!end.ok()) std::fprintf(stderr, "%s\n", end.ToString().c_str());
  return failed != 0 || !end.ok() ? 1 : 0;
}
