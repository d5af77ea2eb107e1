// Rows that teach a new model what easy-VQA asks: many questions on each train image, made from
// what the train questions tell about it (never from the test split), with yes and no equally
// often.
#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "launch/easy_vqa.h"

namespace ziprl {

// How often each kind of question is drawn.
using KindMix = std::vector<std::pair<std::string, double>>;

// A stretch of the curriculum: `rows` rows of `questions` independent questions on one image each
// (`problem` and `answer` are lists).
struct WarmStartStage {
  int rows = 0, questions = 0;
  KindMix mix;
  int colors = 8;  // images and words of the first so many colors only
};

// What is learned in which order: to describe the image, then to answer behind the description in
// \boxed{}, questions without negation more often at first. Meant to be read in order (data.shuffle
// = false).
std::vector<WarmStartStage> WarmStartCurriculum();
// A second course with a fresh learning rate: questions about colors, three colors first.
std::vector<WarmStartStage> WarmStartColorCourse();

// The rows of the stages in order. Images whose shape and color are known come in turns, in a
// shuffled order.
std::vector<nlohmann::ordered_json> WarmStartRows(const std::vector<EasyVqaRow>& train,
                                                  const std::vector<WarmStartStage>& stages,
                                                  uint64_t seed);

}  // namespace ziprl
