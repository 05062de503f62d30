// What a call works with: pieces of one buffer, counted and taken by the same lines.
#pragma once
#include "backward.h"
#include "pieces.h"

namespace {

// Lanes of what a thread works with.
struct Sizes {
  long tile[TILES] = {0, 0, 0}, spare = 0, z = 0, dz = 0, dy = 0, row = 0, partial = 0;
  int bundle = 1;
  std::vector<std::vector<long>> bias_at;  // per instruction: where partial sums of biases stand
};

Sizes sizes_of(const Program& p) {
  Sizes s;
  auto most = [](long& a, long b) { a = a > b ? a : b; };
  s.partial = p.packed;
  s.bias_at.resize(p.code.size());
  for (size_t k = 0; k < p.code.size(); ++k) {
    const Instruction& i = p.code[k];
    if (i.kind != STAGE) continue;
    const Map &in = p.maps[p.heads[i.src].map], &out = p.maps[i.out];
    long size = (long)(in.width + 2 * i.border) * (in.height + 2 * i.border);
    long chunk = (long)chunk_rows(in, out) * out.width;
    most(s.tile[i.border == 0 ? 2 : i.pooling == MAXIMUM ? 1 : 0], in.nb * size);
    most(s.spare, size > out.nb * 10L ? size : out.nb * 10L);  // Moments are ten lanes at most
    most(s.z, in.nb * chunk);
    most(s.dy, out.nb * chunk);
    most(s.row, in.nb * (in.width > chunk ? in.width : chunk));
    most(s.row, out.width);
    long dz = 0;
    if (i.dw >= 0)
      dz = depthwise_bordered(in, out, i).size * in.nb;
    else
      for (const Piece& q : i.pieces)
        dz += piece_bordered(in, out, q).size * blocks(q.last - q.first);
    most(s.dz, dz);
    s.bias_at[k].push_back(s.partial);
    s.partial += in.nb;
    for (size_t q = 0; q < i.pieces.size(); ++q) {
      s.bias_at[k].push_back(s.partial);
      s.partial += out.nb;
    }
  }
  for (const auto& phase : p.backward)
    for (size_t e = 0; e < phase.size();) {
      int count = bundle_at(p, phase, e);
      s.bundle = count > s.bundle ? count : s.bundle;
      e += count ? count : 1;
    }
  return s;
}

Thread thread_of(Pieces& at, const Sizes& s, bool partial) {
  Thread r;
  Extent none{-1, -1, -1, 0};
  for (int k = 0; k < TILES; ++k)
    r.tiles[k] = Tile{at.take(s.tile[k]), TileKey{-1, 0, 0, 0, false, -1, 0}, none};
  for (int k = 0; k < s.bundle; ++k) {
    r.dz[k] = at.take(s.dz);
    r.dz_extent[k] = none;
  }
  r.spare = at.take(s.spare);
  r.z = at.take(s.z);
  r.dy = at.take(s.dy);
  r.row = at.take(s.row);
  r.partial = partial ? at.take(s.partial) : nullptr;
  return r;
}

long lanes_for_doubles(long n) { return (n * (long)sizeof(double) + sizeof(V) - 1) / sizeof(V); }

long images_moments(const Program& p) {
  long most = 0;
  for (const Map& m : p.maps)
    if (m.moments) most += 2L * m.nb * L;
  return most;
}

// Of both directions; what only one has is null in the other.
struct Room {
  V *scale, *shift, *centre, *packed;
  V *packed_back = nullptr, *k_grad = nullptr, *k_value = nullptr, *k_one = nullptr;
  V* sums = nullptr;
  double *images = nullptr, *coef_sums = nullptr, *coef_grad = nullptr;
  std::vector<Thread> threads;
};

Room room_forward(Pieces& at, const Program& p, const Sizes& s, long n, int threads) {
  Room r;
  r.scale = at.take(p.head_lanes);
  r.shift = at.take(p.head_lanes);
  r.centre = at.take(p.head_lanes);
  r.packed = at.take(p.packed);
  for (int t = 0; t < threads; ++t) r.threads.push_back(thread_of(at, s, false));
  r.images = (double*)at.take(lanes_for_doubles(images_moments(p) * n));
  return r;
}

Room room_backward(Pieces& at, const Program& p, const Sizes& s, long n, int threads) {
  Room r;
  r.scale = at.take(p.head_lanes);
  r.shift = at.take(p.head_lanes);
  r.centre = at.take(p.head_lanes);
  r.packed = at.take(2 * p.packed);
  r.packed_back = at.take(p.packed_back);
  r.k_grad = at.take(p.head_lanes);
  r.k_value = at.take(p.head_lanes);
  r.k_one = at.take(p.head_lanes);
  r.sums = at.take(2 * p.head_lanes * n);
  for (int t = 0; t < threads; ++t) r.threads.push_back(thread_of(at, s, true));
  r.coef_sums = (double*)at.take(lanes_for_doubles((long)p.heads.size() * n));
  r.coef_grad = (double*)at.take(lanes_for_doubles(p.coefs.size()));
  return r;
}

}  // namespace
