#include "launch/easy_vqa_warm_start.h"

#include <algorithm>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "configs/base/counter_rng.h"
#include "trainer/data/epoch_order.h"

namespace ziprl {
namespace {

using Json = nlohmann::ordered_json;

constexpr char kCaption[] = "caption";  // "what is in the image?" -> "circle red"

// Numbers drawn one after another from one counter-based stream.
class Draw {
 public:
  explicit Draw(uint64_t key) : key_(key) {}
  double Uniform() { return PhiloxUniform53(key_, next_++, 0, 0, RngStream::kSft); }
  size_t Below(size_t n) { return std::min(n - 1, static_cast<size_t>(Uniform() * n)); }

 private:
  uint64_t key_;
  uint32_t next_ = 0;
};

// Question texts of each kind with the asked words replaced by {shape} and {color}.
std::map<std::string, std::vector<std::string>> Templates(const std::vector<EasyVqaRow>& rows) {
  std::map<std::string, std::set<std::string>> texts;
  for (const EasyVqaRow& row : rows) {
    const std::string shape = EasyVqaShapeIn(row.question), color = EasyVqaColorIn(row.question);
    std::string text = row.question;
    if (!shape.empty()) text = absl::StrReplaceAll(text, {{shape, "{shape}"}});
    if (!color.empty()) text = absl::StrReplaceAll(text, {{color, "{color}"}});
    texts[row.kind].insert(text);
  }
  std::map<std::string, std::vector<std::string>> templates;
  for (auto& [kind, set] : texts) templates[kind].assign(set.begin(), set.end());
  templates[kCaption] = {"what is in the image?"};
  return templates;
}

std::string Other(const std::vector<std::string>& words, const std::string& word, Draw& draw) {
  std::vector<std::string> others;
  for (const std::string& candidate : words) {
    if (candidate != word) others.push_back(candidate);
  }
  return others[draw.Below(others.size())];
}

std::pair<std::string, std::string> Question(const std::string& kind, const std::string& text,
                                             EasyVqaFacts facts,
                                             const std::vector<std::string>& colors, Draw& draw) {
  std::string reason = absl::StrCat(facts.shape, " ", facts.color);
  std::string answer = kind == "shape" ? facts.shape : facts.color;
  if (absl::StartsWith(kind, "yesno")) {
    const bool yes = draw.Uniform() < 0.5;
    const bool negated = absl::EndsWith(kind, "_negated");
    if (yes == negated) {  // the asked word is wrong
      facts = {Other(EasyVqaShapes(), facts.shape, draw), Other(colors, facts.color, draw)};
    }
    answer = yes ? "yes" : "no";
    const std::string& asked = absl::StartsWith(kind, "yesno_shape") ? facts.shape : facts.color;
    absl::StrAppend(&reason, negated ? " not " : " is ", asked,
                    yes == negated ? " different" : " same");
  }
  const std::string question =
      absl::StrReplaceAll(text, {{"{shape}", facts.shape}, {"{color}", facts.color}});
  if (kind == kCaption) return {question, reason};
  return {question, absl::StrCat(reason, " \\boxed{", answer, "}")};
}

const std::string& DrawKind(const KindMix& mix, Draw& draw) {
  double total = 0;
  for (const auto& [kind, weight] : mix) total += weight;
  double left = draw.Uniform() * total;
  for (const auto& [kind, weight] : mix) {
    if ((left -= weight) < 0) return kind;
  }
  return mix.back().first;
}

std::vector<std::string> FirstColors(int count) {
  return {EasyVqaColors().begin(), EasyVqaColors().begin() + count};
}

// Images whose shape and color are known, the color among `colors`.
std::vector<std::pair<int64_t, EasyVqaFacts>> KnownImages(const std::vector<EasyVqaRow>& train,
                                                          const std::vector<std::string>& colors) {
  std::vector<std::pair<int64_t, EasyVqaFacts>> images;
  for (const auto& [image, facts] : DeduceFacts(train)) {
    const bool in_play = std::find(colors.begin(), colors.end(), facts.color) != colors.end();
    if (in_play && !facts.shape.empty()) images.emplace_back(image, facts);
  }
  return images;
}

Json WarmStartRow(const std::map<std::string, std::vector<std::string>>& templates,
                  const WarmStartStage& stage, int64_t image, const EasyVqaFacts& facts,
                  Draw& draw) {
  Json problems = Json::array(), answers = Json::array();
  for (int i = 0; i < stage.questions; ++i) {
    const std::string& kind = DrawKind(stage.mix, draw);
    const auto& texts = templates.at(kind);
    const auto [question, answer] =
        Question(kind, texts[draw.Below(texts.size())], facts, FirstColors(stage.colors), draw);
    problems.push_back(absl::StrCat("<image>", question));
    answers.push_back(answer);
  }
  return Json{{"problem", problems},
              {"answer", answers},
              {"images", Json::array({EasyVqaImagePath("train", image)})}};
}

}  // namespace

std::vector<WarmStartStage> WarmStartCurriculum() {
  return {
      {7200, 3, {{kCaption, 1}, {"shape", 2}, {"color", 1}}},
      {2400,
       12,
       {{kCaption, .5},
        {"shape", 1},
        {"color", 1},
        {"yesno_shape", 3},
        {"yesno_shape_negated", 1},
        {"yesno_color", 4},
        {"yesno_color_negated", 1.5}}},
      {12000,
       12,
       {{kCaption, .5},
        {"shape", 1},
        {"color", 1},
        {"yesno_shape", 2},
        {"yesno_shape_negated", 2},
        {"yesno_color", 3},
        {"yesno_color_negated", 3}}},
  };
}

std::vector<WarmStartStage> WarmStartColorCourse() {
  return {
      {4800,
       12,
       {{kCaption, .5},
        {"shape", 1},
        {"color", 1},
        {"yesno_shape", 1},
        {"yesno_shape_negated", 1},
        {"yesno_color", 5},
        {"yesno_color_negated", 3}},
       3},
      {7200,
       12,
       {{kCaption, .5},
        {"shape", 1},
        {"color", 1},
        {"yesno_shape", 1},
        {"yesno_shape_negated", 1},
        {"yesno_color", 4},
        {"yesno_color_negated", 4}}},
  };
}

std::vector<Json> WarmStartRows(const std::vector<EasyVqaRow>& train,
                                const std::vector<WarmStartStage>& stages, uint64_t seed) {
  const auto templates = Templates(train);
  std::vector<Json> rows;
  for (const WarmStartStage& stage : stages) {
    const auto images = KnownImages(train, FirstColors(stage.colors));
    const auto count = static_cast<int64_t>(images.size());
    for (int i = 0; i < stage.rows; ++i) {
      const auto place = static_cast<int64_t>(rows.size());
      const EpochOrder order(count, static_cast<int64_t>(seed), place / count);
      const auto& [image, facts] = images[order.RowAt(place % count)];
      Draw draw(DeriveSeed(seed, static_cast<uint64_t>(place), 0));
      rows.push_back(WarmStartRow(templates, stage, image, facts, draw));
    }
  }
  return rows;
}

}  // namespace ziprl
