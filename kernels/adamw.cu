// The device code of the op; see the .cuh.
// clang-format off
#include "kernels/cuda_launch.h"  // CUDA_LAUNCH must be known first
#include "kernels/adamw.cuh"
// clang-format on
