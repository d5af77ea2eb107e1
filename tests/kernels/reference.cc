#include "tests/kernels/reference.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ziprl::kernels::reference {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();

double Dot(const double* x, const double* y, int n) {
  double sum = 0.0;
  for (int i = 0; i < n; ++i) sum += x[i] * y[i];
  return sum;
}

// Softmax of the finite entries in place; all -inf becomes all zero. Returns log-sum-exp.
double Softmax(Doubles& logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  if (top == -kInf) {
    std::fill(logits.begin(), logits.end(), 0.0);
    return -kInf;
  }
  double sum = 0.0;
  for (double& x : logits) sum += x = std::exp(x - top);
  for (double& x : logits) x /= sum;
  return top + std::log(sum);
}

// One (segment, query row, head): weights over all keys of the segment.
struct RowWeights {
  int first = 0;
  Doubles weight;
  double lse = 0.0;
};

RowWeights WeightsOf(const RaggedAttentionParams& p, const Doubles& q, const Doubles& k,
                     int segment, int row, int head) {
  RowWeights result;
  result.first = p.k_offsets[segment];
  const int end = p.k_offsets[segment + 1], kv = head * p.num_kv_heads / p.num_heads;
  for (int j = result.first; j < end; ++j) {
    const bool sees = p.k_pos[j] <= p.q_pos[row] && p.q_pos[row] < p.k_end[j];
    const double* query = &q[(int64_t{row} * p.num_heads + head) * p.head_dim];
    const double* key = &k[(int64_t{j} * p.num_kv_heads + kv) * p.head_dim];
    result.weight.push_back(sees ? Dot(query, key, p.head_dim) * p.scale : -kInf);
  }
  result.lse = result.weight.empty() ? -kInf : Softmax(result.weight);
  return result;
}

template <typename Visit>
void ForEachRow(const RaggedAttentionParams& p, Visit visit) {
  for (int s = 0; s < p.num_segments; ++s) {
    for (int row = p.q_offsets[s]; row < p.q_offsets[s + 1]; ++row) {
      for (int head = 0; head < p.num_heads; ++head) visit(s, row, head);
    }
  }
}

}  // namespace

Doubles ProbeWeights(const ProbeMassParams& p, const Doubles& q, const Doubles& k) {
  Doubles a;
  for (int head = 0; head < p.num_heads; ++head) {
    const int kv = head * p.num_kv_heads / p.num_heads;
    for (int c = 0; c < p.num_probes; ++c) {
      Doubles row(p.num_keys, -kInf);
      for (int j = 0; j < p.limit[c]; ++j) {
        row[j] = p.scale * Dot(&q[(int64_t{c} * p.num_heads + head) * p.head_dim],
                               &k[(int64_t{j} * p.num_kv_heads + kv) * p.head_dim], p.head_dim);
      }
      Softmax(row);
      a.insert(a.end(), row.begin(), row.end());
    }
  }
  return a;
}

ProbeGradients ProbeMassBackward(const ProbeMassParams& p, const Doubles& q, const Doubles& k,
                                 const Doubles& da) {
  const Doubles a = ProbeWeights(p, q, k);
  ProbeGradients g{Doubles(q.size(), 0.0), Doubles(k.size(), 0.0)};
  for (int head = 0; head < p.num_heads; ++head) {
    const int kv = head * p.num_kv_heads / p.num_heads;
    for (int c = 0; c < p.num_probes; ++c) {
      const double* row = &a[(int64_t{head} * p.num_probes + c) * p.num_keys];
      const double mean = Dot(row, da.data(), p.num_keys) / p.num_heads;
      for (int j = 0; j < p.limit[c]; ++j) {
        const double dlogit = row[j] * (da[j] / p.num_heads - mean) * p.scale;
        for (int d = 0; d < p.head_dim; ++d) {
          const int64_t qi = (int64_t{c} * p.num_heads + head) * p.head_dim + d;
          const int64_t ki = (int64_t{j} * p.num_kv_heads + kv) * p.head_dim + d;
          g.dq[qi] += dlogit * k[ki];
          g.dk[ki] += dlogit * q[qi];
        }
      }
    }
  }
  return g;
}

Attention RaggedAttention(const RaggedAttentionParams& p, const Doubles& q, const Doubles& k,
                          const Doubles& v) {
  Attention result{Doubles(q.size(), 0.0), Doubles(q.size() / p.head_dim, 0.0)};
  ForEachRow(p, [&](int segment, int row, int head) {
    const RowWeights w = WeightsOf(p, q, k, segment, row, head);
    const int kv = head * p.num_kv_heads / p.num_heads;
    const int64_t at = int64_t{row} * p.num_heads + head;
    result.lse[at] = w.lse;
    for (size_t j = 0; j < w.weight.size(); ++j) {
      for (int d = 0; d < p.head_dim; ++d) {
        result.out[at * p.head_dim + d] +=
            w.weight[j] * v[((w.first + j) * p.num_kv_heads + kv) * p.head_dim + d];
      }
    }
  });
  return result;
}

AttentionGradients RaggedAttentionBackward(const RaggedAttentionParams& p, const Doubles& q,
                                           const Doubles& k, const Doubles& v,
                                           const Doubles& dout) {
  AttentionGradients g{Doubles(q.size(), 0.0), Doubles(k.size(), 0.0), Doubles(v.size(), 0.0)};
  ForEachRow(p, [&](int segment, int row, int head) {
    const RowWeights w = WeightsOf(p, q, k, segment, row, head);
    const int kv = head * p.num_kv_heads / p.num_heads;
    const int64_t at = (int64_t{row} * p.num_heads + head) * p.head_dim;
    Doubles dweight(w.weight.size());
    for (size_t j = 0; j < dweight.size(); ++j) {
      dweight[j] =
          Dot(&dout[at], &v[((w.first + j) * p.num_kv_heads + kv) * p.head_dim], p.head_dim);
    }
    const double mean = Dot(w.weight.data(), dweight.data(), dweight.size());
    for (size_t j = 0; j < dweight.size(); ++j) {
      const double dlogit = w.weight[j] * (dweight[j] - mean) * p.scale;
      for (int d = 0; d < p.head_dim; ++d) {
        const int64_t kj = ((w.first + j) * p.num_kv_heads + kv) * p.head_dim + d;
        g.dq[at + d] += dlogit * k[kj];
        g.dk[kj] += dlogit * q[at + d];
        g.dv[kj] += w.weight[j] * dout[at + d];
      }
    }
  });
  return g;
}

namespace {

// Index of the largest value among those not taken; the lower index wins a tie.
template <typename T>
int Largest(const std::vector<T>& value, const std::vector<uint8_t>& taken) {
  int best = -1;
  for (size_t j = 0; j < value.size(); ++j) {
    if (taken[j] == 0 && (best < 0 || value[j] > value[best])) best = static_cast<int>(j);
  }
  return best;
}

}  // namespace

Selection TopPSelect(const TopPParams& p) {
  const int n = p.num_keys;
  const std::vector<int64_t> mass(p.mass, p.mass + n);
  int64_t total = 0;
  for (int64_t m : mass) total += m;
  Selection s;
  std::vector<uint8_t> taken(n, 0);
  int64_t reached = 0;
  while (s.result.budget < n &&
         (p.p >= 1.0 || s.result.budget == 0 || double(reached) < std::ceil(p.p * double(total)))) {
    const int j = Largest(mass, taken);
    taken[j] = 1;
    reached += mass[j];
    ++s.result.budget;
    s.result.mass_threshold = j;
  }
  Doubles score(n);
  for (int j = 0; j < n; ++j) {
    const double a = double(mass[j]) / (p.num_heads * kMassOne);
    score[j] = p.seen[j] > 0 ? a / p.seen[j] : 0.0;
  }
  taken.assign(n, 0);
  for (int rank = 0; rank < s.result.budget; ++rank) {
    s.result.score_threshold = Largest(score, taken);
    taken[s.result.score_threshold] = 1;
  }
  s.keep.assign(n, 0);
  for (int j = 0; j < n; ++j) s.keep[j] = p.forced != nullptr && p.forced[j] != 0;
  s.result.kept = std::count(s.keep.begin(), s.keep.end(), 1);
  for (; s.result.kept < s.result.budget; ++s.result.kept) s.keep[Largest(score, s.keep)] = 1;
  for (int j = 0; j < n; ++j) {
    if (s.keep[j] != 0) s.result.kept_mass += double(mass[j]) / (p.num_heads * kMassOne);
  }
  return s;
}

}  // namespace ziprl::kernels::reference

namespace ziprl::kernels {

std::vector<float> RandomFloats(std::mt19937& rng, int64_t count, float deviation) {
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> x(count);
  for (float& value : x) value = normal(rng);
  return x;
}

double RelativeError(const std::vector<float>& x, const std::vector<double>& y) {
  double difference = 0.0, greatest = 0.0;
  for (size_t i = 0; i < y.size(); ++i) {
    difference = std::max(difference, std::fabs(x[i] - y[i]));
    greatest = std::max(greatest, std::fabs(y[i]));
  }
  return difference / (greatest > 0.0 ? greatest : 1.0);
}

}  // namespace ziprl::kernels
