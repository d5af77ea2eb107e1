// How fast weights travel (GB/s of weights, 1e9 bytes, against a plain copy in memory on both
// cores), and what a delta saves (bytes against the full weights'). Argument: MiB of weights
// (default 512).
//   shared_memory_publish, _map, _copy   one side each; shared_memory = publish + map, the whole
//   way grpc, grpc_delta                     server and client in this process, over the loopback
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proto/rpc.h"
#include "proto/weights/checksum.h"
#include "proto/weights/delta.h"
#include "proto/weights/shared_memory_publisher.h"
#include "proto/weights/shared_memory_reader.h"
#include "proto/weights/weight_client.h"
#include "proto/weights/weight_server.h"
#include "tests/bench/report.h"

namespace ziprl {
namespace {

constexpr int kRounds = 5, kThreads = 2;
constexpr double kChanged = 0.01;  // of the bf16 words, per step

void Require(const absl::Status& status) {
  if (status.ok()) return;
  absl::FPrintF(stderr, "bench_weights: %s\n", status.ToString());
  std::exit(1);
}

template <typename T>
T Require(absl::StatusOr<T> value) {
  Require(value.status());
  return *std::move(value);
}

uint64_t Mix(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

// GB/s (1e9 bytes) of weights. `copy_s`: seconds that a plain copy of them takes here and now.
void Print(const char* name, uint64_t bytes, std::vector<double> seconds, double copy_s,
           std::optional<double> target = std::nullopt) {
  const double median = Median(std::move(seconds)), gb = static_cast<double>(bytes) * 1e-9;
  Report({absl::StrCat("weights_", name), gb / median, gb / copy_s, copy_s / median, std::nullopt,
          std::nullopt, "GB/s"});
}

void PrintSaved(const char* name, uint64_t bytes, uint64_t delta) {
  const double full = static_cast<double>(bytes), ratio = full / static_cast<double>(delta);
  Report({absl::StrCat("weights_", name), static_cast<double>(delta), full, ratio, std::nullopt,
          1 / (2 * kChanged), "bytes"});
}

// Versions 1, 2, ... of one set of bf16 weights, each a small step from the one before.
class Weights {
 public:
  explicit Weights(int64_t mib) {
    std::vector<WeightTensor> tensors;
    for (int64_t i = 0; i < mib / 8; ++i) {
      tensors.push_back({absl::StrCat("model.layers.", i, ".weight"), "BF16", {2048, 2048}});
    }
    layout_ = Require(WeightLayout::Pack(std::move(tensors)));
    auto builder = Require(WeightBuilder::Start(layout_, &pool_));
    Fill(builder.tensor(0),
         [](uint64_t i) { return 0x3a003a003a003a00 ^ (Mix(i) & 0x83ff83ff83ff83ff); });
    live_ = std::move(builder).Finish(1, kThreads);
  }

  const WeightSnapshot::Ptr& live() const { return live_; }

  WeightSnapshot::Ptr Step() {
    auto builder = Require(WeightBuilder::Start(layout_, &pool_));
    std::memcpy(builder.tensor(0), live_->bytes().data(), live_->bytes().size());
    const uint64_t words = live_->bytes().size() / 2, seed = Mix(live_->version());
    for (uint64_t n = 0; n < words * kChanged; ++n) {
      const uint64_t random = Mix(seed + n);
      char* const place = builder.tensor(0) + 2 * (random % words);
      uint16_t word;
      std::memcpy(&word, place, 2);
      word += random >> 63 ? 1 : -1;
      std::memcpy(place, &word, 2);
    }
    live_ = std::move(builder).Finish(live_->version() + 1, kThreads);
    return live_;
  }

 private:
  // The tensors lie back to back: their size is a multiple of the alignment.
  void Fill(char* data, const std::function<uint64_t(uint64_t)>& word) {
    for (uint64_t i = 0; i < layout_->total_bytes() / 8; ++i) {
      const uint64_t value = word(i);
      std::memcpy(data + 8 * i, &value, 8);
    }
  }

  WeightLayout::Ptr layout_;
  WeightBufferPool pool_{1};
  WeightSnapshot::Ptr live_;
};

// Seconds of a plain copy.
double BenchMemory(const Weights& weights) {
  const std::string_view bytes = weights.live()->bytes();
  WeightBufferPool pool;
  const std::shared_ptr<char> to = Require(pool.Take(bytes.size()));
  ParallelCopy(bytes, to.get(), kThreads);
  std::vector<double> copy_s, checksum_s;
  for (int round = 0; round < kRounds; ++round) {
    copy_s.push_back(Seconds([&] { ParallelCopy(bytes, to.get(), kThreads); }));
    checksum_s.push_back(Seconds([&] { Require(weights.live()->Verify(kThreads)); }));
  }
  const double copy = Median(copy_s);
  Print("checksum", bytes.size(), checksum_s, copy);
  return copy;
}

void BenchSharedMemory(const Weights& weights, double memory_copy) {
  const std::string job = absl::StrCat("bench_", getpid());
  auto publisher = Require(SharedMemoryPublisher::Create(job, kThreads));
  const auto read = [&](SharedMemoryReader& reader) {
    return Seconds([&] { Require(reader.Next(absl::Minutes(1))); });
  };
  SharedMemoryReader map({job, SharedMemoryReader::Mode::kMap, kThreads});
  SharedMemoryReader copy({job, SharedMemoryReader::Mode::kCopy, kThreads});
  std::vector<double> publish_s, map_s, copy_s, whole_s;
  for (int round = -2; round < kRounds; ++round) {  // the first two make the segments
    const double publish = Seconds([&] { Require(publisher->Publish(*weights.live())); });
    const double mapped = read(map), copied = read(copy);
    if (round < 0) continue;
    publish_s.push_back(publish);
    map_s.push_back(mapped);
    copy_s.push_back(copied);
    whole_s.push_back(publish + mapped);
  }
  const uint64_t bytes = weights.live()->bytes().size();
  Print("shared_memory_publish", bytes, publish_s, memory_copy);
  Print("shared_memory_map", bytes, map_s, memory_copy);
  Print("shared_memory_copy", bytes, copy_s, memory_copy);
  Print("shared_memory", bytes, whole_s, memory_copy);
}

void BenchDelta(Weights& weights, double memory_copy) {
  WeightBufferPool pool;
  std::vector<double> encode_s, apply_s;
  std::optional<std::string> delta;
  for (int round = 0; round < kRounds; ++round) {
    const WeightSnapshot::Ptr base = weights.live(), target = weights.Step();
    encode_s.push_back(Seconds([&] { delta = EncodeDelta(*base, *target, kThreads); }));
    apply_s.push_back(Seconds([&] { Require(ApplyDelta(*base, delta.value(), &pool, kThreads)); }));
  }
  const uint64_t bytes = weights.live()->bytes().size();
  Print("delta_encode", bytes, encode_s, memory_copy);
  Print("delta_apply", bytes, apply_s, memory_copy);
  PrintSaved("delta_size", bytes, delta->size());
}

void BenchGrpc(Weights& weights, double memory_copy) {
  WeightStore store;
  WeightService service(&store, {});
  WeightServer handler(&service);
  auto server = Require(RpcServer::Start("127.0.0.1:0", {}, {handler.grpc_service()}));
  WeightClient::Config config;
  config.address = server->address();
  auto client = Require(WeightClient::Create(config));
  WeightSnapshot::Ptr have = weights.live();
  service.Publish(have);
  std::vector<double> full_s, delta_s;
  WeightClient::Stats stats;
  for (int round = -1; round < kRounds; ++round) {
    const double full =
        Seconds([&] { have = Require(client->Fetch({}, nullptr, absl::Minutes(5))); });
    service.Publish(weights.Step());
    const double delta =
        Seconds([&] { Require(client->Fetch({}, have, absl::Minutes(5), &stats)); });
    if (round < 0) continue;
    full_s.push_back(full);
    delta_s.push_back(delta);
  }
  const uint64_t bytes = have->bytes().size();
  Print("grpc", bytes, full_s, memory_copy);
  Print("grpc_delta", bytes, delta_s, memory_copy);
  PrintSaved("grpc_delta_size", stats.full_bytes, stats.received_bytes);
}

}  // namespace
}  // namespace ziprl

int main(int argc, char** argv) {
  ziprl::Weights weights(argc > 1 ? std::max(8, std::atoi(argv[1])) : 512);
  const double memory_copy = ziprl::BenchMemory(weights);
  ziprl::BenchSharedMemory(weights, memory_copy);
  ziprl::BenchDelta(weights, memory_copy);
  ziprl::BenchGrpc(weights, memory_copy);
}
