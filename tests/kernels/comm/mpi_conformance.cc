// The suite over the ranks of an MPI job: start it with mpirun. Every rank runs every case; one
// rank's failure is the job's.
#include <cstdio>
#include <cstdlib>

#include "kernels/comm/mpi.h"
#include "tests/kernels/comm/conformance.h"

namespace ziprl::comm {
namespace {

MpiWorld* world = nullptr;

class JobWorld : public World {
 public:
  void Run(const std::function<void(Communicator&, Memory&)>& body) override {
    Memory memory;
    body(world->communicator(), memory);
  }
};

INSTANTIATE_TEST_SUITE_P(Mpi, CommunicatorTest,
                         testing::Values(WorldMaker{"Mpi",
                                                    [] { return std::make_unique<JobWorld>(); }}),
                         WorldName);

TEST(MpiWorldTest, RanksOfOneHost) {
  EXPECT_EQ(world->communicator().backend(), Backend::kMpi);
  EXPECT_EQ(world->local_size(), world->communicator().size());
  EXPECT_EQ(world->local_rank(), world->communicator().rank());
  EXPECT_EQ(ReadLaunchEnvironment().ranks, world->communicator().size());
}

}  // namespace
}  // namespace ziprl::comm

// usage: comm_mpi_conformance RANKS
int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  auto made = ziprl::comm::MpiWorld::Init(ziprl::comm::TestConfig());
  if (!made.ok() || argc != 2 || (*made)->communicator().size() != std::atoi(argv[1])) {
    std::fprintf(stderr, "no MPI job of %s ranks: %s\n", argc > 1 ? argv[1] : "?",
                 made.status().ToString().c_str());
    return 1;
  }
  ziprl::comm::world = made->get();
  const int failed = RUN_ALL_TESTS();
  const absl::Status end = (*made)->Finalize();
  if (!end.ok()) std::fprintf(stderr, "%s\n", end.ToString().c_str());
  return failed != 0 || !end.ok() ? 1 : 0;
}
