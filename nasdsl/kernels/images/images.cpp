// Batches of images that are stored as bytes: chosen, moved, cut and normalised in one pass.
//
// What an image goes through is brought down to one window first: which row and column of the
// stored image the first place of the result shows, whether columns run backwards, which rectangle
// of the result shows the image at all, and which rectangles are cut out of it. Every other place is
// zero. The arithmetic of a place is that of the tensors it replaces, so the bits agree.
#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

extern "C" {

struct ImagesCall {
  const uint8_t* stored;   // (count, channels, height, width)
  const int64_t* chosen;   // n places in 0..count-1
  const float* mean;       // channels
  const float* deviation;  // channels
  const int64_t* steps;    // triples: kind, and two numbers of it
  const int64_t* const* draws;  // two per step: n numbers each, or null
  float* out;              // (n, channels, rows, columns), or channels last
  int64_t count, channels, height, width, n, step_count, rows, columns, last, threads;
};
}

namespace {

enum Kind { CROP = 0, FLIP = 1, CUTOUT = 2 };

struct Rectangle {
  int64_t top, bottom, left, right;  // half open

  void move(int64_t down, int64_t right_by, int64_t height, int64_t width) {
    top = std::clamp<int64_t>(top + down, 0, height);
    bottom = std::clamp<int64_t>(bottom + down, 0, height);
    left = std::clamp<int64_t>(left + right_by, 0, width);
    right = std::clamp<int64_t>(right + right_by, 0, width);
  }
  void mirror(int64_t width) {
    int64_t first = width - right;
    right = width - left;
    left = first;
  }
};

struct Window {
  int64_t row = 0, column = 0, step = 1;
  Rectangle shown;
  std::vector<Rectangle> holes;
};

void window(const ImagesCall& c, int64_t i, Window& w) {
  int64_t height = c.height, width = c.width;
  w.row = w.column = 0;
  w.step = 1;
  w.shown = {0, height, 0, width};
  w.holes.clear();
  for (int64_t k = 0; k < c.step_count; ++k) {
    int64_t kind = c.steps[3 * k], a = c.steps[3 * k + 1], b = c.steps[3 * k + 2];
    const int64_t *first = c.draws[2 * k], *second = c.draws[2 * k + 1];
    if (kind == CROP) {  // a: size, b: border
      int64_t top = first[i] - b, left = second[i] - b;
      w.row += top;
      w.column += w.step * left;
      height = width = a;
      w.shown.move(-top, -left, height, width);
      for (Rectangle& hole : w.holes) hole.move(-top, -left, height, width);
    } else if (kind == FLIP) {
      if (!first[i]) continue;
      w.column += w.step * (width - 1);
      w.step = -w.step;
      w.shown.mirror(width);
      for (Rectangle& hole : w.holes) hole.mirror(width);
    } else {  // CUTOUT, a: length
      Rectangle hole{first[i] - a / 2, first[i] - a / 2 + a, second[i] - a / 2,
                     second[i] - a / 2 + a};
      hole.move(0, 0, height, width);
      w.holes.push_back(hole);
    }
  }
}

// Whether nothing of a row of the result is left.
bool blank(const Window& w, int64_t r) {
  if (r < w.shown.top || r >= w.shown.bottom || w.shown.left >= w.shown.right) return true;
  for (const Rectangle& hole : w.holes)
    if (r >= hole.top && r < hole.bottom && hole.left <= w.shown.left &&
        hole.right >= w.shown.right)
      return true;
  return false;
}

void zero(float* out, int64_t from, int64_t to) {
  if (to > from) std::memset(out + from, 0, (to - from) * sizeof(float));
}

// What a place of a row is normalised with. A quotient by d is also a product with 1 / d, in two
// parts for its bits, and twice as fast.
struct Norm {
  std::vector<float> mean, deviation, high, low;  // a row of the result each

  void resize(int64_t n) {
    for (auto* each : {&mean, &deviation, &high, &low}) each->resize(n);
  }
  void set(int64_t from, int64_t to, float by, float divisor) {
    const float inverse = 1.0f / divisor;
    const float rest = (float)(1.0 / (double)divisor - (double)inverse);
    for (int64_t k = from; k < to; ++k) {
      mean[k] = by;
      deviation[k] = divisor;
      high[k] = inverse;
      low[k] = rest;
    }
  }
};

void divided(float* __restrict out, const uint8_t* __restrict in, const float* __restrict mean,
             const float* __restrict deviation, int64_t n) {
  for (int64_t k = 0; k < n; ++k) out[k] = ((float)in[k] / 255.0f - mean[k]) / deviation[k];
}

#ifdef __FMA__
void multiplied(float* __restrict out, const uint8_t* __restrict in, const float* __restrict mean,
                const float* __restrict high, const float* __restrict low, int64_t n) {
  const float pixel = 1.0f / 255.0f, rest = (float)(1.0 / 255.0 - (double)pixel);
  for (int64_t k = 0; k < n; ++k) {
    const float byte = (float)in[k];
    const float value = __builtin_fmaf(byte, pixel, byte * rest) - mean[k];
    out[k] = __builtin_fmaf(value, high[k], value * low[k]);
  }
}
#endif

void normalised(float* out, const uint8_t* in, const Norm& by, int64_t at, int64_t n, bool fast) {
#ifdef __FMA__
  if (fast) return multiplied(out, in, &by.mean[at], &by.high[at], &by.low[at], n);
#endif
  divided(out, in, &by.mean[at], &by.deviation[at], n);
}

// Whether products give what quotients give, for every byte in every channel.
bool alike(const float* mean, const float* deviation, int64_t channels) {
#ifdef __FMA__
  uint8_t bytes[256];
  float one[256], other[256];
  Norm by;
  by.resize(256);
  for (int k = 0; k < 256; ++k) bytes[k] = (uint8_t)k;
  for (int64_t c = 0; c < channels; ++c) {
    by.set(0, 256, mean[c], deviation[c]);
    normalised(one, bytes, by, 0, 256, true);
    normalised(other, bytes, by, 0, 256, false);
    if (std::memcmp(one, other, sizeof one) != 0) return false;
  }
  return true;
#else
  return false;
#endif
}

#if defined(__GNUC__) && !defined(__clang__)
typedef uint8_t Bytes __attribute__((vector_size(16)));

Bytes load(const uint8_t* from) {
  Bytes loaded;
  std::memcpy(&loaded, from, 16);
  return loaded;
}

// Which of 32 bytes (those of two channels, or of what they gave and a third) stands where in
// the `Part`-th 16 of 48; -1 of a channel that is not there yet becomes any.
template <int Part, int Step, bool Third>
Bytes mask() {
  Bytes made;
  for (int at = 0; at < 16; ++at) {
    int place = (16 * Part + at) / 3, channel = (16 * Part + at) % 3;
    int byte = Step > 0 ? place : 15 - place;
    made[at] = Third ? (channel == 2 ? 16 + byte : at) : (channel == 2 ? 0 : 16 * channel + byte);
  }
  return made;
}

template <int Part, int Step>
void third(uint8_t* to, Bytes a, Bytes b, Bytes c) {
  const Bytes first = mask<Part, Step, false>(), second = mask<Part, Step, true>();
  const Bytes made = __builtin_shuffle(__builtin_shuffle(a, b, first), c, second);
  std::memcpy(to + 16 * Part, &made, 16);
}

// 16 places of three channels.
template <int Step>
void part(uint8_t* to, const uint8_t* from, int64_t plane) {
  from -= Step > 0 ? 0 : 15;
  const Bytes a = load(from), b = load(from + plane), c = load(from + 2 * plane);
  third<0, Step>(to, a, b, c);
  third<1, Step>(to, a, b, c);
  third<2, Step>(to, a, b, c);
}
#else
template <int Step>
void part(uint8_t* to, const uint8_t* from, int64_t plane) {
  for (int64_t k = 0; k < 16; ++k)
    for (int64_t c = 0; c < 3; ++c) to[3 * k + c] = from[c * plane + Step * k];
}
#endif

// Places of a row, one channel after another for every place.
template <int Step>
void woven(uint8_t* __restrict to, const uint8_t* __restrict from, int64_t plane, int64_t n,
           int64_t channels) {
  int64_t k = 0;
  if (channels == 3)
    // The last part does some places again: no remainder goes one by one.
    for (; n >= 16 && k < n; k += 16) {
      k = std::min(k, n - 16);
      part<Step>(to + 3 * k, from + Step * k, plane);
    }
  for (; k < n; ++k)
    for (int64_t c = 0; c < channels; ++c) to[k * channels + c] = from[c * plane + Step * k];
}

// `line` holds a row of the result in bytes.
void image(const ImagesCall& c, int64_t i, Window& w, std::vector<uint8_t>& line, const Norm& by,
           bool fast) {
  window(c, i, w);
  const int64_t plane = c.height * c.width, each = c.last ? c.channels : 1;
  const int64_t size = c.columns * each, planes = c.last ? 1 : c.channels;
  const uint8_t* stored = c.stored + c.chosen[i] * c.channels * plane;
  float* out = c.out + i * c.channels * c.rows * c.columns;
  const int64_t left = w.shown.left, n = w.shown.right - left;
  for (int64_t r = 0; r < c.rows; ++r) {
    const bool nothing = blank(w, r);
    const int64_t at = (w.row + r) * c.width + w.column + w.step * left;
    for (int64_t channel = 0; channel < planes; ++channel) {
      float* to = out + (channel * c.rows + r) * size;
      if (nothing) {
        zero(to, 0, size);
        continue;
      }
      const uint8_t* from = stored + channel * plane + at;
      uint8_t* bytes = line.data() + left * each;
      if (w.step > 0 && each == 1)
        std::memcpy(bytes, from, n);
      else if (w.step > 0)
        woven<1>(bytes, from, plane, n, each);
      else
        woven<-1>(bytes, from, plane, n, each);
      // The whole row, also where the image is not: a remainder would be slower than that.
      normalised(to, line.data(), by, channel * c.columns, size, fast);
      zero(to, 0, left * each);
      zero(to, w.shown.right * each, size);
      for (const Rectangle& hole : w.holes)
        if (r >= hole.top && r < hole.bottom) zero(to, hole.left * each, hole.right * each);
    }
  }
}

}  // namespace

// 0, or 1 where a chosen place is none of the stored images: then nothing is written.
extern "C" __attribute__((visibility("default"))) int64_t images_take(const ImagesCall* call) {
  const ImagesCall& c = *call;
  for (int64_t i = 0; i < c.n; ++i)
    if (c.chosen[i] < 0 || c.chosen[i] >= c.count) return 1;
  Norm by;
  by.resize(c.columns * c.channels);
  for (int64_t channel = 0; channel < c.channels; ++channel) {
    const int64_t at = channel * c.columns;
    if (!c.last) by.set(at, at + c.columns, c.mean[channel], c.deviation[channel]);
    for (int64_t k = channel; c.last && k < c.columns * c.channels; k += c.channels) {
      if (k == channel) by.set(k, k + 1, c.mean[channel], c.deviation[channel]);
      for (auto* each : {&by.mean, &by.deviation, &by.high, &by.low}) (*each)[k] = (*each)[channel];
    }
  }
  const bool fast = alike(c.mean, c.deviation, c.channels);
  const int64_t bytes = c.channels * c.height * c.width;
#pragma omp parallel num_threads(c.threads) if (c.threads > 1)
  {
    Window w;
    std::vector<uint8_t> line(c.columns * c.channels);
#pragma omp for schedule(static)
    for (int64_t i = 0; i < c.n; ++i) {
      // Images lie anywhere: the next one is asked for while this one is worked on.
      if (i + 1 < c.n)
        for (int64_t at = 0; at < std::min<int64_t>(bytes, 1 << 14); at += 64)
          __builtin_prefetch(c.stored + c.chosen[i + 1] * bytes + at);
      image(c, i, w, line, by, fast);
    }
  }
  return 0;
}
