// Products of pixels and channel matrices: pointwise and dense convolutions, their gradients.
//
// A dense convolution is a sum over taps of pointwise ones, each on a shifted tile. Weights stand
// as [tap][channel in][block out] lanes.
#pragma once
#include "lanes.h"

struct Taps {
  int n;
  const long* at;      // where each tap begins in a block of the tile
  const int* weight;   // which tap of the weights it is
};

template <int PX, int OB, int PS>
INLINE void product_tile(const V* x, long bstride, int c0, int c1, const Taps& taps, const V* w,
                         int rows_w, int nob, const V* bias, V* y, long ybstride, int yps,
                         const M* mask) {
  V acc[PX][OB];
  UNROLL for (int p = 0; p < PX; ++p) {
    UNROLL for (int o = 0; o < OB; ++o) acc[p][o] = bias ? bias[o] : (V){};
  }
  for (int t = 0; t < taps.n; ++t) {
    const V* wt = w + (long)taps.weight[t] * rows_w * nob;
    for (int c = c0; c < c1;) {
      int b = c / L, l = c % L, end = l + c1 - c < L ? l + c1 - c : L;
      const real* xb = (const real*)(x + b * bstride + taps.at[t]);
      c += end - l;
#pragma GCC unroll 4
      for (; l < end; ++l) {
        V wv[OB];
        UNROLL for (int o = 0; o < OB; ++o) wv[o] = wt[o];
        UNROLL for (int p = 0; p < PX; ++p) {
          real s = xb[p * PS * L + l];
          UNROLL for (int o = 0; o < OB; ++o) acc[p][o] += wv[o] * s;
        }
        wt += nob;
      }
    }
  }
  UNROLL for (int p = 0; p < PX; ++p) {
    UNROLL for (int o = 0; o < OB; ++o) {
      V* to = y + o * ybstride + p * yps;
      *to = mask ? (mask[o] ? acc[p][o] : *to) : acc[p][o];
    }
  }
}

template <int OB, int PS>
INLINE void product_blocks(const V* x, long bstride, int c0, int c1, const Taps& taps, const V* w,
                           int rows_w, int nob, const V* bias, V* y, long ybstride, int yps,
                           int px, const M* mask) {
  // As many accumulators as registers allow: more than two products a cycle and their latency ask
  // for. What is left over is cut so that no tile is thin.
  constexpr int BIG = WIDE ? (OB == 1 ? 16 : 8) : (OB == 1 ? 12 : 6);
  constexpr int HALF = WIDE ? BIG / 2 : BIG / 3 * 2;
  int p = 0;
#define STEP(N)                                                                                \
  for (; p + N <= px && (WIDE || N < BIG || px - p != 2 * HALF); p += N)                                                                  \
    product_tile<N, OB, PS>(x + p * PS, bstride, c0, c1, taps, w, rows_w, nob, bias, y + (long)p * yps, \
                            ybstride, yps, mask);
  STEP(BIG)
  STEP(HALF)
  if constexpr (HALF > 4) STEP(4)
  if constexpr (!WIDE) STEP(2)
  STEP(1)
#undef STEP
}

template <int PS>
void product_of(int count, const V* x, long bstride, int c0, int c1, const Taps& taps, const V* w,
                int nob, const V* bias, V* y, long ybstride, int yps, int px, const M* mask) {
  int o = 0, rows_w = c1 - c0;
  for (; o + 2 <= count; o += 2)
    product_blocks<2, PS>(x, bstride, c0, c1, taps, w + o, rows_w, nob, bias ? bias + o : nullptr,
                          y + o * ybstride, ybstride, yps, px, mask ? mask + o : nullptr);
  for (; o < count; ++o)
    product_blocks<1, PS>(x, bstride, c0, c1, taps, w + o, rows_w, nob, bias ? bias + o : nullptr,
                          y + o * ybstride, ybstride, yps, px, mask ? mask + o : nullptr);
}

// y[o][p] = sum over taps and channels c0 to c1 of x[c][p * stride + tap] w[tap][c][o] for `count`
// of the `nob` blocks. Where a mask is given only its lanes are written.
static inline void product(int stride, int count, const V* x, long bstride, int c0, int c1,
                           const Taps& taps, const V* w, int nob, const V* bias, V* y,
                           long ybstride, int yps, int px, const M* mask) {
  if (stride == 1)
    product_of<1>(count, x, bstride, c0, c1, taps, w, nob, bias, y, ybstride, yps, px, mask);
  else
    product_of<2>(count, x, bstride, c0, c1, taps, w, nob, bias, y, ybstride, yps, px, mask);
}

// dw[c][o] += sum over pixels of x[c][p * PS] dy[o][p] for CT channels and OB blocks.
template <int CT, int OB, int PS>
INLINE void outer_tile(const real* x, long pitch, const V* dy, long dbstride, long dpitch, V* dw,
                       int nob, int rows, int cols) {
  V acc[CT][OB];
  UNROLL for (int c = 0; c < CT; ++c) {
    UNROLL for (int o = 0; o < OB; ++o) acc[c][o] = (V){};
  }
  for (int i = 0; i < rows; ++i) {
    const real* row = x + (long)i * PS * pitch * L;
    const V* g = dy + i * dpitch;
    for (int j = 0; j < cols; ++j) {
      V gv[OB];
      UNROLL for (int o = 0; o < OB; ++o) gv[o] = g[o * dbstride + j];
      UNROLL for (int c = 0; c < CT; ++c) {
        real s = row[(long)j * PS * L + c];
        UNROLL for (int o = 0; o < OB; ++o) acc[c][o] += gv[o] * s;
      }
    }
  }
  UNROLL for (int c = 0; c < CT; ++c) {
    UNROLL for (int o = 0; o < OB; ++o) dw[c * nob + o] += acc[c][o];
  }
}

template <int PS>
void outer_of(const V* x, long bstride, long pitch, int nib, const V* dy, long dbstride,
              long dpitch, V* dw, int count, int nob, int rows, int cols) {
  // Two blocks of outputs share what is read of x; the last may be alone.
  constexpr int CT = L < 8 ? L : 8, CP = WIDE ? CT : CT < 4 ? CT : 4;
  int pairs = count / 2 * 2;
  for (int b = 0; b < nib; ++b) {
    const real* xb = (const real*)(x + b * bstride);
    V* to = dw + (long)b * L * nob;
    for (int l = 0; l < L; l += CP)
      for (int o = 0; o < pairs; o += 2)
        outer_tile<CP, 2, PS>(xb + l, pitch, dy + o * dbstride, dbstride, dpitch,
                              to + (long)l * nob + o, nob, rows, cols);
    if (pairs == count) continue;
    for (int l = 0; l < L; l += CT)
      outer_tile<CT, 1, PS>(xb + l, pitch, dy + pairs * dbstride, dbstride, dpitch,
                            to + (long)l * nob + pairs, nob, rows, cols);
  }
}

// Gradient by the weights of one tap, `count` blocks of outputs; dw has a row of `nob` for each lane
// of the blocks of x.
static inline void outer(int stride, const V* x, long bstride, long pitch, int nib, const V* dy,
                         long dbstride, long dpitch, V* dw, int count, int nob, int rows,
                         int cols) {
  if (stride == 1)
    outer_of<1>(x, bstride, pitch, nib, dy, dbstride, dpitch, dw, count, nob, rows, cols);
  else
    outer_of<2>(x, bstride, pitch, nib, dy, dbstride, dpitch, dw, count, nob, rows, cols);
}
