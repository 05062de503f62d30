// One forward and one backward call for a region; the entry points.
#include "team.h"
#include "work.h"

const Depthwise DEPTHWISES[] = {DEPTHWISE_LIST};
const int DEPTHWISE_COUNT = sizeof(DEPTHWISES) / sizeof(Depthwise);

namespace {

// The part of one thread; false: some weight is an infinity or no number.
bool pack(const Frame& f, const Member& who, bool back) {
  bool finite = true;
  for (size_t k = who.rank; k < f.p.code.size(); k += who.count) {
    const Instruction& s = f.p.code[k];
    if (s.kind != STAGE) continue;
    int cin = f.p.maps[f.p.heads[s.src].map].channels;
    if (s.dw >= 0) {
      finite &= pack_depthwise(f, s, cin, false);
      if (back) {
        Frame flipped = f;
        flipped.packed = f.packed + f.p.packed;
        pack_depthwise(flipped, s, cin, s.stride == 1);
      }
    }
    for (const Piece& q : s.pieces) {
      if (!back) finite &= pack_piece(f, q, cin, f.p.maps[s.out].nb);
      if (back) pack_back(f, q, cin);
    }
  }
  return finite;
}

// Whether coefficients and what normalisations multiply with and add are numbers.
bool finite(const Frame& f, const std::vector<double>& coef) {
  for (double k : coef)
    if (!std::isfinite(k)) return false;
  for (const Bn& b : f.p.bns)
    for (int slot : {b.gamma, b.beta})
      for (int c = 0; slot >= 0 && c < b.channels; ++c)
        if (!std::isfinite(f.tensor(slot)[c])) return false;
  return true;
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

void unpack_gradients(const Frame& f, const Sizes& sizes, const Room& room, int threads) {
  auto total = [&](long at) {
    V s = room.threads[0].partial[at];
    for (int t = 1; t < threads; ++t) s += room.threads[t].partial[at];
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
  Pieces forward{nullptr, 0}, backward{nullptr, 0};
  room_forward(forward, p, s, n, threads);
  room_backward(backward, p, s, n, threads);
  out[0] = forward.used * L;
  out[1] = backward.used * L;
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

// 1, or 0 where a weight is no finite number: borders of zeros and folded factors would meet
// infinities that the reference does not multiply with. Then nothing has been changed.
int64_t cell_forward(const CellCall* q) {
  Program p = decode(q->words);
  Sizes sizes = sizes_of(p);
  Call c = call_of(q);
  Pieces at{c.work, 0};
  Room room = room_forward(at, p, sizes, c.n, c.threads);
  Frame f{p, c, room.scale, room.shift, room.centre, room.packed, nullptr};
  long per_image = images_moments(p);
  std::vector<long> image_at(p.maps.size(), 0);
  long used = 0;
  for (size_t m = 0; m < p.maps.size(); ++m)
    if (p.maps[m].moments) image_at[m] = used, used += 2L * p.maps[m].nb * L;
  std::vector<double> coef;
  for (const Coef& k : p.coefs) coef.push_back(coefficient(f, k));
  if (!finite(f, coef)) return 0;
  for (size_t h = 0; h < p.heads.size(); ++h) {
    const Head& head = p.heads[h];
    if (head.bn < 0 || !c.training[head.bn]) settle_head(f, h);
  }
  std::vector<char> good(c.threads, 1);  // by thread
  team(c.threads, [&](const Member& who) {
    Thread mine = room.threads[who.rank];
    Share part = share(c.n, who.rank, who.count);
    good[who.rank] = pack(f, who, false);
    who.wait();
    for (char yes : good)
      if (!yes) return;
    for (const auto& phase : p.forward) {
      for (long n = part.from; n < part.to; ++n)
        for (int k : phase) {
          const Instruction& s = p.code[k];
          if (s.kind == STAGE)
            stage_forward(f, mine, s, n, room.images + n * per_image + image_at[s.out], true);
          else if (s.kind == SUM)
            sum_forward(f, s, n, coef.data());
          else
            gather_forward(f, s, n);
        }
      who.wait();
      for (size_t e = who.rank; e < phase.size(); e += who.count) {
        const Instruction& s = p.code[phase[e]];
        const Map& m = p.maps[s.out];
        if (s.kind != STAGE || !m.moments) continue;
        settle_moments(f, s.out, room.images + image_at[s.out], per_image);
        for (int h : m.heads)
          if (p.heads[h].bn >= 0) settle_head(f, h);
      }
      who.wait();
    }
  });
  for (char yes : good)
    if (!yes) return 0;
  for (size_t b = 0; b < p.bns.size(); ++b) run_statistics(f, b);
  return 1;
}

void cell_backward(const CellCall* q) {
  Program p = decode(q->words);
  Sizes sizes = sizes_of(p);
  Call c = call_of(q);
  Pieces at{c.work, 0};
  Room room = room_backward(at, p, sizes, c.n, c.threads);
  Back f(Frame{p, c, room.scale, room.shift, room.centre, room.packed, room.packed_back});
  f.k_grad = room.k_grad;
  f.k_value = room.k_value;
  f.k_one = room.k_one;
  f.sums = room.sums;
  f.coef_sums = room.coef_sums;
  f.coef_grad = room.coef_grad;
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
  team(c.threads, [&](const Member& who) {
    if (who.rank == 0) used = who.count;
    Thread mine = room.threads[who.rank];
    std::memset(mine.partial, 0, sizeof(V) * sizes.partial);
    Share part = share(c.n, who.rank, who.count);
    pack(f, who, true);
    who.wait();
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
      who.wait();
      if (who.rank == 0)
        for (int k : phase) {
          if (k < 0) continue;
          const Instruction& s = p.code[k];
          if (!want[s.out]) continue;
          if (s.kind == STAGE && head_wanted(f, p.heads[s.src])) settle_gradient(f, s.src);
          if (s.kind == SUM)
            for (int h : s.terms) settle_gradient(f, h);
        }
      who.wait();
    }
  });
  unpack_gradients(f, sizes, room, used);
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
