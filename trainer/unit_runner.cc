#include "trainer/unit_runner.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/autograd.h>

#include <map>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "configs/base/parallel.h"
#include "configs/base/status_macros.h"
#include "model/vision_tower.h"
#include "trainer/host_tensor.h"
#include "trainer/param_blocks.h"

namespace ziprl {
namespace {

std::vector<const MediaRef*> MediaOf(const std::vector<TrainSequence>& sequences,
                                     const std::vector<TrainUnit>& units) {
  std::vector<const MediaRef*> images;
  for (const TrainUnit& unit : units) {
    for (const std::vector<int>& pack : unit.packs) {
      for (int i : pack) {
        for (const MediaRef& image : sequences[i].media) images.push_back(&image);
      }
    }
  }
  return images;
}

}  // namespace

absl::Status CatchTorch(const std::function<absl::Status()>& fn) {
  try {
    return fn();
  } catch (const std::bad_alloc& e) {
    return absl::ResourceExhaustedError(absl::StrCat("out of memory: ", e.what()));
  } catch (const c10::Error& e) {
    return absl::InternalError(e.what_without_backtrace());
  } catch (const std::exception& e) {
    return absl::InternalError(e.what());
  }
}

at::Tensor SuppressedTensor(const Model& model) {
  return ByteTensor(model.processor->SuppressedIds(), model.device);
}

struct UnitRunner::UnitImages {
  std::map<uint64_t, int> index;          // content hash -> place in `images`
  std::vector<const MediaRef*> images;    // distinct, in order of first use
  std::vector<at::Tensor> embeddings;     // [M_i, C] each, no graph
  std::vector<at::Tensor> tower_outputs;  // with graph: one for all images, or one per image
  std::vector<at::Tensor> grads;          // dLoss/dembeddings, undefined until something was added

  // Rows of a pack's placeholders, in order; undefined if it has none.
  at::Tensor Visual(const PackPass& pass) const {
    std::vector<at::Tensor> parts;
    for (const TrainSequence* s : pass.sequences()) {
      for (const MediaRef& image : s->media) {
        parts.push_back(embeddings[index.at(image.content_hash)]);
      }
    }
    return parts.empty() ? at::Tensor() : at::cat(parts);
  }

  void AddGrad(const PackPass& pass, const at::Tensor& grad) {
    int64_t from = 0;
    for (const TrainSequence* s : pass.sequences()) {
      for (const MediaRef& image : s->media) {
        const int i = index.at(image.content_hash);
        const int64_t count = embeddings[i].size(0);
        const at::Tensor part = grad.narrow(0, from, count);
        if (grads[i].defined()) {
          grads[i].add_(part);
        } else {
          grads[i] = part.clone();
        }
        from += count;
      }
    }
  }
};

UnitRunner::UnitRunner(const Model& model, VisualFeatures& features, Config config)
    : model_(model),
      features_(features),
      config_(std::move(config)),
      vision_params_(VisionParamIndices(model.params)) {
  for (int w = 0; w < config_.workers; ++w) {
    workers_.push_back({MakeLeaves(model.params), GradientSum(model.params.size())});
  }
}

absl::Status UnitRunner::Run(const std::vector<TrainSequence>& sequences,
                             const std::vector<TrainUnit>& units, const MakePolicy& make_policy,
                             const PackLoss& loss) {
  ClearGradients();
  if (config_.pass.listener == nullptr) {
    return RunUnits(sequences, units, make_policy, loss);
  }
  if (config_.workers != 1 || units.size() > rounds_.size()) {
    return absl::InternalError(absl::StrCat("a listener with ", config_.workers, " workers, ",
                                            units.size(), " units in ", rounds_.size(), " rounds"));
  }
  std::vector<TrainUnit> padded = units;
  padded.resize(rounds_.size());
  return RunUnits(sequences, padded, make_policy, loss);
}

absl::Status UnitRunner::RunUnits(const std::vector<TrainSequence>& sequences,
                                  const std::vector<TrainUnit>& units,
                                  const MakePolicy& make_policy, const PackLoss& loss) {
  features_.Prefetch(model_, MediaOf(sequences, units), model_.version);
  std::vector<absl::Status> status(units.size());
  ParallelUnits(static_cast<int>(units.size()), config_.workers, [&](int unit, int worker) {
    at::init_num_threads();
    status[unit] = CatchTorch(
        [&] { return RunUnit(sequences, units[unit], unit, worker, make_policy, loss); });
  });
  for (const absl::Status& s : status) ZIPRL_RETURN_IF_ERROR(s);
  return CatchTorch([&] {
    for (int w = 1; w < config_.workers; ++w) {
      workers_[0].gradients.AddAll(workers_[w].gradients);
      workers_[w].gradients.Clear();
    }
    return absl::OkStatus();
  });
}

void UnitRunner::ClearGradients() {
  for (Worker& worker : workers_) worker.gradients.Clear();
}

absl::Status UnitRunner::RunUnit(const std::vector<TrainSequence>& sequences, const TrainUnit& unit,
                                 size_t index, int worker, const MakePolicy& make_policy,
                                 const PackLoss& loss) {
  ZIPRL_ASSIGN_OR_RETURN(UnitImages images, OpenImages(sequences, unit, workers_[worker]));
  for (const std::vector<int>& pack : unit.packs) {
    ZIPRL_RETURN_IF_ERROR(RunPack(sequences, pack, worker, &images, make_policy, loss));
  }
  ZIPRL_RETURN_IF_ERROR(IdlePasses(index, unit.packs.size(), &workers_[worker]));
  return CloseImages(&images, &workers_[worker]);
}

absl::Status UnitRunner::IdlePasses(size_t unit, size_t done, Worker* worker) {
  PassListener* const listener = config_.pass.listener;
  if (listener == nullptr) return absl::OkStatus();
  for (int pack = static_cast<int>(done); pack < rounds_[unit]; ++pack) {
    ZIPRL_RETURN_IF_ERROR(IdlePass(model_.arch, *listener, &worker->gradients));
  }
  return absl::OkStatus();
}

absl::Status UnitRunner::RunPack(const std::vector<TrainSequence>& sequences,
                                 const std::vector<int>& pack, int worker, UnitImages* images,
                                 const MakePolicy& make_policy, const PackLoss& loss) {
  std::vector<const TrainSequence*> members;
  for (int i : pack) members.push_back(&sequences[i]);
  const std::unique_ptr<LayerPolicy> policy = make_policy ? make_policy(pack) : nullptr;
  PackPass pass(model_.arch, model_.device, workers_[worker].leaves, config_.pass,
                std::move(members), policy.get());
  ZIPRL_ASSIGN_OR_RETURN(const PassResult result, pass.Forward(images->Visual(pass)));
  ZIPRL_ASSIGN_OR_RETURN(const std::vector<float> dlogprob, loss(pack, worker, pass, result));
  if (!config_.pass.gradients) return absl::OkStatus();
  const bool want_visual = !images->tower_outputs.empty();
  ZIPRL_ASSIGN_OR_RETURN(const at::Tensor grad,
                         pass.Backward(dlogprob, want_visual, &workers_[worker].gradients));
  if (grad.defined()) images->AddGrad(pass, grad);
  return absl::OkStatus();
}

absl::StatusOr<UnitRunner::UnitImages> UnitRunner::OpenImages(
    const std::vector<TrainSequence>& sequences, const TrainUnit& unit, const Worker& worker) {
  UnitImages out;
  for (const std::vector<int>& pack : unit.packs) {
    for (int i : pack) {
      for (const MediaRef& image : sequences[i].media) {
        const int next = static_cast<int>(out.images.size());
        if (out.index.emplace(image.content_hash, next).second) out.images.push_back(&image);
      }
    }
  }
  out.grads.resize(out.images.size());
  if (VisionTrains()) {
    PassListener* const listener = config_.pass.listener;
    if (listener != nullptr) ZIPRL_RETURN_IF_ERROR(listener->Enter(kVisionBlock));
    if (!out.images.empty()) ZIPRL_RETURN_IF_ERROR(BuildTower(worker, &out));
    if (listener != nullptr) listener->Leave(kVisionBlock);
  } else {
    for (const MediaRef* image : out.images) {
      ZIPRL_ASSIGN_OR_RETURN(at::Tensor rows,
                             features_.Embeddings(model_, {*image}, config_.pass.compute));
      out.embeddings.push_back(std::move(rows));
    }
  }
  return out;
}

absl::Status UnitRunner::BuildTower(const Worker& worker, UnitImages* images) {
  const at::AutoGradMode mode(true);
  std::vector<at::Tensor> values;
  std::vector<Grid> grids;
  for (const MediaRef* image : images->images) {
    ZIPRL_ASSIGN_OR_RETURN(const PatchTensor patches, features_.Patches(model_, *image));
    values.push_back(patches.values);
    grids.push_back(patches.grid);
  }
  const auto tower = [&](const at::Tensor& patches, const std::vector<Grid>& g) {
    images->tower_outputs.push_back(
        VisionTower(model_.arch, worker.leaves, patches, g, config_.pass.compute));
  };
  if (config_.single_images) {
    for (size_t i = 0; i < values.size(); ++i) tower(values[i], {grids[i]});
  } else {
    tower(at::cat(values), grids);
  }
  int64_t from = 0;
  const int merge = model_.arch.vision.merge;
  for (size_t i = 0; i < values.size(); ++i) {
    const int64_t count = values[i].size(0) / (merge * merge);
    const at::Tensor& out = images->tower_outputs[config_.single_images ? i : 0];
    images->embeddings.push_back(out.detach().narrow(0, config_.single_images ? 0 : from, count));
    from += count;
  }
  return absl::OkStatus();
}

absl::Status UnitRunner::CloseImages(UnitImages* images, Worker* worker) {
  PassListener* const listener = config_.pass.listener;
  if (!VisionTrains()) return absl::OkStatus();
  if (listener != nullptr) ZIPRL_RETURN_IF_ERROR(listener->Enter(kVisionBlock));
  if (!images->tower_outputs.empty()) TowerBackward(images, worker);
  if (listener == nullptr) return absl::OkStatus();
  listener->Leave(kVisionBlock);
  return listener->GradientsReady(kVisionBlock, &worker->gradients);
}

void UnitRunner::TowerBackward(UnitImages* images, Worker* worker) {
  const at::AutoGradMode mode(true);
  std::vector<at::Tensor> grads;
  for (size_t i = 0; i < images->images.size(); ++i) {
    grads.push_back(images->grads[i].defined() ? images->grads[i]
                                               : at::zeros_like(images->embeddings[i]));
  }
  if (!config_.single_images) grads = {at::cat(grads)};
  std::vector<at::Tensor> leaves;
  for (int i : vision_params_) leaves.push_back(worker->leaves.tensor(i));
  const auto result =
      torch::autograd::grad(images->tower_outputs, leaves, grads, /*retain_graph=*/false,
                            /*create_graph=*/false, /*allow_unused=*/true);
  for (size_t i = 0; i < vision_params_.size(); ++i) {
    worker->gradients.Add(vision_params_[i], result[i]);
  }
}

}  // namespace ziprl
