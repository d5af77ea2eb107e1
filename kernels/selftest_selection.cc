#include "kernels/device_buffer.h"
#include "kernels/selftest_cases.h"

namespace ziprl::kernels {
namespace {

struct ProbeShape {
  const char* name;
  int num_heads, num_kv_heads, head_dim, num_probes, num_keys;
};

SelfTestResult CompareProbeMass(const CudaTable& table, const ProbeShape& s) {
  std::mt19937 rng(107);
  const std::vector<float> q = Normal(rng, int64_t{s.num_probes} * s.num_heads * s.head_dim, 1.5f);
  const std::vector<float> k = Normal(rng, int64_t{s.num_keys} * s.num_kv_heads * s.head_dim, 1.5f);
  const std::vector<float> da = Normal(rng, s.num_keys);
  std::vector<int32_t> limit(s.num_probes);
  for (int32_t& l : limit) l = 1 + static_cast<int32_t>(rng() % s.num_keys);
  ProbeMassParams p;
  p.q_stride = int64_t{s.num_heads} * s.head_dim;
  p.k_stride = int64_t{s.num_kv_heads} * s.head_dim;
  p.num_probes = s.num_probes, p.num_keys = s.num_keys, p.num_heads = s.num_heads;
  p.num_kv_heads = s.num_kv_heads, p.head_dim = s.head_dim;
  p.scale = 1.0f / std::sqrt(static_cast<float>(s.head_dim));

  p.q = q.data(), p.k = k.data(), p.limit = limit.data();
  std::vector<int64_t> mass(s.num_keys);
  std::vector<float> lse(int64_t{s.num_probes} * s.num_heads), dq(q.size()), dk(k.size());
  ProbeMass(Backend::kCpu, p, mass.data(), lse.data(), nullptr);
  ProbeMassBackward(Backend::kCpu, p, lse.data(), da.data(), dq.data(), dk.data(), nullptr);

  const DeviceBuffer device_q(table, q);
  const DeviceBuffer device_k(table, k);
  const DeviceBuffer device_da(table, da);
  const DeviceBuffer device_limit(table, limit);
  const DeviceBuffer device_mass(table, std::vector<int64_t>(mass));
  const DeviceBuffer device_lse(table, std::vector<float>(lse.size(), NAN));
  const DeviceBuffer device_dq(table, std::vector<float>(q.size(), NAN));
  const DeviceBuffer device_dk(table, std::vector<float>(k.size(), NAN));
  p.q = device_q.get(), p.k = device_k.get(), p.limit = device_limit.get();
  table.probe_mass(p, device_mass.get(), device_lse.get(), nullptr);
  table.probe_mass_backward(p, device_lse.get(), device_da.get(), device_dq.get(), device_dk.get(),
                            nullptr);
  return {std::max({Deviation(device_mass.Host(), mass), Deviation(device_lse.Host(), lse),
                    Deviation(device_dq.Host(), dq), Deviation(device_dk.Host(), dk)}),
          1e-5};
}

struct SelectShape {
  const char* name;
  int num_keys;
  bool ties, forced;
};

bool SameSelection(const TopPResult& x, const TopPResult& y) {
  return x.budget == y.budget && x.kept == y.kept && x.mass_threshold == y.mass_threshold &&
         x.score_threshold == y.score_threshold && x.kept_mass == y.kept_mass;
}

// The same mass on both sides: the sets must be equal bit for bit.
SelfTestResult CompareSelect(const CudaTable& table, const SelectShape& s) {
  std::mt19937_64 rng(109);
  std::vector<int64_t> mass(s.num_keys);
  std::vector<int32_t> seen(s.num_keys);
  std::vector<uint8_t> forced(s.num_keys);
  for (int j = 0; j < s.num_keys; ++j) {
    mass[j] = s.ties ? static_cast<int64_t>(rng() % 4) << 38 : static_cast<int64_t>(rng() >> 24);
    seen[j] = static_cast<int32_t>(s.ties ? rng() % 3 : 1 + rng() % 100);
    forced[j] = rng() % 8 == 0;
  }
  const DeviceBuffer device_mass(table, mass);
  const DeviceBuffer device_seen(table, seen);
  const DeviceBuffer device_forced(table, forced);
  double wrong = 0.0;
  for (double threshold : {1e-9, 0.4, 0.75, 0.975, 1.0}) {
    TopPParams p;
    p.num_keys = s.num_keys, p.num_heads = 4, p.p = threshold;
    p.mass = mass.data(), p.seen = seen.data(), p.forced = s.forced ? forced.data() : nullptr;
    std::vector<uint8_t> keep(s.num_keys);
    std::vector<float> score(s.num_keys);
    std::vector<TopPResult> result(1);
    TopPSelect(Backend::kCpu, p, keep.data(), score.data(), result.data(), nullptr);

    const DeviceBuffer device_keep(table, std::vector<uint8_t>(s.num_keys, 9));
    const DeviceBuffer device_score(table, std::vector<float>(s.num_keys, NAN));
    const DeviceBuffer device_result(table, std::vector<TopPResult>(1));
    p.mass = device_mass.get(), p.seen = device_seen.get();
    p.forced = s.forced ? device_forced.get() : nullptr;
    table.top_p_select(p, device_keep.get(), device_score.get(), device_result.get(), nullptr);
    wrong += device_keep.Host() != keep;
    wrong += device_score.Host() != score;
    wrong += !SameSelection(device_result.Host()[0], result[0]);
  }
  return {wrong, 0.0};
}

SelfTestResult CompareGatherScatter(const CudaTable& table, int64_t row_bytes) {
  std::mt19937 rng(113);
  const int rows = 50;
  std::vector<uint8_t> src(rows * row_bytes);
  for (uint8_t& byte : src) byte = static_cast<uint8_t>(rng());
  const std::vector<int64_t> index = {3, 49, 0, 17, 18};
  const int64_t count = static_cast<int64_t>(index.size());
  std::vector<uint8_t> packed(count * row_bytes), back(src.size());
  GatherRows(Backend::kCpu, src.data(), index.data(), count, row_bytes, packed.data(), nullptr);
  ScatterRows(Backend::kCpu, packed.data(), index.data(), count, row_bytes, back.data(), rows,
              nullptr);
  const DeviceBuffer device_src(table, src);
  const DeviceBuffer device_back(table, src);
  const DeviceBuffer device_index(table, index);
  const DeviceBuffer device_packed(table, std::vector<uint8_t>(packed.size(), 0xee));
  table.gather_rows(device_src.get(), device_index.get(), count, row_bytes, device_packed.get(),
                    nullptr);
  table.scatter_rows(device_packed.get(), device_index.get(), count, row_bytes, device_back.get(),
                     rows, nullptr);
  return {static_cast<double>(device_packed.Host() != packed) + (device_back.Host() != back), 0.0};
}

}  // namespace

std::vector<SelfTestCase> SelectionSelfTests() {
  std::vector<SelfTestCase> cases;
  for (const ProbeShape& s : {ProbeShape{"ProbeMass_gqa", 4, 2, 32, 40, 150},
                              ProbeShape{"ProbeMass_odd_dim", 3, 3, 20, 7, 65},
                              ProbeShape{"ProbeMass_dim_64", 2, 1, 64, 65, 66},
                              ProbeShape{"ProbeMass_dim_128", 2, 1, 128, 33, 100}}) {
    cases.push_back({s.name, [s](const CudaTable& table) { return CompareProbeMass(table, s); }});
  }
  for (const SelectShape& s : {SelectShape{"TopPSelect_one_key", 1, false, false},
                               SelectShape{"TopPSelect_distinct", 1200, false, true},
                               SelectShape{"TopPSelect_ties", 700, true, true},
                               SelectShape{"TopPSelect_ties_unforced", 513, true, false}}) {
    cases.push_back({s.name, [s](const CudaTable& table) { return CompareSelect(table, s); }});
  }
  for (int row_bytes : {1, 12, 64}) {
    cases.push_back(
        {"GatherScatterRows_" + std::to_string(row_bytes) + "_bytes",
         [row_bytes](const CudaTable& table) { return CompareGatherScatter(table, row_bytes); }});
  }
  return cases;
}

}  // namespace ziprl::kernels
