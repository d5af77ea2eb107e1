// The device code of the op; see the .cuh.
#include "kernels/cuda_launch.h"
#include "kernels/token_logprob.cuh"
