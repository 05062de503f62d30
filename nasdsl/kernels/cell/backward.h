// Backward: what forward did, in reverse; outputs before a normalisation are read, the rest is
// computed anew.
#pragma once
#include "forward.h"

// State of a backward call.
struct Back : Frame {
  explicit Back(const Frame& frame) : Frame(frame) {}
  V *k_grad, *k_value, *k_one;  // per head: dy = k_grad g + k_value (y - mean) + k_one
  V* sums;                      // per head, image and block: of g, of g (y - mean)
  double* coef_sums;            // per head and image: of g times the term
  double* coef_grad;            // per coefficient
  const double* coef;
  char* touched;                // per image and map: whether a gradient has been written
  const char* want;             // per map

  V* sums_of(int head, long n) const {
    return sums + 2 * (p.head_at[head] * c.n + n * p.maps[p.heads[head].map].nb);
  }
  bool grad_asked(int slot) const { return slot >= 0 && c.grads[slot] != 0; }
  char& touch(int map, long n) const { return touched[n * (long)p.maps.size() + map]; }
};

// Whether anything asks for the gradient of what a head yields by its map or its normalisation.
INLINE bool head_wanted(const Back& f, const Head& h) {
  if (f.want[h.map]) return true;
  if (h.bn < 0) return false;
  const Bn& bn = f.p.bns[h.bn];
  return (bn.gamma >= 0 && f.grad(bn.gamma)) || (bn.beta >= 0 && f.grad(bn.beta));
}

// Zeroes a gradient map that nothing has been added to yet.
static void open_map(const Back& f, int map, long n) {
  if (f.touch(map, n)) return;
  f.touch(map, n) = 1;
  const Map& m = f.p.maps[map];
  if (m.place == OUTSIDE) {
    const int64_t* st = f.c.gstrides + 4 * m.at;
    for (int i = 0; i < m.height; ++i)
      for (int j = 0; j < m.width; ++j)
        std::memset(f.grad(m.at) + n * st[0] + i * st[2] + j * st[3], 0, m.channels * sizeof(real));
  } else {
    std::memset(f.block(map, n, 0), 0, sizeof(V) * m.nb * m.hw);
  }
}

// ---- the gradient of a map from all its heads, rows i0 to i1, block b
static void map_gradient(const Back& f, int map, long n, int b, int i0, int i1, V* dy) {
  const Map& m = f.p.maps[map];
  long from = (long)i0 * m.width, px = (long)(i1 - i0) * m.width;
  const V* y = f.block(map, n, b) + from;
  bool first = true;
  for (int h : m.heads) {
    const Head& head = f.p.heads[h];
    const V* g = f.block(head.grad, n, b) + from;
    long at = f.p.head_at[h] + b;
    V kg = f.k_grad[at], kv = f.k_value[at], k1 = f.k_one[at];
    bool plain = head.coef < 0 || head.act == NONE;
    // Only statistics of the batch depend on what was normalised; zero times an infinity is none.
    bool reads = head.bn >= 0 && f.c.training[head.bn];
    // The next rows are asked for while these are worked on.
    soon(g + px, px);
    if (first) soon(y + px, px);
    V scale = f.scale[at], shift = f.shift[at], mu = f.centre[at];
    if (plain && reads) {
      if (first)
        for (long q = 0; q < px; ++q) dy[q] = kg * g[q] + (kv * (y[q] - mu) + k1);
      else
        for (long q = 0; q < px; ++q) dy[q] += kg * g[q] + (kv * (y[q] - mu) + k1);
    } else if (plain) {
      if (first)
        for (long q = 0; q < px; ++q) dy[q] = kg * g[q];
      else
        for (long q = 0; q < px; ++q) dy[q] += kg * g[q];
    } else {
      for (long q = 0; q < px; ++q) {
        V v = kg * behind(g[q], y[q] * scale + shift, head.act, head.slope);
        if (reads) v += kv * (y[q] - mu) + k1;
        dy[q] = first ? v : dy[q] + v;
      }
    }
    first = false;
  }
  if (first)
    for (long q = 0; q < px; ++q) dy[q] = (V){};
}

// Takes a row of the gradient by what a stage reads: through the activation into the gradient of
// its source, with the sums that its normalisation needs.
static void sink_row(const Back& f, const V* image, const Instruction& s, long n, int b, int i,
                     V* dx, bool first) {
  const Head& h = f.p.heads[s.src];
  const Map& m = f.p.maps[h.map];
  const V* tile = image + ((long)b * (m.height + 2 * s.border) + i + s.border) *
                               (m.width + 2 * s.border) + s.border;
  long at = f.p.head_at[s.src] + b;
  const int width = m.width;
  if (h.act == RELU) {
    for (int j = 0; j < width; ++j) dx[j] = tile[j] <= 0 ? (V){} : dx[j];
  } else if (h.act != NONE) {
    const V* x = m.place == OUTSIDE ? nullptr : f.block(h.map, n, b) + (long)i * m.width;
    V scale = f.scale[at], shift = f.shift[at];
    for (int j = 0; j < m.width; ++j) {
      V v = x ? x[j]
              : outside_pixel(f, m, f.tensor(m.at), f.c.strides + 4 * m.at, n, b, i, j);
      dx[j] = behind(dx[j], v * scale + shift, h.act, h.slope);
    }
  }
  const Map& g = f.p.maps[h.grad];
  if (g.place == OUTSIDE) {
    const int64_t* st = f.c.gstrides + 4 * g.at;
    real* to = f.grad(g.at) + n * st[0] + i * st[2] + (long)b * L;
    int lanes = lanes_of(g.channels, b);
    for (int j = 0; j < g.width; ++j) {
      V old = first ? (V){} : load_lanes(to + j * st[3], lanes);
      store_lanes(to + j * st[3], old + dx[j], lanes);
    }
    return;
  }
  V* to = f.block(h.grad, n, b) + (long)i * width;
  soon(to + width, width);
  if (first)
    for (int j = 0; j < width; ++j) to[j] = dx[j];
  else
    for (int j = 0; j < width; ++j) to[j] += dx[j];
  if (h.bn >= 0) {
    const V* y = f.block(h.map, n, b) + (long)i * width;
    soon(y + width, width);
    V mu = f.centre[at], s1 = {}, s2 = {};
    for (int j = 0; j < width; ++j) {
      s1 += dx[j];
      s2 += dx[j] * (y[j] - mu);
    }
    V* sums = f.sums_of(s.src, n) + 2 * b;
    if (i == 0) sums[0] = sums[1] = (V){};
    sums[0] += s1;
    sums[1] += s2;
  }
}

static void pool_backward(const Back& f, Thread& t, const Instruction& s, long n) {
  const Head& h = f.p.heads[s.src];
  const Map &in = f.p.maps[h.map], &out = f.p.maps[s.out];
  bool largest = s.pooling == MAXIMUM;
  const V* tile = build_tile(f, t, s.src, s.border, largest, n);
  long pitch = in.width + 2 * s.border, size = pitch * (in.height + 2 * s.border);
  int off = s.border - s.pad, k = s.kernel;
  bool first = !f.touch(h.grad, n);
  for (int b = 0; b < in.nb; ++b) {
    V* dx = t.spare;
    std::memset(dx, 0, sizeof(V) * size);
    for (int i = 0; i < out.height; ++i) {
      V* dy = t.dy;
      map_gradient(f, s.out, n, b, i, i + 1, dy);
      const V* x = tile + b * size + (off + (long)i * s.stride) * pitch + off;
      V* to = dx + (off + (long)i * s.stride) * pitch + off;
      int top = s.pad - i * s.stride;
      if (top < 0) top = 0;
      for (int j = 0; j < out.width; ++j) {
        if (largest) {
          // The first of equal values wins, a later NaN takes over (torch).
          int left = s.pad - j * s.stride;
          if (left < 0) left = 0;
          const V* at = x + (long)j * s.stride;
          V best = splat(-std::numeric_limits<real>::infinity());
          M won = (top * k + left) - (M){};
          for (int r = top; r < k; ++r)
            for (int q = left; q < k; ++q) {
              V u = at[r * pitch + q];
              M better = (u > best) | (u != u);
              best = better ? u : best;
              won = better ? (integer)(r * k + q) - (M){} : won;
            }
          V* back = to + (long)j * s.stride;
          for (int r = top; r < k; ++r)
            for (int q = left; q < k; ++q)
              back[r * pitch + q] += won == (integer)(r * k + q) ? dy[j] : (V){};
        } else {
          V g = dy[j] * ((real)1 / (real)(counted(i, s, in.height) * counted(j, s, in.width)));
          V* back = to + (long)j * s.stride;
          for (int r = 0; r < k; ++r)
            for (int q = 0; q < k; ++q) back[r * pitch + q] += g;
        }
      }
    }
    for (int i = 0; i < in.height; ++i)
      sink_row(f, tile, s, n, b, i, dx + (i + s.border) * pitch + s.border, first);
  }
  f.touch(h.grad, n) = 1;
}

// How the gradient of an output stands in a bordered copy, so that the gradient by data is a
// convolution of it without a border.
struct Bordered {
  int border;
  long pitch, size;
};
INLINE Bordered bordered(const Map& in, const Map& out, int reach, int stride, int pad) {
  int left = reach - pad > 0 ? (reach - pad + stride - 1) / stride : 0;
  int wide = (in.width - 1 + pad) / stride + 1, high = (in.height - 1 + pad) / stride + 1;
  if (wide < out.width) wide = out.width;
  if (high < out.height) high = out.height;
  return {left, left + wide, (long)(left + wide) * (left + high)};
}

INLINE Bordered piece_bordered(const Map& in, const Map& out, const Piece& q) {
  int low = q.pad_h < q.pad_w ? q.pad_h : q.pad_w, high = q.pad_h > q.pad_w ? q.pad_h : q.pad_w;
  Bordered one = bordered(in, out, (q.kernel - 1) * q.dilation, q.stride, high);
  Bordered two = bordered(in, out, (q.kernel - 1) * q.dilation, q.stride, low);
  int border = one.border > two.border ? one.border : two.border;
  long wide = one.pitch - one.border + border, tall = one.size / one.pitch - one.border + border;
  return {border, wide, wide * tall};
}

static void copy_bordered(const V* from, const Bordered& q, V* to, int i0, int i1, int cols) {
  for (int i = i0; i < i1; ++i)
    std::memcpy(to + (i + q.border) * q.pitch + q.border, from + (long)(i - i0) * cols,
                sizeof(V) * cols);
}

// Row i of the gradient by data of dense pieces, all blocks of the input, into `row`.
static void pieces_back_row(const Back& f, const Instruction& s, const V* dz, const Bordered* at,
                            const long* dz_at, int i, V* row) {
  const Map& in = f.p.maps[f.p.heads[s.src].map];
  for (int b = 0; b < in.nb * in.width; ++b) row[b] = (V){};
  long taps[256];
  int index[256];
  V out[2 * 64];
  for (size_t k = 0; k < s.pieces.size(); ++k) {
    const Piece& q = s.pieces[k];
    const Bordered& d = at[k];
    const V* w = f.packed_back + q.packed_back;
    int st = q.stride;
    for (int fj = 0; fj < st; ++fj) {
      int n = 0;
      // Column j with (j + pad) % stride == fj, taps t with (t D) % stride == fj.
      int j0 = ((fj - q.pad_w) % st + st) % st;
      for (int r = 0; r < q.kernel; ++r) {
        int up = i + q.pad_h - r * q.dilation;
        if (((up % st) + st) % st) continue;
        for (int t = 0; t < q.kernel; ++t) {
          int left = j0 + q.pad_w - t * q.dilation;
          if (((left % st) + st) % st) continue;
          int y = up < 0 ? -((-up) / st) : up / st, x = left < 0 ? -((-left) / st) : left / st;
          if (y + d.border < 0 || (long)(y + d.border + 1) * d.pitch > d.size) continue;
          taps[n] = (long)(y + d.border) * d.pitch + x + d.border;
          index[n++] = r * q.kernel + t;
        }
      }
      if (!n || j0 >= in.width) continue;
      int px = (in.width - j0 + st - 1) / st;
      // A few pixels and two blocks at a time: products overwrite, pieces add.
      for (int p = 0; p < px; p += 64) {
        int count = px - p < 64 ? px - p : 64;
        long shifted[256];
        for (int m = 0; m < n; ++m) shifted[m] = taps[m] + p;
        Taps part{n, shifted, index};
        for (int b = 0; b < in.nb; b += 2) {
          int pair = in.nb - b < 2 ? 1 : 2;
          product(1, pair, dz + dz_at[k], d.size, 0, q.last - q.first, part, w + b, in.nb, nullptr,
                  out, 64, 1, count, nullptr);
          for (int e = 0; e < pair; ++e) {
            V* to = row + (long)(b + e) * in.width + j0 + (long)p * st;
            for (int m = 0; m < count; ++m) to[(long)m * st] += out[e * 64 + m];
          }
        }
      }
    }
  }
}

static void bias_gradient(const Back& f, Thread& t, int slot, long at, const V* dy, long bstride,
                          int nb, long px) {
  if (slot < 0 || !f.grad(slot)) return;
  for (int b = 0; b < nb; ++b) {
    V s = {};
    for (long q = 0; q < px; ++q) s += dy[b * bstride + q];
    t.partial[at + b] += s;
  }
}

// Where the gradient of a depthwise output stands: with at least the border of the tiles, so that
// stages of one extent share it.
INLINE Bordered depthwise_bordered(const Map& in, const Map& out, const Instruction& s) {
  Bordered q = bordered(in, out, (s.kernel - 1) * s.dilation, s.stride, s.pad);
  int border = q.border > s.border ? q.border : s.border;
  int wide = q.pitch - q.border - out.width, high = q.size / q.pitch - q.border - out.height;
  if (wide > border) border = wide;
  if (high > border) border = high;
  long pitch = out.width + 2 * border;
  return {border, pitch, pitch * (out.height + 2 * border)};
}

INLINE V depthwise_bias(const Frame& f, const Instruction& s, int channels, int b) {
  if (s.dw_bias < 0) return (V){};
  return load_lanes(f.tensor(s.dw_bias) + b * L, lanes_of(channels, b));
}

// Gradients of the weights of a stage with a depthwise convolution, and that of its output, in `dz`.
static void depthwise_backward(const Back& f, Thread& t, const Instruction& s, const V* tile,
                               long n, const std::vector<long>& bias_at, int slot, bool down) {
  const Map &in = f.p.maps[f.p.heads[s.src].map], &out = f.p.maps[s.out];
  long pitch = in.width + 2 * s.border, size = pitch * (in.height + 2 * s.border);
  int rows = chunk_rows(in, out), off = s.border - s.pad;
  const Depthwise* d = depthwise_of(s);
  const Piece* pw = s.pieces.empty() ? nullptr : &s.pieces[0];
  bool taps_wanted = f.grad_asked(s.dw), bias_wanted = f.grad_asked(s.dw_bias);
  Bordered at = depthwise_bordered(in, out, s);
  V* dz = t.dz[slot];
  Extent extent{out.height, out.width, at.border, in.nb};
  if (!t.dz_extent[slot].holds(extent)) {
    set_border(dz, extent, (V){});
    t.dz_extent[slot] = extent;
  }
  long zstride = (long)rows * out.width, zero = 0;
  int tap = 0;
  Taps taps{1, &zero, &tap};
  for (int i0 = 0; i0 < out.height; i0 += rows) {
    int i1 = i0 + rows < out.height ? i0 + rows : out.height;
    for (int b = 0; b < out.nb; ++b) map_gradient(f, s.out, n, b, i0, i1, t.dy + b * zstride);
    if (pw) {
      bias_gradient(f, t, pw->bias, bias_at[1], t.dy, zstride, out.nb, (long)(i1 - i0) * out.width);
      if (f.grad_asked(pw->weight)) {
        for (int b = 0; b < in.nb; ++b)
          d->rows(tile + b * size + (off + (long)i0 * s.stride) * pitch + off, pitch,
                  f.packed + s.packed_dw + (long)b * s.kernel * s.kernel,
                  depthwise_bias(f, s, in.channels, b), t.z + b * zstride, out.width, i1 - i0,
                  out.width, false);
        outer(1, t.z, zstride, out.width, in.nb, t.dy, zstride, out.width, t.partial + pw->packed,
              out.nb, out.nb, i1 - i0, out.width);
      }
      if (down || taps_wanted || bias_wanted)
        for (int i = i0; i < i1; ++i)
          product(1, in.nb, t.dy + (long)(i - i0) * out.width, zstride, 0, out.channels, taps,
                  f.packed_back + pw->packed_back, in.nb, nullptr,
                  dz + (i + at.border) * at.pitch + at.border, at.size, 1, out.width, nullptr);
    } else {
      for (int b = 0; b < in.nb; ++b)
        copy_bordered(t.dy + b * zstride, at, dz + b * at.size, i0, i1, out.width);
    }
    const V* from = dz + (i0 + at.border) * at.pitch + at.border;
    if (bias_wanted)
      for (int i = 0; i < i1 - i0; ++i)
        bias_gradient(f, t, s.dw_bias, bias_at[0], from + i * at.pitch, at.size, in.nb, out.width);
    if (taps_wanted)
      for (int b = 0; b < in.nb; ++b)
        d->taps(tile + b * size + (off + (long)i0 * s.stride) * pitch + off, pitch,
                from + b * at.size, at.pitch,
                t.partial + s.packed_dw + (long)b * s.kernel * s.kernel, i1 - i0, out.width);
  }
}

// Stages with depthwise convolutions that read one head into one gradient: it is written once.
static void bundle_backward(const Back& f, Thread& t, const int* codes, int count, long n,
                            const std::vector<std::vector<long>>& bias_at) {
  const Instruction& s0 = f.p.code[codes[0]];
  const Head& h = f.p.heads[s0.src];
  const Map& in = f.p.maps[h.map];
  bool down = head_wanted(f, h);
  const V* tile = build_tile(f, t, s0.src, s0.border, false, n);
  for (int k = 0; k < count; ++k)
    depthwise_backward(f, t, f.p.code[codes[k]], tile, n, bias_at[codes[k]], k, down);
  if (!down) return;
  bool first = !f.touch(h.grad, n);
  f.touch(h.grad, n) = 1;
  for (int b = 0; b < in.nb; ++b)
    for (int i = 0; i < in.height; ++i) {
      for (int k = 0; k < count; ++k) {
        const Instruction& s = f.p.code[codes[k]];
        Bordered at = depthwise_bordered(in, f.p.maps[s.out], s);
        depthwise_of(s)->back(t.dz[k] + b * at.size, at.pitch,
                              f.packed + f.p.packed + s.packed_dw + (long)b * s.kernel * s.kernel,
                              t.row, i, in.width, s.pad, at.border, k > 0);
      }
      sink_row(f, tile, s0, n, b, i, t.row, first);
    }
}

// How many instructions from `e` on can be one bundle; 0: none.
static int bundle_at(const Program& p, const std::vector<int>& phase, size_t e) {
  int count = 0;
  for (; e < phase.size() && count < BUNDLE; ++e) {
    if (phase[e] < 0) break;
    const Instruction& s = p.code[phase[e]];
    if (s.kind != STAGE || s.pooling != LINEAR || s.dw < 0) break;
    if (count) {
      const Head &a = p.heads[p.code[phase[e - 1]].src], &b = p.heads[s.src];
      if (a.map != b.map || a.bn >= 0 || b.bn >= 0 || a.act != b.act || a.slope != b.slope ||
          a.grad != b.grad || p.code[phase[e - 1]].border != s.border)
        break;
    }
    ++count;
  }
  return count;
}

// A stage of dense convolutions, or a pool.
static void stage_backward(const Back& f, Thread& t, const Instruction& s, long n,
                           const std::vector<long>& bias_at) {
  const Head& h = f.p.heads[s.src];
  const Map &in = f.p.maps[h.map], &out = f.p.maps[s.out];
  bool down = head_wanted(f, h);
  if (s.pooling != LINEAR) {
    if (down) pool_backward(f, t, s, n);
    return;
  }
  const V* tile = build_tile(f, t, s.src, s.border, false, n);
  long pitch = in.width + 2 * s.border, size = pitch * (in.height + 2 * s.border);
  int rows = chunk_rows(in, out);
  bool first = down && !f.touch(h.grad, n);
  bool direct = s.pieces.size() == 1 && s.pieces[0].kernel == 1 && s.pieces[0].stride == 1 &&
                s.pieces[0].pad_h == 0 && s.pieces[0].pad_w == 0;
  // Where the gradient of each piece stands with a border.
  Bordered at[2];
  long dz_at[2], dz_size = 0;
  V* dz = t.dz[0];
  if (!direct && down) {
    for (size_t k = 0; k < s.pieces.size(); ++k) {
      const Piece& q = s.pieces[k];
      at[k] = piece_bordered(in, out, q);
      dz_at[k] = dz_size;
      dz_size += at[k].size * (blocks(q.last - q.first));
    }
    t.dz_extent[0] = Extent{-1, -1, -1, 0};
    std::memset(dz, 0, sizeof(V) * dz_size);
  }
  long zstride = (long)rows * out.width;
  for (int i0 = 0; i0 < out.height; i0 += rows) {
    int i1 = i0 + rows < out.height ? i0 + rows : out.height;
    long px = (long)(i1 - i0) * out.width;
    for (int b = 0; b < out.nb; ++b) map_gradient(f, s.out, n, b, i0, i1, t.dy + b * zstride);
    for (size_t k = 0; k < s.pieces.size(); ++k) {
      const Piece& q = s.pieces[k];
      bias_gradient(f, t, q.bias, bias_at[1 + k], t.dy, zstride, out.nb, px);
      if (f.grad_asked(q.weight))
        for (int r = 0; r < q.kernel * q.kernel; ++r) {
          const V* x = tile +
                       (s.border - q.pad_h + (long)i0 * q.stride + r / q.kernel * q.dilation) * pitch +
                       s.border - q.pad_w + r % q.kernel * q.dilation;
          int o0 = q.first / L, o1 = blocks(q.last);
          outer(q.stride, x, size, pitch, in.nb, t.dy + o0 * zstride, zstride, out.width,
                t.partial + q.packed + (long)r * in.nb * L * out.nb + o0, o1 - o0, out.nb, i1 - i0,
                out.width);
        }
      if (!down) continue;
      if (direct) {
        long zero = 0;
        int tap = 0;
        Taps taps{1, &zero, &tap};
        product(1, in.nb, t.dy, zstride, 0, out.channels, taps, f.packed_back + q.packed_back,
                in.nb, nullptr, t.row, zstride, 1, px, nullptr);
        for (int b = 0; b < in.nb; ++b)
          for (int i = i0; i < i1; ++i)
            sink_row(f, tile, s, n, b, i, t.row + b * zstride + (long)(i - i0) * out.width, first);
      } else if (q.first == 0) {
        for (int b = 0; b < blocks(q.last); ++b)
          copy_bordered(t.dy + b * zstride, at[k], dz + dz_at[k] + b * at[k].size, i0, i1,
                        out.width);
      } else {
        // Channels of the piece from the first lane on.
        for (int c = q.first; c < q.last; ++c) {
          const real* from = (const real*)(t.dy + c / L * zstride) + c % L;
          int e = c - q.first;
          real* to = (real*)(dz + dz_at[k] + e / L * at[k].size) + e % L;
          for (int i = i0; i < i1; ++i)
            for (int j = 0; j < out.width; ++j)
              to[((i + at[k].border) * at[k].pitch + at[k].border + j) * L] =
                  from[((long)(i - i0) * out.width + j) * L];
        }
      }
    }
  }
  if (!down) return;
  if (!direct)
    for (int i = 0; i < in.height; ++i) {
      pieces_back_row(f, s, dz, at, dz_at, i, t.row);
      for (int b = 0; b < in.nb; ++b)
        sink_row(f, tile, s, n, b, i, t.row + (long)b * in.width, first);
    }
  f.touch(h.grad, n) = 1;
}

// Sums over one image for every term of a sum, and the gradients of terms that are states.
static void sum_backward(const Back& f, const Instruction& s, long n) {
  const Map& out = f.p.maps[s.out];
  open_map(f, out.grad, n);
  for (int h : s.terms) f.coef_sums[(long)h * f.c.n + n] = 0;
  constexpr long CHUNK = 128;
  for (int b = 0; b < out.nb; ++b) {
    const V* g = f.block(out.grad, n, b);
    int lanes = lanes_of(out.channels, b);
    for (int h : s.terms) {
      V* sums = f.sums_of(h, n) + 2 * b;
      sums[0] = sums[1] = (V){};
    }
    for (long q0 = 0; q0 < out.hw; q0 += CHUNK) {
      long q1 = q0 + CHUNK < out.hw ? q0 + CHUNK : out.hw;
      V all = {};
      for (long q = q0; q < q1; ++q) all += g[q];
      for (int h : s.terms) {
        const Head& head = f.p.heads[h];
        const V* x = f.block(head.map, n, b);
        V* sums = f.sums_of(h, n) + 2 * b;
        if (head.act == NONE) {
          V mu = f.centre[f.p.head_at[h] + b], a0 = {}, a1 = {}, a2 = {}, a3 = {};
          long q = q0;
          for (; q + 4 <= q1; q += 4) {
            soon(x + q + CHUNK, 4);
            a0 += g[q] * (x[q] - mu);
            a1 += g[q + 1] * (x[q + 1] - mu);
            a2 += g[q + 2] * (x[q + 2] - mu);
            a3 += g[q + 3] * (x[q + 3] - mu);
          }
          for (; q < q1; ++q) a0 += g[q] * (x[q] - mu);
          sums[0] += all;
          sums[1] += (a0 + a1) + (a2 + a3);
        } else {
          long at = f.p.head_at[h] + b;
          V mu = f.centre[f.p.head_at[h] + b], scale = f.scale[at], shift = f.shift[at];
          V s1 = {}, s2 = {}, k = {};
          for (long q = q0; q < q1; ++q) {
            V u = x[q] * scale + shift;
            k += g[q] * activate(u, head.act, head.slope);
            V e = behind(g[q], u, head.act, head.slope);
            s1 += e;
            s2 += e * (x[q] - mu);
          }
          sums[0] += s1;
          sums[1] += s2;
          f.coef_sums[(long)h * f.c.n + n] += sum_lanes(k, lanes);
        }
      }
    }
  }
  for (int h : s.terms) {
    const Head& head = f.p.heads[h];
    const Map& m = f.p.maps[head.map];
    if (head.act == NONE && head.bn < 0) {
      double total = 0;
      for (int b = 0; b < m.nb; ++b)
        total += sum_lanes(f.sums_of(h, n)[2 * b + 1], lanes_of(m.channels, b));
      f.coef_sums[(long)h * f.c.n + n] = total;
    }
    // A state read by a sum: its gradient is at hand.
    if (m.grad < 0 || !f.want[head.map]) continue;
    open_map(f, m.grad, n);
    V k = splat((real)f.coef[head.coef]);
    for (int b = 0; b < m.nb; ++b) {
      const V *g = f.block(out.grad, n, b), *x = f.block(head.map, n, b);
      V* to = f.block(m.grad, n, b);
      if (head.act == NONE)
        for (long q = 0; q < m.hw; ++q) to[q] += k * g[q];
      else
        for (long q = 0; q < m.hw; ++q) to[q] += k * behind(g[q], x[q], head.act, head.slope);
    }
  }
}

static void gather_backward(const Back& f, const Instruction& s, long n) {
  const Map& out = f.p.maps[s.out];
  if (out.place != OUTSIDE) open_map(f, out.grad, n);
  for (const Run& r : s.runs) {
    if (r.map < 0 || !f.want[r.map]) continue;
    const Map& in = f.p.maps[r.map];
    open_map(f, in.grad, n);
    for (int c = 0; c < r.n;) {
      int from = r.from + c, to = r.to + c, lanes = r.n - c;
      if (out.place != OUTSIDE && L - to % L < lanes) lanes = L - to % L;
      if (in.place != OUTSIDE && L - from % L < lanes) lanes = L - from % L;
      if (lanes > L) lanes = L;
      const real* src;
      long spx, srow;
      if (out.place == OUTSIDE) {
        const int64_t* st = f.c.gstrides + 4 * out.at;
        src = f.grad(out.at) + n * st[0] + to, spx = st[3], srow = st[2];
      } else {
        src = (const real*)f.block(out.grad, n, to / L) + to % L, spx = L,
        srow = (long)L * out.width;
      }
      real* dst;
      long dpx, drow;
      if (in.place == OUTSIDE) {
        const int64_t* st = f.c.gstrides + 4 * in.at;
        dst = f.grad(in.at) + n * st[0] + from, dpx = st[3], drow = st[2];
      } else {
        dst = (real*)f.block(in.grad, n, from / L) + from % L, dpx = L, drow = (long)L * out.width;
      }
      for (int i = 0; i < out.height; ++i)
        for (int j = 0; j < out.width; ++j) {
          V g = load_lanes(src + i * srow + j * spx, lanes);
          real* at = dst + i * drow + j * dpx;
          store_lanes(at, load_lanes(at, lanes) + g, lanes);
        }
      c += lanes;
    }
  }
}

// Once all images of a head are done: the factors of dy, the gradients of its normalisation and of
// its coefficient.
static void settle_gradient(const Back& f, int head) {
  const Head& h = f.p.heads[head];
  const Map& m = f.p.maps[h.map];
  long at = f.p.head_at[head];
  double weight = h.coef >= 0 ? f.coef[h.coef] : 1;
  double coef = 0;
  if (h.coef >= 0 && (h.act != NONE || h.bn < 0))
    for (long n = 0; n < f.c.n; ++n) coef += f.coef_sums[(long)head * f.c.n + n];
  if (h.bn < 0) {
    for (int b = 0; b < m.nb; ++b) {
      f.k_grad[at + b] = splat((real)weight);
      f.k_value[at + b] = f.k_one[at + b] = (V){};
    }
  } else {
    const Bn& bn = f.p.bns[h.bn];
    const double* mean = f.c.moments + f.p.moments_at[h.map];
    const double* var = mean + f.p.moments;
    bool train = f.c.training[h.bn];
    double count = (double)f.c.n * m.hw;
    for (int c = 0; c < m.nb * L; ++c) {
      int b = c / L, l = c % L;
      if (c >= m.channels) {
        f.k_grad[at + b][l] = f.k_value[at + b][l] = f.k_one[at + b][l] = 0;
        continue;
      }
      double s1 = 0, s2 = 0;
      for (long n = 0; n < f.c.n; ++n) {
        const V* sums = f.sums_of(head, n) + 2 * b;
        s1 += (double)sums[0][l];
        s2 += (double)sums[1][l];
      }
      double mu = train ? mean[c] : (double)f.tensor(bn.mean)[c];
      double v = train ? var[c] : (double)f.tensor(bn.var)[c];
      double inverse = 1 / std::sqrt(v + bn.eps);
      double gamma = bn.gamma >= 0 ? (double)f.tensor(bn.gamma)[c] : 1;
      double beta = bn.beta >= 0 ? (double)f.tensor(bn.beta)[c] : 0;
      // s2 was taken around the mean as a number of this precision. Nothing times an infinity is
      // left out: the reference does not multiply there.
      double off = mu - (double)(real)mu;
      if (off != 0 && std::isfinite(s1)) s2 -= s1 * off;
      if (h.coef >= 0 && h.act == NONE) coef += gamma * inverse * s2 + (beta != 0 ? beta * s1 : 0);
      if (bn.gamma >= 0 && f.grad(bn.gamma)) f.grad(bn.gamma)[c] += (real)(weight * inverse * s2);
      if (bn.beta >= 0 && f.grad(bn.beta)) f.grad(bn.beta)[c] += (real)(weight * s1);
      double k = weight * gamma * inverse;
      f.k_grad[at + b][l] = (real)k;
      double slope = train ? -k * inverse * inverse * s2 / count : 0;
      f.k_value[at + b][l] = (real)slope;
      f.k_one[at + b][l] = train ? (real)(-slope * off - k * s1 / count) : 0;
    }
  }
  if (h.coef >= 0) f.coef_grad[h.coef] += coef;
}
