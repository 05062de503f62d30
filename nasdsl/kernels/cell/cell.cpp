// One forward and one backward call for a region; the entry points.
#include <omp.h>

#include "backward.h"

const Depthwise DEPTHWISES[] = {DEPTHWISE_LIST};
const int DEPTHWISE_COUNT = sizeof(DEPTHWISES) / sizeof(Depthwise);

namespace {

struct Sizes {
  long tile[TILES] = {0, 0, 0}, spare = 0, z = 0, dz = 0, dy = 0, row = 0, partial = 0;
  int bundle = 1;
  std::vector<std::vector<long>> bias_at;  // per instruction: where partial sums of biases stand
  long thread() const { return tile[0] + tile[1] + tile[2] + spare + z + bundle * dz + dy + row; }
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

Thread thread_of(const Sizes& s, V* scratch, V* partial, int t) {
  Pieces at{scratch + t * s.thread()};
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
  r.partial = partial ? partial + t * s.partial : nullptr;
  return r;
}

long lanes_for_doubles(long n) { return (n * (long)sizeof(double) + sizeof(V) - 1) / sizeof(V); }

long images_moments(const Program& p) {
  long most = 0;
  for (const Map& m : p.maps)
    if (m.moments) most += 2L * m.nb * L;
  return most;
}

void pack(const Frame& f, bool back) {
#pragma omp for schedule(dynamic)
  for (size_t k = 0; k < f.p.code.size(); ++k) {
    const Instruction& s = f.p.code[k];
    if (s.kind != STAGE) continue;
    int cin = f.p.maps[f.p.heads[s.src].map].channels;
    if (s.dw >= 0) {
      pack_depthwise(f, s, cin, false);
      if (back) {
        Frame flipped = f;
        flipped.packed = f.packed + f.p.packed;
        pack_depthwise(flipped, s, cin, s.stride == 1);
      }
    }
    for (const Piece& q : s.pieces) {
      if (!back) pack_piece(f, q, cin, f.p.maps[s.out].nb);
      if (back) pack_back(f, q, cin);
    }
  }
}

// Which maps' gradients something asks for.
std::vector<char> wanted(const Frame& f) {
  std::vector<char> want(f.p.maps.size(), 0);
  auto asked = [&](int slot) { return slot >= 0 && f.c.grads[slot] != 0; };
  auto head = [&](int i) {
    const Head& h = f.p.heads[i];
    bool yes = want[h.map];
    if (h.bn >= 0) yes = yes || asked(f.p.bns[h.bn].gamma) || asked(f.p.bns[h.bn].beta);
    if (h.coef >= 0)
      for (const Factor& q : f.p.coefs[h.coef].factors) yes = yes || asked(q.slot);
    return yes;
  };
  for (size_t m = 0; m < f.p.maps.size(); ++m)
    if (f.p.maps[m].place == OUTSIDE && f.p.maps[m].grad == (int)m) want[m] = asked(f.p.maps[m].at);
  for (const Instruction& s : f.p.code) {
    bool yes = false;
    if (s.kind == STAGE) {
      yes = head(s.src) || asked(s.dw) || asked(s.dw_bias);
      for (const Piece& q : s.pieces) yes = yes || asked(q.weight) || asked(q.bias);
    } else if (s.kind == SUM) {
      for (int t : s.terms) yes = yes || head(t);
    } else {
      for (const Run& r : s.runs) yes = yes || (r.map >= 0 && want[r.map]);
    }
    want[s.out] = want[s.out] || yes;
  }
  return want;
}

void unpack_gradients(const Frame& f, const Sizes& sizes, const V* partial, int threads) {
  auto total = [&](long at) {
    V s = partial[at];
    for (int t = 1; t < threads; ++t) s += partial[t * sizes.partial + at];
    return s;
  };
  for (size_t k = 0; k < f.p.code.size(); ++k) {
    const Instruction& s = f.p.code[k];
    if (s.kind != STAGE) continue;
    int cin = f.p.maps[f.p.heads[s.src].map].channels, nob = f.p.maps[s.out].nb;
    auto bias = [&](int slot, long at, int first, int last) {
      if (slot < 0 || !f.c.grads[slot]) return;
      for (int c = first; c < last; ++c) f.grad(slot)[c - first] += total(at + c / L)[c % L];
    };
    if (s.dw >= 0) {
      bias(s.dw_bias, sizes.bias_at[k][0], 0, cin);
      if (f.c.grads[s.dw]) {
        const int64_t* st = f.c.gstrides + 4 * s.dw;
        int kk = s.kernel * s.kernel;
        for (int b = 0; b < blocks(cin); ++b)
          for (int r = 0; r < kk; ++r) {
            V v = total(s.packed_dw + (long)b * kk + r);
            real* to = f.grad(s.dw) + r / s.kernel * st[2] + r % s.kernel * st[3];
            for (int l = 0; l < lanes_of(cin, b); ++l) to[(b * L + l) * st[0]] += v[l];
          }
      }
    }
    for (size_t e = 0; e < s.pieces.size(); ++e) {
      const Piece& q = s.pieces[e];
      bias(q.bias, sizes.bias_at[k][1 + e], q.first, q.last);
      if (!f.c.grads[q.weight]) continue;
      const int64_t* st = f.c.gstrides + 4 * q.weight;
      for (int r = 0; r < q.kernel * q.kernel; ++r)
        for (int c = 0; c < cin; ++c) {
          real* to = f.grad(q.weight) + c * st[1] + r / q.kernel * st[2] + r % q.kernel * st[3];
          for (int o = q.first / L; o < blocks(q.last); ++o) {
            V v = total(q.packed + ((long)r * blocks(cin) * L + c) * nob + o);
            for (int l = 0; l < L; ++l) {
              int co = o * L + l;
              if (co >= q.first && co < q.last) to[(co - q.first) * st[0]] += v[l];
            }
          }
        }
    }
  }
}

// What backward needs and forward did not keep.
void again(const Frame& f, Thread& t, const Instruction& s, long n, const double* coef) {
  if (s.kind == STAGE)
    stage_forward(f, t, s, n, nullptr, false);
  else if (s.kind == SUM)
    sum_forward(f, s, n, coef);
  else
    gather_forward(f, s, n);
}

struct Share {
  long from, to;
};
Share share(long n, int t, int threads) { return {n * t / threads, n * (t + 1) / threads}; }

}  // namespace

extern "C" {

int cell_lanes() { return L; }
int cell_real_bytes() { return sizeof(real); }

// Numbers of type real that a call works with, forward and backward, and doubles of moments.
void cell_sizes(const int64_t* words, int64_t n, int64_t threads, int64_t* out) {
  Program p = decode(words);
  Sizes s = sizes_of(p);
  long head = 3 * p.head_lanes;
  out[0] = (head + p.packed + s.thread() * threads + lanes_for_doubles(images_moments(p) * n)) * L;
  out[1] = (head + 3 * p.head_lanes + 2 * p.packed + p.packed_back + s.thread() * threads +
            s.partial * threads + 2 * p.head_lanes * n +
            lanes_for_doubles((long)p.heads.size() * n) + lanes_for_doubles(p.coefs.size())) * L;
  out[2] = 2 * p.moments;
}

struct CellCall {
  const int64_t* words;
  int64_t n;
  const int64_t *tensors, *strides, *grads, *gstrides, *training;
  const double* factor;
  double* moments;
  void *saved, *passing, *gradient, *work;
  int64_t threads;
};

static Call call_of(const CellCall* q) {
  Call c;
  c.n = q->n;
  c.tensors = q->tensors;
  c.strides = q->strides;
  c.shapes = nullptr;
  c.grads = q->grads;
  c.gstrides = q->gstrides;
  c.training = q->training;
  c.factor = q->factor;
  c.moments = q->moments;
  c.place[OUTSIDE] = nullptr;
  c.place[SAVED] = (V*)q->saved;
  c.place[PASSING] = (V*)q->passing;
  c.place[GRADIENT] = (V*)q->gradient;
  c.work = (V*)q->work;
  c.threads = q->threads;
  return c;
}

void cell_forward(const CellCall* q) {
  Program p = decode(q->words);
  Sizes sizes = sizes_of(p);
  Call c = call_of(q);
  Pieces at{c.work};
  V* scale = at.take(p.head_lanes);
  V* shift = at.take(p.head_lanes);
  V* centre = at.take(p.head_lanes);
  V* packed = at.take(p.packed);
  Frame f{p, c, scale, shift, centre, packed, nullptr};
  V* scratch = at.take(sizes.thread() * c.threads);
  long per_image = images_moments(p);
  double* images = (double*)at.at;
  std::vector<long> image_at(p.maps.size(), 0);
  long used = 0;
  for (size_t m = 0; m < p.maps.size(); ++m)
    if (p.maps[m].moments) image_at[m] = used, used += 2L * p.maps[m].nb * L;
  std::vector<double> coef;
  for (const Coef& k : p.coefs) coef.push_back(coefficient(f, k));
  for (size_t h = 0; h < p.heads.size(); ++h) {
    const Head& head = p.heads[h];
    if (head.bn < 0 || !c.training[head.bn]) settle_head(f, h);
  }
#pragma omp parallel num_threads(c.threads)
  {
    int t = omp_get_thread_num(), threads = omp_get_num_threads();
    Thread mine = thread_of(sizes, scratch, nullptr, t);
    Share part = share(c.n, t, threads);
    pack(f, false);
    for (const auto& phase : p.forward) {
      for (long n = part.from; n < part.to; ++n)
        for (int k : phase) {
          const Instruction& s = p.code[k];
          if (s.kind == STAGE)
            stage_forward(f, mine, s, n, images + n * per_image + image_at[s.out], true);
          else if (s.kind == SUM)
            sum_forward(f, s, n, coef.data());
          else
            gather_forward(f, s, n);
        }
#pragma omp barrier
#pragma omp for schedule(static)
      for (size_t e = 0; e < phase.size(); ++e) {
        const Instruction& s = p.code[phase[e]];
        const Map& m = p.maps[s.out];
        if (s.kind != STAGE || !m.moments) continue;
        settle_moments(f, s.out, images + image_at[s.out], per_image);
        for (int h : m.heads)
          if (p.heads[h].bn >= 0) settle_head(f, h);
      }
    }
  }
  for (size_t b = 0; b < p.bns.size(); ++b) run_statistics(f, b);
}

void cell_backward(const CellCall* q) {
  Program p = decode(q->words);
  Sizes sizes = sizes_of(p);
  Call c = call_of(q);
  Pieces at{c.work};
  V* scale = at.take(p.head_lanes);
  V* shift = at.take(p.head_lanes);
  V* centre = at.take(p.head_lanes);
  V* packed = at.take(2 * p.packed);
  V* packed_back = at.take(p.packed_back);
  Back f(Frame{p, c, scale, shift, centre, packed, packed_back});
  f.k_grad = at.take(p.head_lanes);
  f.k_value = at.take(p.head_lanes);
  f.k_one = at.take(p.head_lanes);
  f.sums = at.take(2 * p.head_lanes * c.n);
  V* partial = at.take(sizes.partial * c.threads);
  V* scratch = at.take(sizes.thread() * c.threads);
  f.coef_sums = (double*)at.take(lanes_for_doubles((long)p.heads.size() * c.n));
  f.coef_grad = (double*)at.at;
  std::vector<double> coef;
  for (const Coef& k : p.coefs) coef.push_back(coefficient(f, k));
  f.coef = coef.data();
  std::memset(f.coef_grad, 0, sizeof(double) * coef.size());
  std::vector<char> want = wanted(f), touched(p.maps.size() * c.n, 0);
  f.want = want.data();
  f.touched = touched.data();
  for (size_t h = 0; h < p.heads.size(); ++h) {
    settle_head(f, h);
    long lanes = p.maps[p.heads[h].map].nb;
    const Head& head = p.heads[h];
    // Without a normalisation nothing has to be waited for.
    V weight = head.bn >= 0 ? (V){} : splat((real)(head.coef >= 0 ? coef[head.coef] : 1));
    for (long b = 0; b < lanes; ++b) f.k_grad[p.head_at[h] + b] = weight;
    std::memset(f.k_value + p.head_at[h], 0, sizeof(V) * lanes);
    std::memset(f.k_one + p.head_at[h], 0, sizeof(V) * lanes);
  }
  int used = 1;
#pragma omp parallel num_threads(c.threads)
  {
    int t = omp_get_thread_num(), threads = omp_get_num_threads();
    if (t == 0) used = threads;
    Thread mine = thread_of(sizes, scratch, partial, t);
    std::memset(mine.partial, 0, sizeof(V) * sizes.partial);
    Share part = share(c.n, t, threads);
    pack(f, true);
    for (const auto& phase : p.backward) {
      for (long n = part.from; n < part.to; ++n)
        for (size_t e = 0; e < phase.size();) {
          if (int count = bundle_at(p, phase, e)) {
            int codes[BUNDLE], asked = 0;
            for (int q = 0; q < count; ++q)
              if (want[p.code[phase[e + q]].out]) codes[asked++] = phase[e + q];
            if (asked) bundle_backward(f, mine, codes, asked, n, sizes.bias_at);
            e += count;
            continue;
          }
          int k = phase[e++];
          if (k < 0) {  // computed anew
            again(f, mine, p.code[-1 - k], n, coef.data());
            continue;
          }
          const Instruction& s = p.code[k];
          if (!want[s.out]) continue;
          if (s.kind == STAGE)
            stage_backward(f, mine, s, n, sizes.bias_at[k]);
          else if (s.kind == SUM)
            sum_backward(f, s, n);
          else
            gather_backward(f, s, n);
        }
#pragma omp barrier
#pragma omp single
      for (int k : phase) {
        if (k < 0) continue;
        const Instruction& s = p.code[k];
        if (!want[s.out]) continue;
        if (s.kind == STAGE && head_wanted(f, p.heads[s.src])) settle_gradient(f, s.src);
        if (s.kind == SUM)
          for (int h : s.terms) settle_gradient(f, h);
      }
    }
  }
  unpack_gradients(f, sizes, partial, used);
  for (size_t k = 0; k < p.coefs.size(); ++k)
    for (size_t e = 0; e < p.coefs[k].factors.size(); ++e) {
      const Factor& q0 = p.coefs[k].factors[e];
      if (!c.grads[q0.slot]) continue;
      double d = f.coef_grad[k] * p.coefs[k].constant;
      for (size_t o = 0; o < p.coefs[k].factors.size(); ++o) {
        if (o == e) continue;
        const Factor& q1 = p.coefs[k].factors[o];
        const int64_t* s = c.strides + 4 * q1.slot;
        d *= (double)f.tensor(q1.slot)[q1.row * s[0] + q1.column * s[1]];
      }
      const int64_t* g = c.gstrides + 4 * q0.slot;
      f.grad(q0.slot)[q0.row * g[0] + q0.column * g[1]] += (real)d;
    }
}

}  // extern "C"
