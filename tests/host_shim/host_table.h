// A CudaTable whose kernels run on the host shim: the device code, without a device.
#pragma once

namespace ziprl::kernels {

struct CudaTable;
const CudaTable& HostShimTable();

}  // namespace ziprl::kernels
