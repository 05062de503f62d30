// Forward: stages, sums, gathers by image; moments are combined between phases.
#pragma once
#include "depthwise.h"
#include "product.h"
#include "tile.h"

extern const Depthwise DEPTHWISES[];
extern const int DEPTHWISE_COUNT;

static const Depthwise* depthwise_of(const Instruction& s) {
  for (int i = 0; i < DEPTHWISE_COUNT; ++i) {
    const Depthwise& d = DEPTHWISES[i];
    if (d.kernel == s.kernel && d.dilation == s.dilation && d.stride == s.stride) return &d;
  }
  return nullptr;
}

// Rows of the output worked on together, so that they stay in the first-level cache.
INLINE int chunk_rows(const Map& in, const Map& out) {
  int wide = in.nb > out.nb ? in.nb : out.nb;
  int rows = 256 / wide / out.width;
  if (rows < 1) rows = 1;
  return rows < out.height ? rows : out.height;
}

// Lanes of block o that a piece of the output channels writes; full: all of them.
INLINE M lanes_between(int o, int first, int last) {
  M m = {};
  for (int l = 0; l < L; ++l) m[l] = o * L + l >= first && o * L + l < last ? -1 : 0;
  return m;
}

struct Moments {
  V shift, s1[4], s2[4];
};

INLINE void moments_start(Moments& q, V shift) {
  q.shift = shift;
  for (int k = 0; k < 4; ++k) q.s1[k] = q.s2[k] = (V){};
}
INLINE void moments_add(Moments& q, const V* y, long n) {
  V sh = q.shift, a0 = q.s1[0], a1 = q.s1[1], a2 = q.s1[2], a3 = q.s1[3];
  V b0 = q.s2[0], b1 = q.s2[1], b2 = q.s2[2], b3 = q.s2[3];
  long i = 0;
  for (; i + 4 <= n; i += 4) {
    V d0 = y[i] - sh, d1 = y[i + 1] - sh, d2 = y[i + 2] - sh, d3 = y[i + 3] - sh;
    a0 += d0, a1 += d1, a2 += d2, a3 += d3;
    b0 += d0 * d0, b1 += d1 * d1, b2 += d2 * d2, b3 += d3 * d3;
  }
  for (; i < n; ++i) {
    V d = y[i] - sh;
    a0 += d, b0 += d * d;
  }
  q.s1[0] = a0, q.s1[1] = a1, q.s1[2] = a2, q.s1[3] = a3;
  q.s2[0] = b0, q.s2[1] = b1, q.s2[2] = b2, q.s2[3] = b3;
}
// Mean and sum of squares around it of one image.
INLINE void moments_end(const Moments& q, long n, double* mean, double* m2) {
  V s1 = (q.s1[0] + q.s1[1]) + (q.s1[2] + q.s1[3]), s2 = (q.s2[0] + q.s2[1]) + (q.s2[2] + q.s2[3]);
  for (int l = 0; l < L; ++l) {
    double a = (double)s1[l];
    mean[l] = (double)q.shift[l] + a / n;
    double v = (double)s2[l] - a * a / n;
    m2[l] = v < 0 ? 0 : v;
  }
}

INLINE void pool_row(int pooling, const V* x, long pitch, int k, int s, V* y, int cols,
                     const real* inverse) {
  for (int j = 0; j < cols; ++j) {
    const V* at = x + (long)j * s;
    V v = at[0];
    if (pooling == MAXIMUM) {
      for (int r = 0; r < k; ++r)
        for (int q = 0; q < k; ++q) {
          V u = at[r * pitch + q];
          v = (u > v) | (u != u) ? u : v;
        }
      y[j] = v;
    } else {
      v = (V){};
      for (int r = 0; r < k; ++r)
        for (int q = 0; q < k; ++q) v += at[r * pitch + q];
      y[j] = v * inverse[j];
    }
  }
}

// How many positions of a window along one axis count.
INLINE int counted(int i, const Instruction& s, int extent) {
  if (s.include_pad) return s.kernel;
  int from = i * s.stride - s.pad, to = from + s.kernel;
  return (to < extent ? to : extent) - (from > 0 ? from : 0);
}

static void pool_forward(const Frame& f, Thread& t, const Instruction& s, long n, double* image,
                         bool moments) {
  const Map &in = f.p.maps[f.p.heads[s.src].map], &out = f.p.maps[s.out];
  moments = moments && out.moments;
  const V* tile = build_tile(f, t, s.src, s.border, s.pooling == MAXIMUM, n);
  long pitch = in.width + 2 * s.border, size = pitch * (in.height + 2 * s.border);
  int off = s.border - s.pad;
  real* inverse = (real*)t.row;
  for (int b = 0; b < in.nb; ++b) {
    V* y = f.block(s.out, n, b);
    for (int i = 0; i < out.height; ++i) {
      if (s.pooling == AVERAGE)
        for (int j = 0; j < out.width; ++j)
          inverse[j] = (real)1 / (real)(counted(i, s, in.height) * counted(j, s, in.width));
      const V* x = tile + b * size + (off + (long)i * s.stride) * pitch + off;
      if (s.kernel == 3)
        pool_row(s.pooling, x, pitch, 3, s.stride, y + (long)i * out.width, out.width, inverse);
      else
        pool_row(s.pooling, x, pitch, s.kernel, s.stride, y + (long)i * out.width, out.width, inverse);
    }
    if (moments) {
      Moments q;
      moments_start(q, y[0]);
      moments_add(q, y, out.hw);
      moments_end(q, out.hw, image + b * L, image + (out.nb + b) * L);
    }
  }
}

// One piece of dense convolution for output rows i0 to i1 from the tile, or from `z` (pointwise).
static void piece_forward(const Frame& f, const V* tile, const Instruction& s, const Piece& q,
                          long n, int i0, int i1, const V* z, long zstride) {
  const Map &in = f.p.maps[f.p.heads[s.src].map], &out = f.p.maps[s.out];
  int o0 = q.first / L, o1 = blocks(q.last);
  bool whole = q.first % L == 0 && (q.last % L == 0 || q.last == out.channels);
  M mask[64];
  V bias[64];
  const V* w = f.packed + q.packed;
  V* y = f.block(s.out, n, 0);
  int chunk = 64;
  for (int a = o0; a < o1; a += chunk) {
    int e = a + chunk < o1 ? a + chunk : o1;
    for (int o = a; o < e; ++o) {
      mask[o - a] = lanes_between(o, q.first, q.last);
      bias[o - a] = (V){};
      if (q.bias >= 0)
        for (int l = 0; l < L; ++l) {
          int c = o * L + l - q.first;
          if (c >= 0 && c < q.last - q.first) bias[o - a][l] = f.tensor(q.bias)[c];
        }
    }
    const M* masked = whole ? nullptr : mask;
    int taps_n = q.kernel * q.kernel;
    // The blocks a to e of all rows of the weights: rows are out.nb apart.
    if (z || (q.kernel == 1 && q.stride == 1 && s.border == 0)) {
      long at = z ? 0 : (long)i0 * in.width;
      int zero = 0;
      Taps taps{1, &at, &zero};
      product(1, e - a, z ? z : tile, z ? zstride : in.hw, 0, in.channels, taps, w + a, out.nb,
              bias, y + a * out.hw + (long)i0 * out.width, out.hw, 1, (i1 - i0) * out.width, masked);
      continue;
    }
    long pitch = in.width + 2 * s.border, size = pitch * (in.height + 2 * s.border);
    std::vector<long> at(taps_n);
    std::vector<int> index(taps_n);
    for (int k = 0; k < taps_n; ++k) index[k] = k;
    for (int i = i0; i < i1; ++i) {
      for (int k = 0; k < taps_n; ++k)
        at[k] = (s.border - q.pad_h + (long)i * q.stride + k / q.kernel * q.dilation) * pitch +
                s.border - q.pad_w + k % q.kernel * q.dilation;
      Taps taps{taps_n, at.data(), index.data()};
      product(q.stride, e - a, tile, size, 0, in.channels, taps, w + a, out.nb, bias,
              y + a * out.hw + (long)i * out.width, out.hw, 1, out.width, masked);
    }
  }
}

static void stage_forward(const Frame& f, Thread& t, const Instruction& s, long n, double* image,
                          bool moments) {
  if (s.pooling != LINEAR) return pool_forward(f, t, s, n, image, moments);
  const Map &in = f.p.maps[f.p.heads[s.src].map], &out = f.p.maps[s.out];
  moments = moments && out.moments;
  const V* tile = build_tile(f, t, s.src, s.border, false, n);
  long pitch = in.width + 2 * s.border, size = pitch * (in.height + 2 * s.border);
  int rows = chunk_rows(in, out), off = s.border - s.pad;
  const Depthwise* d = s.dw >= 0 ? depthwise_of(s) : nullptr;
  Moments* q = (Moments*)t.spare;
  for (int i0 = 0; i0 < out.height; i0 += rows) {
    int i1 = i0 + rows < out.height ? i0 + rows : out.height;
    long px = (long)(i1 - i0) * out.width, zstride = (long)rows * out.width;
    if (d) {
      for (int b = 0; b < in.nb; ++b) {
        V bias = s.dw_bias >= 0
                     ? load_lanes(f.tensor(s.dw_bias) + b * L, lanes_of(in.channels, b))
                     : (V){};
        V* z = s.pieces.empty() ? f.block(s.out, n, b) + (long)i0 * out.width : t.z + b * zstride;
        d->rows(tile + b * size + (off + (long)i0 * s.stride) * pitch + off, pitch,
                f.packed + s.packed_dw + (long)b * s.kernel * s.kernel, bias, z, out.width, i1 - i0,
                out.width, false);
      }
    }
    for (const Piece& piece : s.pieces)
      piece_forward(f, tile, s, piece, n, i0, i1, d ? t.z : nullptr, zstride);
    if (moments)
      for (int o = 0; o < out.nb; ++o) {
        const V* y = f.block(s.out, n, o) + (long)i0 * out.width;
        if (i0 == 0) moments_start(q[o], y[0]);
        moments_add(q[o], y, px);
      }
  }
  if (moments)
    for (int o = 0; o < out.nb; ++o)
      moments_end(q[o], out.hw, image + o * L, image + (out.nb + o) * L);
}

static void sum_forward(const Frame& f, const Instruction& s, long n, const double* coef) {
  const Map& out = f.p.maps[s.out];
  constexpr int WB = 8;
  for (int b = 0; b < out.nb; ++b) {
    V* y = f.block(s.out, n, b);
    V bias = {};
    struct Term {
      const V* x;
      V k;
    };
    static thread_local std::vector<Term> plain;
    plain.clear();
    for (int h : s.terms) {
      const Head& head = f.p.heads[h];
      if (head.act != NONE) continue;
      real k = coef[head.coef];
      plain.push_back({f.block(head.map, n, b), f.scale[f.p.head_at[h] + b] * k});
      bias += f.shift[f.p.head_at[h] + b] * k;
    }
    long i = 0;
    for (; i + WB <= out.hw; i += WB) {
      V acc[WB];
      UNROLL for (int p = 0; p < WB; ++p) acc[p] = s.adds ? y[i + p] + bias : bias;
      for (const Term& t : plain) {
        V k = t.k;
        soon(t.x + i + AHEAD, WB);
        UNROLL for (int p = 0; p < WB; ++p) acc[p] += t.x[i + p] * k;
      }
      UNROLL for (int p = 0; p < WB; ++p) y[i + p] = acc[p];
    }
    for (; i < out.hw; ++i) {
      V acc = s.adds ? y[i] + bias : bias;
      for (const Term& t : plain) acc += t.x[i] * t.k;
      y[i] = acc;
    }
    for (int h : s.terms) {
      const Head& head = f.p.heads[h];
      if (head.act == NONE) continue;
      const V* x = f.block(head.map, n, b);
      V scale = f.scale[f.p.head_at[h] + b], shift = f.shift[f.p.head_at[h] + b];
      V k = splat(coef[head.coef]);
      real slope = head.slope;
      if (head.act == RELU)
        for (i = 0; i < out.hw; ++i) y[i] += k * activate(x[i] * scale + shift, RELU, 0);
      else
        for (i = 0; i < out.hw; ++i) y[i] += k * activate(x[i] * scale + shift, head.act, slope);
    }
    // Lanes that are no channels stay zero whatever the weights.
    int lanes = lanes_of(out.channels, b);
    if (lanes < L) {
      M keep = lanes_between(0, 0, lanes);
      for (i = 0; i < out.hw; ++i) y[i] = keep ? y[i] : (V){};
    }
  }
}

// Channels of other maps, or of tensors outside, side by side. A run from map -1 is zero.
static void gather_forward(const Frame& f, const Instruction& s, long n) {
  const Map& out = f.p.maps[s.out];
  for (const Run& r : s.runs) {
    const Map* in = r.map >= 0 ? &f.p.maps[r.map] : nullptr;
    for (int c = 0; c < r.n;) {
      int from = r.from + c, to = r.to + c;
      // The most that stays in one block on both sides.
      int lanes = r.n - c;
      if (out.place != OUTSIDE && L - to % L < lanes) lanes = L - to % L;
      if ((!in || in->place != OUTSIDE) && L - from % L < lanes) lanes = L - from % L;
      if (lanes > L) lanes = L;
      real* dst;
      long dpx, drow;
      if (out.place == OUTSIDE) {
        const int64_t* st = f.c.strides + 4 * out.at;
        dst = f.tensor(out.at) + n * st[0] + to, dpx = st[3], drow = st[2];
      } else {
        dst = (real*)f.block(s.out, n, to / L) + to % L, dpx = L, drow = (long)L * out.width;
      }
      const real* src = nullptr;
      long spx = 0, srow = 0;
      if (in && in->place == OUTSIDE) {
        const int64_t* st = f.c.strides + 4 * in->at;
        src = f.tensor(in->at) + n * st[0] + from, spx = st[3], srow = st[2];
      } else if (in) {
        src = (const real*)f.block(r.map, n, from / L) + from % L, spx = L,
        srow = (long)L * out.width;
      }
      bool pad = out.place != OUTSIDE && to % L == 0 && to + lanes == out.channels;
      for (int i = 0; i < out.height; ++i)
        for (int j = 0; j < out.width; ++j) {
          V v = src ? load_lanes(src + i * srow + j * spx, lanes) : (V){};
          store_lanes(dst + i * drow + j * dpx, v, pad ? L : lanes);
        }
      c += lanes;
    }
  }
  if (out.place != OUTSIDE && out.channels % L) {
    int used = out.channels % L;
    real* dst = (real*)f.block(s.out, n, out.nb - 1) + used;
    for (long q = 0; q < out.hw; ++q) std::memset(dst + q * L, 0, (L - used) * sizeof(real));
  }
}

// Mean and variance of a map from those of its images.
static void settle_moments(const Frame& f, int map, const double* images, long per_image) {
  const Map& m = f.p.maps[map];
  double* mean = f.c.moments + f.p.moments_at[map];
  double* var = mean + f.p.moments;
  for (int c = 0; c < m.nb * L; ++c) {
    int b = c / L, l = c % L;
    double mu = 0, m2 = 0;
    for (long n = 0; n < f.c.n; ++n) mu += images[n * per_image + b * L + l];
    mu /= f.c.n;
    for (long n = 0; n < f.c.n; ++n) {
      double d = images[n * per_image + b * L + l] - mu;
      m2 += images[n * per_image + (m.nb + b) * L + l] + (double)m.hw * d * d;
    }
    if (!std::isfinite(mu)) {  // an infinity: the plain mean says whether it is one or no number
      mu = 0;
      for (long n = 0; n < f.c.n; ++n) {
        const V* y = f.block(map, n, b);
        for (long q = 0; q < m.hw; ++q) mu += (double)y[q][l];
      }
      mu /= (double)f.c.n * m.hw;
    }
    mean[c] = mu;
    var[c] = m2 / ((double)f.c.n * m.hw);
  }
}

static void run_statistics(const Frame& f, int bn) {
  const Bn& b = f.p.bns[bn];
  double k = f.c.factor[bn];
  if (!f.c.training[bn]) return;
  if (b.tracked >= 0 && k >= 0) ++*(int64_t*)f.c.tensors[b.tracked];
  if (k < 0 || b.mean < 0) return;
  const Map& m = f.p.maps[b.map];
  const double* mean = f.c.moments + f.p.moments_at[b.map];
  const double* var = mean + f.p.moments;
  double count = (double)f.c.n * m.hw;
  real *rm = f.tensor(b.mean), *rv = f.tensor(b.var);
  for (int c = 0; c < m.channels; ++c) {
    rm[c] = (real)((1 - k) * (double)rm[c] + k * mean[c]);
    rv[c] = (real)((1 - k) * (double)rv[c] + k * var[c] * count / (count - 1));
  }
}
