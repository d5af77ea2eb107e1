// Our side of image.py: from an image file's bytes to patches. Every line on standard input, a
// path and a number of times, is answered by the seconds that these took. usage: bench_image MODEL
#include <iostream>
#include <string>

#include "model/processor.h"
#include "tests/bench/report.h"

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: bench_image MODEL\n";
    return 2;
  }
  const auto processor = ziprl::Processor::Load(argv[1]);
  if (!processor.ok()) {
    std::cerr << processor.status().message() << "\n";
    return 1;
  }
  std::string path;
  for (int times = 0; std::cin >> path >> times;) {
    const auto image = ziprl::ReadMedia(path);
    if (!image.ok()) return 1;
    std::cout << ziprl::Seconds([&] {
      for (int i = 0; i < times; ++i) {
        if (!(*processor)->Patches(*image).ok()) std::abort();
      }
    }) << std::endl;
  }
}
