// Numbers in lanes: one template serves every vector width and both precisions.
// REAL is float or double, VECTOR_BYTES the width; channels stand in blocks of L lanes.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

typedef REAL real;
constexpr int L = VECTOR_BYTES / sizeof(real);
typedef real V __attribute__((vector_size(VECTOR_BYTES), may_alias));
typedef real U __attribute__((vector_size(VECTOR_BYTES), aligned(sizeof(real)), may_alias));
#if REAL_BYTES == 4
typedef int32_t integer;
#else
typedef int64_t integer;
#endif
typedef integer M __attribute__((vector_size(VECTOR_BYTES), may_alias));

#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 64")

// Registers that hold accumulators: 32 with AVX-512, 16 elsewhere.
constexpr bool WIDE = VECTOR_BYTES >= 64;

INLINE V splat(real s) { return s - (V){}; }
// Asks for memory that is read soon: what is kept comes from far away, in pages of its own.
INLINE void soon(const V* p) { __builtin_prefetch((const void*)p, 0, 2); }
INLINE void soon(const V* p, long n) {
  for (long q = 0; q < n; q += 64 / (long)sizeof(V) > 0 ? 64 / (long)sizeof(V) : 1) soon(p + q);
}
constexpr long AHEAD = 2048 / sizeof(V);
INLINE V load_some(const real* p, int n) {
  V v = {};
  std::memcpy(&v, p, n * sizeof(real));
  return v;
}
INLINE V load_lanes(const real* p, int n) { return n >= L ? (V) * (const U*)p : load_some(p, n); }
INLINE void store_lanes(real* p, V v, int n) {
  if (n >= L)
    *(U*)p = v;
  else
    std::memcpy(p, &v, n * sizeof(real));
}
INLINE double sum_lanes(V v, int n) {
  double s = 0;
  for (int l = 0; l < n; ++l) s += (double)v[l];
  return s;
}
// Whether no lane is NaN.
INLINE bool numbers(V v) {
  bool all = true;
  for (int l = 0; l < L; ++l) all = all && v[l] == v[l];
  return all;
}
INLINE int blocks(int channels) { return (channels + L - 1) / L; }
// Lanes of block b that are channels.
INLINE int lanes_of(int channels, int b) {
  int n = channels - b * L;
  return n < L ? n : L;
}

// Activations between a normalisation and what reads it.
enum Act { NONE = 0, RELU = 1, RELU6 = 2, LEAKY = 3, HSWISH = 4, SILU = 5, TANH = 6, GELU = 7 };

INLINE V activate_slow(V u, int act, real p) {
  V y = {};
  switch (act) {
    case RELU6: y = u < 0 ? splat(0) : u; return y > 6 ? splat(6) : y;
    case LEAKY: return u > 0 ? u : u * p;
    case HSWISH: {
      V t = u + 3;
      t = t < 0 ? splat(0) : t;
      t = t > 6 ? splat(6) : t;
      return u * t / 6;
    }
    case SILU: for (int l = 0; l < L; ++l) y[l] = u[l] / (1 + std::exp(-u[l])); return y;
    case TANH: for (int l = 0; l < L; ++l) y[l] = std::tanh(u[l]); return y;
    case GELU:
      for (int l = 0; l < L; ++l)
        y[l] = u[l] * (real)0.5 * (1 + std::erf(u[l] * (real)0.70710678118654752440));
      return y;
  }
  return u;
}
// A rectifier hands NaN on, as torch does.
INLINE V activate(V u, int act, real p) {
  if (act == RELU) return u < 0 ? splat(0) : u;
  if (act == NONE) return u;
  return activate_slow(u, act, p);
}
// The gradient g behind an activation, taken in front of it; u is what it was applied to.
INLINE V behind(V g, V u, int act, real p) {
  V zero = {};
  switch (act) {
    case NONE: return g;
    case RELU: return u <= 0 ? zero : g;
    case RELU6: {
      M cut = (u <= 0) | (u >= 6);
      return cut ? zero : g;
    }
    case LEAKY: return u > 0 ? g : g * p;
    case HSWISH: {
      V mid = g * (u / 3 + (real)0.5);
      V low = u <= -3 ? zero : mid;
      return u >= 3 ? g : low;
    }
    case SILU: {
      V d = {};
      for (int l = 0; l < L; ++l) {
        real s = 1 / (1 + std::exp(-u[l]));
        d[l] = s * (1 + u[l] * (1 - s));
      }
      return g * d;
    }
    case TANH: {
      V d = {};
      for (int l = 0; l < L; ++l) {
        real t = std::tanh(u[l]);
        d[l] = 1 - t * t;
      }
      return g * d;
    }
    case GELU: {
      V d = {};
      for (int l = 0; l < L; ++l) {
        real c = (real)0.5 * (1 + std::erf(u[l] * (real)0.70710678118654752440));
        d[l] = c + u[l] * std::exp(-(real)0.5 * u[l] * u[l]) * (real)0.39894228040143267794;
      }
      return g * d;
    }
  }
  return g;
}
