// Keys of a config.json that do not say what the model computes.
#pragma once

#include <span>
#include <string_view>

namespace ziprl {

// What transformers (4 and 5) stores of every configuration, generation settings of older releases,
// and keys of the published checkpoints that no release reads.
std::span<const std::string_view> HarmlessConfigKeys();

}  // namespace ziprl
