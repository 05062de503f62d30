// State of one call, access to maps, and tiles: copies of an image with a border.
#pragma once
#include "program.h"

// Tensors of one call. Outside maps are channels-last.
struct Call {
  int64_t n;
  const int64_t* tensors;   // pointers by slot
  const int64_t* strides;   // four per slot
  const int64_t* shapes;    // four per slot
  const int64_t* grads;     // pointers of gradients by slot, 0: not asked for
  const int64_t* gstrides;  // four per slot
  const int64_t* training;  // per normalisation
  const double* factor;     // per normalisation, of the running statistics; below 0: leave them
  double* moments;          // mean, then variance of every map with moments
  V* place[PLACES];
  V* work;  // lanes for packed weights, sums, scratch
  int threads;
};

struct Frame {
  const Program& p;
  const Call& c;
  V *scale, *shift;  // per head: what a head yields in front of its activation
  V* centre;         // per head: the mean
  V *packed, *packed_back;

  V* block(int map, long n, int b) const {
    const Map& m = p.maps[map];
    return c.place[m.place] + m.at * c.n + (n * m.nb + b) * m.hw;
  }
  real* tensor(int slot) const { return (real*)c.tensors[slot]; }
  real* grad(int slot) const { return (real*)c.grads[slot]; }
};

struct TileKey {
  int map, bn, act, border;
  bool low;
  long n;
  double slope;
  bool operator==(const TileKey& o) const {
    return map == o.map && bn == o.bn && act == o.act && border == o.border && low == o.low &&
           n == o.n && slope == o.slope;
  }
};

// The extent of bordered images: as long as it stays, so does the border.
struct Extent {
  int height, width, border;
  long blocks;
  bool holds(const Extent& o) const {
    return height == o.height && width == o.width && border == o.border && blocks >= o.blocks;
  }
};

// A copy of an image in use again and again.
struct Tile {
  V* at;
  TileKey key;
  Extent extent;
};

enum { TILES = 3, BUNDLE = 4 };

// What a thread works with.
struct Thread {
  Tile tiles[TILES];    // with a border of zeros, with one below every number, without one
  V* dz[BUNDLE];        // gradients of depthwise outputs, with a border
  Extent dz_extent[BUNDLE];
  V *spare, *z, *dy, *row;
  V* partial;           // gradients of packed weights
};

INLINE V outside_pixel(const Frame& f, const Map& m, const real* base, const int64_t* s, long n,
                       int b, int i, int j) {
  (void)f;
  return load_lanes(base + n * s[0] + i * s[2] + j * s[3] + (long)b * L, lanes_of(m.channels, b));
}

// Zeroes, or sets to `edge`, the border of images that stand behind each other.
static void set_border(V* to, const Extent& e, V edge) {
  long pitch = e.width + 2 * e.border, size = pitch * (e.height + 2 * e.border);
  for (long b = 0; b < e.blocks; ++b, to += size) {
    for (long q = 0; q < e.border * pitch; ++q) to[q] = to[size - 1 - q] = edge;
    for (int i = 0; i < e.height; ++i) {
      V* row = to + (i + e.border) * pitch;
      for (int j = 0; j < e.border; ++j) row[j] = row[pitch - 1 - j] = edge;
    }
  }
}

// The image of a head with a border; `low`: the border is below every number.
static const V* build_tile(const Frame& f, Thread& t, int head, int border, bool low, long n) {
  const Head& h = f.p.heads[head];
  Tile& tile = t.tiles[border == 0 ? 2 : low ? 1 : 0];
  TileKey key{h.map, h.bn, h.act, border, low, n, h.slope};
  if (tile.key == key) return tile.at;
  tile.key = key;
  const Map& m = f.p.maps[h.map];
  Extent extent{m.height, m.width, border, m.nb};
  if (border && !tile.extent.holds(extent)) {
    set_border(tile.at, extent, low ? splat(-std::numeric_limits<real>::infinity()) : (V){});
    tile.extent = extent;
  }
  long pitch = m.width + 2 * border, size = pitch * (m.height + 2 * border);
  real slope = h.slope;
  for (int b = 0; b < m.nb; ++b) {
    V* to = tile.at + b * size;
    V scale = f.scale[f.p.head_at[head] + b], shift = f.shift[f.p.head_at[head] + b];
    const V* image = m.place == OUTSIDE ? nullptr : f.block(h.map, n, b);
    const real* base = m.place == OUTSIDE ? f.tensor(m.at) : nullptr;
    const int64_t* s = m.place == OUTSIDE ? f.c.strides + 4 * m.at : nullptr;
    const int width = m.width, height = m.height, act = h.act;
    const bool normed = h.bn >= 0;
    for (int i = 0; i < height; ++i) {
      V* row = to + (i + border) * pitch + border;
      const V* in = image ? image + (long)i * width : row;
      if (image)
        soon(in + AHEAD, width);
      else
        for (int j = 0; j < width; ++j) row[j] = outside_pixel(f, m, base, s, n, b, i, j);
      if (normed) {
        if (act == RELU)
          for (int j = 0; j < width; ++j) row[j] = activate(in[j] * scale + shift, RELU, 0);
        else
          for (int j = 0; j < width; ++j) row[j] = activate(in[j] * scale + shift, act, slope);
      } else if (act == RELU) {
        for (int j = 0; j < width; ++j) row[j] = activate(in[j], RELU, 0);
      } else if (act != NONE || image) {
        for (int j = 0; j < width; ++j) row[j] = activate(in[j], act, slope);
      }
    }
  }
  return tile.at;
}

// ---- packing of weights

// False where some weight is an infinity or no number.
static bool pack_depthwise(const Frame& f, const Instruction& s, int channels, bool flip) {
  const real* w = f.tensor(s.dw);
  const int64_t* st = f.c.strides + 4 * s.dw;
  V* to = f.packed + s.packed_dw;
  V seen = {};
  int k = s.kernel;
  for (int b = 0; b < blocks(channels); ++b)
    for (int r = 0; r < k; ++r)
      for (int q = 0; q < k; ++q) {
        V v = {};
        for (int l = 0; l < lanes_of(channels, b); ++l)
          v[l] = w[(b * L + l) * st[0] + r * st[2] + q * st[3]];
        int at = flip ? (k - 1 - r) * k + k - 1 - q : r * k + q;
        to[b * k * k + at] = v;
        seen += v * 0;
      }
  return numbers(seen);
}

// [tap][channel in][block out]
static bool pack_piece(const Frame& f, const Piece& q, int cin, int nob) {
  const real* w = f.tensor(q.weight);
  const int64_t* st = f.c.strides + 4 * q.weight;
  V seen = {};
  for (int t = 0; t < q.kernel * q.kernel; ++t)
    for (int c = 0; c < cin; ++c)
      for (int o = 0; o < nob; ++o) {
        V v = {};
        const real* from = w + c * st[1] + t / q.kernel * st[2] + t % q.kernel * st[3];
        for (int l = 0; l < L; ++l) {
          int co = o * L + l;
          if (co >= q.first && co < q.last) v[l] = from[(co - q.first) * st[0]];
        }
        f.packed[q.packed + ((long)t * cin + c) * nob + o] = v;
        seen += v * 0;
      }
  return numbers(seen);
}

// [tap][channel out][block in]
static void pack_back(const Frame& f, const Piece& q, int cin) {
  const real* w = f.tensor(q.weight);
  const int64_t* st = f.c.strides + 4 * q.weight;
  int nib = blocks(cin), n = q.last - q.first;
  for (int t = 0; t < q.kernel * q.kernel; ++t)
    for (int c = 0; c < n; ++c)
      for (int b = 0; b < nib; ++b) {
        const real* from = w + c * st[0] + t / q.kernel * st[2] + t % q.kernel * st[3];
        V v = {};
        for (int l = 0; l < lanes_of(cin, b); ++l) v[l] = from[(b * L + l) * st[1]];
        f.packed_back[q.packed_back + ((long)t * n + c) * nib + b] = v;
      }
}

static double coefficient(const Frame& f, const Coef& k) {
  double value = k.constant;
  for (const Factor& q : k.factors) {
    const int64_t* s = f.c.strides + 4 * q.slot;
    value *= (double)f.tensor(q.slot)[q.row * s[0] + q.column * s[1]];
  }
  return value;
}

// ---- normalisation

// Scale and shift of one head, once the moments of its map are known.
static void settle_head(const Frame& f, int head) {
  const Head& h = f.p.heads[head];
  const Map& m = f.p.maps[h.map];
  V *scale = f.scale + f.p.head_at[head], *shift = f.shift + f.p.head_at[head];
  V* centre = f.centre + f.p.head_at[head];
  if (h.bn < 0) {
    for (int b = 0; b < m.nb; ++b) scale[b] = splat(1), shift[b] = centre[b] = (V){};
    return;
  }
  const Bn& bn = f.p.bns[h.bn];
  const double* mean = f.c.moments + f.p.moments_at[h.map];
  const double* var = mean + f.p.moments;
  bool train = f.c.training[h.bn];
  for (int c = 0; c < m.nb * L; ++c) {
    double a = 0, d = 0, mu = 0;
    if (c < m.channels) {
      mu = train ? mean[c] : (double)f.tensor(bn.mean)[c];
      double v = train ? var[c] : (double)f.tensor(bn.var)[c];
      a = 1 / std::sqrt(v + bn.eps);
      if (bn.gamma >= 0) a *= (double)f.tensor(bn.gamma)[c];
      d = (bn.beta >= 0 ? (double)f.tensor(bn.beta)[c] : 0) - mu * a;
    }
    scale[c / L][c % L] = a;
    shift[c / L][c % L] = d;
    centre[c / L][c % L] = mu;
  }
}
