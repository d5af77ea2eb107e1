// A dialogue -> one teacher-forced sequence whose targets are the assistant's turns. No torch.
#pragma once

#include <vector>

#include "absl/status/statusor.h"
#include "model/chat_template.h"
#include "proto/types.h"
#include "trainer/batch.h"

namespace ziprl {

// Targets are every assistant turn's content and the <|im_end|> that closes it, nothing else. A
// turn is tokenised alone, as a sampled response would stand behind the generation prompt. What
// follows the last assistant turn is left out. InvalidArgument: no assistant turn, or an image in
// one.
absl::StatusOr<TrainSequence> DialogueSequence(const Model& model,
                                               const std::vector<Message>& messages,
                                               const std::vector<MediaRef>& media);

}  // namespace ziprl
