// The library that captures CUDA graphs: on a device a captured operation is replayed; without one
// it is loaded and says what is missing.
#include "model/device_graphs.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "model/device.h"

namespace ziprl {
namespace {

TEST(DeviceGraphsTest, ReplaysOnADeviceAndSaysWhatIsMissingWithoutOne) {
  const auto device = MakeDevice("auto", "fp32");
  ASSERT_TRUE(device.ok()) << device.status();
  const auto graphs = OpenDeviceGraphs(0);
  ASSERT_TRUE(graphs.ok()) << graphs.status();
  std::string error;
  if (!device->device.is_cuda()) {
    int captured = 0;
    EXPECT_EQ((*graphs)->Capture([&] { ++captured; }, &error), nullptr);
    EXPECT_THAT(error, testing::HasSubstr("driver"));
    EXPECT_EQ(captured, 0);
    EXPECT_EQ((*graphs)->Capture([&] { ++captured; }, &error), nullptr);
    EXPECT_THAT(error, testing::HasSubstr("an earlier attempt of this process failed"));
    return;
  }
  const at::Tensor x = at::zeros({4}, device->Float());
  at::Tensor y = x + 1;  // what is loaded with the first operation is
  const std::unique_ptr<DeviceGraph> graph = (*graphs)->Capture([&] { y = x + 1; }, &error);
  ASSERT_NE(graph, nullptr) << error;
  for (float value : {2.0f, 5.0f}) {
    x.fill_(value);
    graph->Replay();
    EXPECT_EQ(y.sum().item<float>(), 4 * (value + 1));
  }
}

}  // namespace
}  // namespace ziprl
