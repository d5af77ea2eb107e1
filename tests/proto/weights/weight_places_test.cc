#include "proto/weights/weight_places.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace ziprl {
namespace {

TEST(WeightPlacesTest, TextsComeBackAsTheyWere) {
  for (const char* text :
       {"broadcast", "node1:7000", "[::1]:7000", "shm:12-ab_C@node1", "shm:12-ab@node1 node1:7000",
        "shm:7000", "broadcast shm:j@h 10.0.0.1:1"}) {
    const auto places = WeightPlaces::Parse(text);
    ASSERT_TRUE(places.ok()) << places.status();
    EXPECT_EQ(places->ToString(), text);
  }
  const WeightPlaces places = *WeightPlaces::Parse("shm:12-ab@node1 node1:7000");
  EXPECT_EQ(places.job, "12-ab");
  EXPECT_EQ(places.host, "node1");
  EXPECT_EQ(places.address, "node1:7000");
  EXPECT_FALSE(places.broadcast);
  EXPECT_EQ(WeightPlaces::Parse("shm:7000")->address, "shm:7000");  // a host of that name
}

// A lease comes from another process: its job becomes part of a file name.
TEST(WeightPlacesTest, OtherTextsAreRefused) {
  for (const char* text :
       {"", " ", "node1", "node1:1 node2:1", "broadcast broadcast", "shm:@node1", "shm:job@",
        "shm:../etc@node1", "shm:a/b@node1", "shm:a.b@node1", "node1:7000 ", "  node1:7000"}) {
    const auto places = WeightPlaces::Parse(text);
    EXPECT_TRUE(absl::IsInvalidArgument(places.status())) << "'" << text << "'";
    EXPECT_THAT(std::string(places.status().message()), testing::HasSubstr(std::string(text)));
  }
}

}  // namespace
}  // namespace ziprl
