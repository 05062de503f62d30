// Calls of the kernel that makes batches, as tools/image_calls.py recorded them, made again.
//
// Each buffer has its own memory of its own length; the result is full of NaN first, and has to have
// the bits of the library. The team of the kernel is OpenMP's, whose runtime the race detector cannot
// see into: parts of a batch are calls of their own in threads of this program instead.
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>

#include "images.cpp"

namespace {

template <class T>
struct Numbers {
  std::unique_ptr<T[]> data;
  int64_t n = 0;

  // Just so many and not one more.
  explicit Numbers(int64_t count) : data(new T[count]), n(count) {
    std::memset((void*)data.get(), 0xff, count * sizeof(T));
  }
  Numbers(FILE* from, int64_t count) : Numbers(count) {
    if (count && std::fread(data.get(), sizeof(T), count, from) != (size_t)count) {
      std::fprintf(stderr, "the recording ends too early\n");
      std::exit(3);
    }
  }
};

int again(FILE* from, const int64_t* h, int threads) {
  const int64_t count = h[0], channels = h[1], height = h[2], width = h[3], n = h[4], steps = h[5];
  const int64_t rows = h[6], columns = h[7], last = h[8], size = channels * rows * columns;
  Numbers<uint8_t> stored(from, count * channels * height * width);
  Numbers<int64_t> chosen(from, n);
  Numbers<float> mean(from, channels), deviation(from, channels);
  Numbers<int64_t> kinds(from, 3 * steps);
  std::vector<Numbers<int64_t>> draws;
  for (int64_t k = 0; k < 2 * steps; ++k) {
    bool given = Numbers<int64_t>(from, 1).data[0];
    draws.emplace_back(given ? Numbers<int64_t>(from, n) : Numbers<int64_t>(0));
  }
  Numbers<float> wanted(from, n * size), out(n * size);
  auto part = [&](int64_t low, int64_t high) {
    std::vector<const int64_t*> places;
    for (auto& d : draws) places.push_back(d.n ? d.data.get() + low : nullptr);
    ImagesCall c{stored.data.get(), chosen.data.get() + low, mean.data.get(),
                 deviation.data.get(), kinds.data.get(), places.data(), out.data.get() + low * size,
                 count, channels, height, width, high - low, steps, rows, columns, last, 1};
    if (images_take(&c)) std::exit(4);
  };
  std::vector<std::thread> team;
  for (int t = 0; t < threads; ++t) team.emplace_back(part, n * t / threads, n * (t + 1) / threads);
  for (std::thread& one : team) one.join();
  return std::memcmp(out.data.get(), wanted.data.get(), n * size * sizeof(float)) != 0;
}

}  // namespace

int main(int, char** argv) {
  FILE* from = std::fopen(argv[1], "rb");
  if (!from) return 3;
  int64_t head[9], calls = 0;
  int wrong = 0;
  for (; std::fread(head, sizeof head, 1, from) == 1; ++calls) {
    const int found = again(from, head, 2);
    if (found) std::printf("call %ld differs\n", (long)calls);
    wrong += found;
  }
  std::fclose(from);
  std::printf("%ld calls, %d differ\n", (long)calls, wrong);
  return wrong != 0;
}
