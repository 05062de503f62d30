// Depthwise convolutions on tiles with a border of zeros: one block of channels at a time.
//
// A row keeps several outputs in registers; every input is loaded once for all taps that use it.
// The gradient by data is the same with flipped taps (stride 1) or by parity classes (stride 2);
// the gradient by weights holds all taps in registers.
#pragma once
#include "lanes.h"

typedef void (*RowsFn)(const V* x, long pitch, const V* w, V bias, V* z, long zpitch, int rows,
                       int cols, bool add);
typedef void (*TapsFn)(const V* x, long pitch, const V* dz, long dzpitch, V* dw, int rows,
                       int cols);
typedef void (*BackFn)(const V* dz, long pitch, const V* w, V* dx, int i, int cols, int pad,
                       int border, bool add);

template <int K, int D, int S, int WB>
INLINE void dw_block(const V* x, long pitch, const V* w, V bias, V* z, bool add) {
  V acc[WB];
  UNROLL for (int o = 0; o < WB; ++o) acc[o] = add ? z[o] : bias;
#pragma GCC unroll 1
  for (int r = 0; r < K; ++r) {
    const V* row = x + r * D * pitch;
    V tap[K];
    UNROLL for (int t = 0; t < K; ++t) tap[t] = w[r * K + t];
    UNROLL for (int i = 0; i <= (WB - 1) * S + (K - 1) * D; ++i) {
      V v = row[i];
      UNROLL for (int t = 0; t < K; ++t) {
        int at = i - t * D;
        if (at >= 0 && at % S == 0 && at / S < WB) acc[at / S] += v * tap[t];
      }
    }
  }
  UNROLL for (int o = 0; o < WB; ++o) z[o] = acc[o];
}

template <int K, int D, int S>
void dw_rows(const V* x, long pitch, const V* w, V bias, V* z, long zpitch, int rows, int cols,
             bool add) {
  constexpr int WB = WIDE ? 8 : 4;
  for (int i = 0; i < rows; ++i) {
    const V* row = x + (long)i * S * pitch;
    V* out = z + i * zpitch;
    int j = 0;
    for (; j + WB <= cols; j += WB) dw_block<K, D, S, WB>(row + j * S, pitch, w, bias, out + j, add);
    for (; j + 2 <= cols; j += 2) dw_block<K, D, S, 2>(row + j * S, pitch, w, bias, out + j, add);
    for (; j < cols; ++j) dw_block<K, D, S, 1>(row + j * S, pitch, w, bias, out + j, add);
  }
}

// GB columns of the gradient at a time, so that an input is loaded once for all taps.
template <int K, int D, int S, int R0, int R1, int GB>
INLINE void dw_taps_block(const V* row, long pitch, const V* g, V* acc) {
  V v[GB];
  UNROLL for (int o = 0; o < GB; ++o) v[o] = g[o];
  UNROLL for (int r = 0; r < R1 - R0; ++r) {
    UNROLL for (int i = 0; i <= (GB - 1) * S + (K - 1) * D; ++i) {
      bool used = false;
      UNROLL for (int o = 0; o < GB; ++o) {
        int at = i - o * S;
        used = used || (at >= 0 && at % D == 0 && at / D < K);
      }
      if (used) {
        V x = row[r * D * pitch + i];
        UNROLL for (int o = 0; o < GB; ++o) {
          int at = i - o * S;
          if (at >= 0 && at % D == 0 && at / D < K) acc[r * K + at / D] += v[o] * x;
        }
      }
    }
  }
}

// dw[r, t] += sum over the rows of x[i S + r D, j S + t D] dz[i, j].
template <int K, int D, int S, int R0, int R1>
INLINE void dw_taps_part(const V* x, long pitch, const V* dz, long dzpitch, V* dw, int rows,
                         int cols) {
  constexpr int GB = WIDE ? 4 : 2;
  V acc[(R1 - R0) * K];
  UNROLL for (int q = 0; q < (R1 - R0) * K; ++q) acc[q] = (V){};
  for (int i = 0; i < rows; ++i) {
    const V* row = x + ((long)i * S + R0 * D) * pitch;
    const V* g = dz + i * dzpitch;
    int j = 0;
    for (; j + GB <= cols; j += GB)
      dw_taps_block<K, D, S, R0, R1, GB>(row + j * S, pitch, g + j, acc);
    for (; j < cols; ++j) dw_taps_block<K, D, S, R0, R1, 1>(row + j * S, pitch, g + j, acc);
  }
  UNROLL for (int q = 0; q < (R1 - R0) * K; ++q) dw[R0 * K + q] += acc[q];
}

template <int K, int D, int S, int R0 = 0>
INLINE void dw_taps_all(const V* x, long pitch, const V* dz, long dzpitch, V* dw, int rows,
                        int cols) {
  constexpr int LIMIT = (WIDE ? 25 : 12) / K < 1 ? 1 : (WIDE ? 25 : 12) / K;
  constexpr int R1 = R0 + LIMIT < K ? R0 + LIMIT : K;
  dw_taps_part<K, D, S, R0, R1>(x, pitch, dz, dzpitch, dw, rows, cols);
  if constexpr (R1 < K) dw_taps_all<K, D, S, R1>(x, pitch, dz, dzpitch, dw, rows, cols);
}

template <int K, int D, int S>
void dw_taps(const V* x, long pitch, const V* dz, long dzpitch, V* dw, int rows, int cols) {
  dw_taps_all<K, D, S>(x, pitch, dz, dzpitch, dw, rows, cols);
}

// One row of the gradient by data, by column class fj of stride S: dx[j] with (j + pad) % S == fj.
template <int K, int D, int S, int FI, int FJ, int WB>
INLINE void dw_back_block(const V* dz, long pitch, const V* w, V* dx, bool add) {
  V acc[WB];
  UNROLL for (int o = 0; o < WB; ++o) acc[o] = add ? dx[o * S] : (V){};
  UNROLL for (int r = 0; r < K; ++r) {
    if ((r * D) % S == FI) {
      // (i + pad - r D) / S = (i + pad - FI) / S - (r D - FI) / S
      const V* row = dz - ((r * D - FI) / S) * pitch;
      UNROLL for (int t = 0; t < K; ++t) {
        if ((t * D) % S == FJ) {
          UNROLL for (int o = 0; o < WB; ++o) acc[o] += row[o - (t * D - FJ) / S] * w[r * K + t];
        }
      }
    }
  }
  UNROLL for (int o = 0; o < WB; ++o) dx[o * S] = acc[o];
}

template <int K, int D, int S, int FI, int FJ>
INLINE void dw_back_class(const V* dz, long pitch, const V* w, V* dx, int i, int cols, int pad,
                          int border, bool add) {
  constexpr int WB = 8;
  int j = ((FJ - pad) % S + S) % S;
  const V* row = dz + (long)((i + pad - FI) / S + border) * pitch + (j + pad - FJ) / S + border;
  for (; j + (WB - 1) * S < cols; j += WB * S, row += WB)
    dw_back_block<K, D, S, FI, FJ, WB>(row, pitch, w, dx + j, add);
  for (; j < cols; j += S, row += 1) dw_back_block<K, D, S, FI, FJ, 1>(row, pitch, w, dx + j, add);
}

template <int K, int D, int S, int FI, int FJ = 0>
INLINE void dw_back_columns(const V* dz, long pitch, const V* w, V* dx, int i, int cols, int pad,
                            int border, bool add) {
  dw_back_class<K, D, S, FI, FJ>(dz, pitch, w, dx, i, cols, pad, border, add);
  if constexpr (FJ + 1 < S) dw_back_columns<K, D, S, FI, FJ + 1>(dz, pitch, w, dx, i, cols, pad, border, add);
}

template <int K, int D, int S, int FI = 0>
INLINE void dw_back_rows(const V* dz, long pitch, const V* w, V* dx, int i, int cols, int pad,
                         int border, bool add) {
  if ((i + pad) % S == FI) dw_back_columns<K, D, S, FI>(dz, pitch, w, dx, i, cols, pad, border, add);
  if constexpr (FI + 1 < S) dw_back_rows<K, D, S, FI + 1>(dz, pitch, w, dx, i, cols, pad, border, add);
}

// Row i of dx, added to what is there where `add`. `w` are the flipped taps for stride 1, the taps themselves otherwise.
template <int K, int D, int S>
void dw_back(const V* dz, long pitch, const V* w, V* dx, int i, int cols, int pad, int border,
             bool add) {
  if constexpr (S == 1)
    // dx[i] = sum over r of dz[i + pad - (K - 1) D + r D] flipped[r]
    dw_rows<K, D, 1>(dz + (i + pad - (K - 1) * D + border) * pitch + pad - (K - 1) * D + border,
                     pitch, w, (V){}, dx, 0, 1, cols, add);
  else
    dw_back_rows<K, D, S>(dz, pitch, w, dx, i, cols, pad, border, add);
}

struct Depthwise {
  int kernel, dilation, stride;
  RowsFn rows;
  TapsFn taps;
  BackFn back;
};
#define DEPTHWISE(K, D, S) {K, D, S, dw_rows<K, D, S>, dw_taps<K, D, S>, dw_back<K, D, S>},
