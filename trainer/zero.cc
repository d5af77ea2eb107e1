#include "trainer/zero.h"

#include <ATen/ATen.h>
#include <c10/core/DeviceGuard.h>

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/status_macros.h"
#include "trainer/gradients.h"

namespace ziprl {
namespace {

constexpr size_t kReductionsUnderWay = 2;  // more would hold gradients longer than they are needed

std::vector<int64_t> BytesOf(const std::vector<int64_t>& counts, const at::Tensor& like) {
  std::vector<int64_t> bytes;
  for (int64_t count : counts) bytes.push_back(count * static_cast<int64_t>(like.element_size()));
  return bytes;
}

// Storage comes and goes under tensors that stay, leaves of autograd among them. On a GPU it is
// taken and given back in the order of torch's current stream, and communicators follow that stream
// when an operation is issued and are done when it returns: no other stream is left with it.
void Allocate(const at::Tensor& flat) {
  const c10::DeviceGuard guard(flat.device());  // an allocator serves the thread's device
  c10::StorageImpl* storage = flat.storage().unsafeGetStorageImpl();
  const size_t bytes = flat.numel() * flat.element_size();
  storage->set_data_ptr_noswap(storage->allocator()->allocate(bytes));
  storage->set_nbytes(bytes);
}

void Free(const at::Tensor& flat) {
  c10::StorageImpl* storage = flat.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(at::DataPtr(nullptr, flat.device()));
  storage->set_nbytes(0);
}

}  // namespace

ZeroShards::ZeroShards(Model& model, comm::Communicator& communicator, Config config)
    : model_(model), comm_(communicator), config_(config), sharded_params_(config.level >= 3) {
  std::vector<std::string> names;
  for (size_t i = 0; i < model.params.size(); ++i) {
    names.push_back(model.params.name(i));
    numel_.push_back(model.params.tensor(i).numel());
  }
  for (ParamBlock& params : ParamBlocks(model.arch, names, numel_, config.freeze_vision)) {
    Block block;
    block.params = std::move(params);
    BuildBlock(&block);
    blocks_.push_back(std::move(block));
  }
  BuildPieces();
  Release();
}

ZeroShards::~ZeroShards() {
  for (Reduction& reduction : reductions_) {
    Checked(reduction.pending->Wait(), {reduction.input, reduction.output}).IgnoreError();
  }
  if (broken_) new std::vector<Block>(std::move(blocks_));
}

absl::Status ZeroShards::Checked(absl::Status status, const std::vector<at::Tensor>& buffers) {
  if (status.ok()) return status;
  broken_ = true;
  new std::vector<at::Tensor>(buffers);
  return status;
}

void ZeroShards::BuildBlock(Block* block) {
  const at::NoGradGuard no_grad;
  const Device& device = model_.device;
  block->counts = ShardCounts(block->params.size, comm_.size());
  for (int r = 0; r < comm_.rank(); ++r) block->begin += block->counts[r];
  block->flat = at::empty({block->params.size}, device.Options());
  int64_t at = 0;
  for (int param : block->params.params) {
    at::Tensor& tensor = model_.params.tensor(param);
    const at::Tensor view = block->flat.narrow(0, at, numel_[param]).view(tensor.sizes());
    view.copy_(tensor);
    tensor = view;
    at += numel_[param];
  }
  const int64_t count = block->counts[comm_.rank()];
  block->part = block->flat.narrow(0, block->begin, count);
  if (sharded_params_) block->part = block->part.clone();
  if (config_.level == 0) {
    block->grad_full = at::zeros({block->params.size}, device.Float());
    block->grad_part = block->grad_full.narrow(0, block->begin, count);
  } else {
    block->grad_part = at::zeros({count}, device.Float());
  }
}

void ZeroShards::BuildPieces() {
  const bool whole = config_.level == 0;
  for (const Block& block : blocks_) {
    const auto segments = whole ? ShardSegments(block.params, numel_, 0, 1)
                                : ShardSegments(block.params, numel_, comm_.rank(), comm_.size());
    const at::Tensor& weights = whole ? block.flat : block.part;
    const at::Tensor& grads = whole ? block.grad_full : block.grad_part;
    for (const ShardSegment& s : segments) {
      pieces_.push_back(
          {s.param, s.offset, weights.narrow(0, s.at, s.count), grads.narrow(0, s.at, s.count)});
    }
  }
}

absl::Status ZeroShards::Gather(Block* block) {
  if (block->present) return absl::OkStatus();
  Allocate(block->flat);
  block->present = true;
  return Checked(comm_.AllGather({"parameters", step_}, block->part.data_ptr(),
                                 block->flat.data_ptr(), BytesOf(block->counts, block->flat)));
}

void ZeroShards::Drop(Block* block) {
  if (!sharded_params_ || !block->present || broken_) return;
  Free(block->flat);
  block->present = false;
}

absl::Status ZeroShards::Enter(int block) {
  if (!sharded_params_) return absl::OkStatus();
  return Gather(&blocks_[block]);
}

void ZeroShards::Leave(int block) { Drop(&blocks_[block]); }

absl::Status ZeroShards::GradientsReady(int block, GradientSum* grads) {
  const at::NoGradGuard no_grad;
  const Block& b = blocks_[block];
  if (b.params.size == 0) return absl::OkStatus();
  Reduction reduction;
  reduction.block = block;
  reduction.input = at::zeros({b.params.size}, model_.device.Float());
  reduction.output = at::empty_like(b.grad_part);
  int64_t at = 0;
  for (int param : b.params.params) {
    const at::Tensor grad = grads->Take(param);
    if (grad.defined()) reduction.input.narrow(0, at, numel_[param]).copy_(grad.view({-1}));
    at += numel_[param];
  }
  reduction.pending =
      comm_.ReduceScatterSumAsync({"gradients", step_}, reduction.input.data_ptr<float>(),
                                  reduction.output.data_ptr<float>(), b.counts);
  reductions_.push_back(std::move(reduction));
  while (reductions_.size() > kReductionsUnderWay) ZIPRL_RETURN_IF_ERROR(FinishOldest());
  return absl::OkStatus();
}

absl::Status ZeroShards::FinishOldest() {
  const Reduction reduction = std::move(reductions_.front());
  reductions_.pop_front();
  ZIPRL_RETURN_IF_ERROR(Checked(reduction.pending->Wait(), {reduction.input, reduction.output}));
  blocks_[reduction.block].grad_part.add_(reduction.output);
  return absl::OkStatus();
}

void ZeroShards::Begin(int64_t step) {
  step_ = step;
  for (Block& block : blocks_) block.grad_part.zero_();
}

absl::Status ZeroShards::FinishGradients() {
  while (!reductions_.empty()) ZIPRL_RETURN_IF_ERROR(FinishOldest());
  return absl::OkStatus();
}

absl::StatusOr<double> ZeroShards::GradientNorm() {
  double sum = 0;
  for (const Block& block : blocks_) {
    const at::Tensor norm =
        at::linalg_vector_norm(block.grad_part, 2, at::OptionalIntArrayRef(), false, at::kDouble);
    sum += norm.item<double>() * norm.item<double>();
  }
  const at::Tensor total = at::full({1}, sum, model_.device.Float().dtype(at::kDouble));
  ZIPRL_RETURN_IF_ERROR(AllReduce("gradient norm", total));
  return std::sqrt(total.item<double>());
}

absl::Status ZeroShards::AllReduce(const std::string& what, const at::Tensor& values) {
  const comm::OpLabel label(what, step_);
  const int64_t n = values.numel();
  return Checked(values.scalar_type() == at::kDouble
                     ? comm_.AllReduceSum(label, values.data_ptr<double>(), n)
                     : comm_.AllReduceSum(label, values.data_ptr<float>(), n),
                 {values});
}

absl::Status ZeroShards::ShareGradients() {
  if (config_.level > 0) return absl::OkStatus();
  for (Block& block : blocks_) {
    ZIPRL_RETURN_IF_ERROR(Checked(comm_.AllGather({"gradients", step_}, block.grad_part.data_ptr(),
                                                  block.grad_full.data_ptr(),
                                                  BytesOf(block.counts, block.grad_full))));
  }
  return absl::OkStatus();
}

absl::Status ZeroShards::ShareParams() {
  if (config_.level == 0 || sharded_params_) return absl::OkStatus();
  for (Block& block : blocks_) {
    ZIPRL_RETURN_IF_ERROR(
        Checked(comm_.AllGather({"parameters", step_}, block.part.data_ptr(), block.flat.data_ptr(),
                                BytesOf(block.counts, block.flat))));
  }
  return absl::OkStatus();
}

absl::Status ZeroShards::Materialize() {
  for (Block& block : blocks_) ZIPRL_RETURN_IF_ERROR(Gather(&block));
  return absl::OkStatus();
}

void ZeroShards::Release() {
  for (Block& block : blocks_) Drop(&block);
}

void ZeroShards::TakeParts() {
  if (!sharded_params_) return;
  for (Block& block : blocks_) {
    block.part.copy_(block.flat.narrow(0, block.begin, block.part.numel()));
  }
}

int64_t ZeroShards::GradientBytes() const {
  int64_t bytes = 0;
  for (const Block& block : blocks_) {
    const at::Tensor& held = config_.level == 0 ? block.grad_full : block.grad_part;
    bytes += held.numel() * static_cast<int64_t>(held.element_size());
  }
  return bytes;
}

int64_t ZeroShards::ParamBytes() const {
  int64_t bytes = 0;
  for (const Block& block : blocks_) {
    const at::Tensor& held = sharded_params_ ? block.part : block.flat;
    bytes += held.numel() * static_cast<int64_t>(held.element_size());
  }
  return bytes;
}

}  // namespace ziprl
