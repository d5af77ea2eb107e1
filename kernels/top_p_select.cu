// The device code of the op; see the .cuh.
#include "kernels/cuda_launch.h"
#include "kernels/top_p_select.cuh"
