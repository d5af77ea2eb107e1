// publish_weights ROWS: a publisher to be killed by tests. Serves RandomWeights of ROWS rows,
// version 1, seed 1, on a port of the system's choice, prints it, and goes on until its stdin ends.
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "proto/rpc.h"
#include "proto/weights/weight_server.h"
#include "tests/proto/weights/weight_case.h"

int main(int argc, char** argv) {
  using namespace ziprl;
  if (argc != 2) return 2;
  WeightStore store;
  WeightService service(&store, {});
  service.Publish(RandomWeights(CaseLayout(std::atoi(argv[1])), 1, 1));
  WeightServer weights(&service);
  auto server = RpcServer::Start("127.0.0.1:0", {}, {weights.grpc_service()});
  if (!server.ok()) return 1;
  std::printf("%d\n", (*server)->port());
  std::fflush(stdout);
  char byte;
  while (read(STDIN_FILENO, &byte, 1) > 0) {
  }
}
