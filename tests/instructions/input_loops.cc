#include <cstdio>
#include <cstdlib>
#include <memory>

#include "model/patch_writer.h"
#include "model/png_filters.h"
#include "model/resize.h"
#include "model/tokenizer.h"
#include "tests/instructions/loops.h"

namespace ziprl {
namespace {

constexpr char kTokenizer[] = "configs/models/easy-vqa-warm-start/tokenizer.json";

std::shared_ptr<Tokenizer> LoadTokenizer() {
  auto tokenizer = Tokenizer::Load(kTokenizer);
  if (tokenizer.ok()) return *std::move(tokenizer);
  std::fprintf(stderr, "%s\n", tokenizer.status().ToString().c_str());
  std::exit(1);
}

// Words of up to `longest` letters; a third of them come again and again.
std::string Words(uint64_t key, int count, uint32_t longest) {
  std::string text;
  for (int w = 0; w < count; ++w) {
    const uint64_t word = w % 3 == 0 ? key + w % 8 : key + w;
    const uint32_t length = 1 + UniformInts(word, 1, longest)[0];
    if (w > 0) text += w % 11 == 0 ? ", " : " ";
    for (uint32_t letter : UniformInts(word + 1000000, length, 26)) text += char('a' + letter);
    if (w % 17 == 0) text += " is 42.7 – größer?\n";
  }
  return text;
}

Loop Tokenize(const std::string& name, int words, uint32_t longest) {
  return {name, [words, longest] {
            auto text = std::make_shared<std::string>(Words(51, words, longest));
            return [tokenizer = LoadTokenizer(), text] {
              if (tokenizer->Encode(*text).empty()) std::abort();
            };
          }};
}

Image Photo(uint64_t key, int width, int height) {
  Image image{width, height, {}};
  for (uint32_t level : UniformInts(key, int64_t{width} * height * 3, 256)) {
    image.pixels.push_back(static_cast<uint8_t>(level));
  }
  return image;
}

}  // namespace

std::vector<Loop> InputLoops() {
  return {
      Tokenize("tokenize_words", 20000, 9),
      Tokenize("tokenize_long_pieces", 500, 200),
      {"image_resize",
       [] {
         auto photo = std::make_shared<Image>(Photo(61, 640, 480));
         return [photo] { ResizeBicubic(*photo, 364, 476); };
       }},
      {"png_filters",
       [] {
         auto photo = std::make_shared<Image>(Photo(63, 640, 480));
         return [photo] {  // each row the one above of the next
           const size_t stride = size_t{3} * photo->width;
           for (int y = 1; y < photo->height - 1; ++y) {
             uint8_t* row = &photo->pixels[y * stride];
             UndoPngFilter(y % 5, row - stride, stride, 3, row);
           }
         };
       }},
      {"image_patches",
       [] {
         auto photo = std::make_shared<Image>(Photo(62, 476, 364));
         return [photo] {
           PatchWriter writer({}, {1, 26, 34});
           writer.Write(*photo, 0, 2);
         };
       }},
  };
}

}  // namespace ziprl
