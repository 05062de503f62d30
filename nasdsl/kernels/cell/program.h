// The program of a region: maps, normalisations, heads, instructions, phases, read from words.
//
// A *map* is an image per sample: a state, an output before its normalisation, a gradient. A *head*
// is a map with a normalisation and an activation, as one consumer sees it. A *stage* makes a map
// from a head, a *sum* a state from weighted heads, a *gather* a map from channels of others.
// The words are written by nasdsl/fusion/generated/words.py.
#pragma once
#include <vector>

#include "lanes.h"

enum Place { OUTSIDE = 0, SAVED = 1, PASSING = 2, GRADIENT = 3, PLACES = 4 };
enum Kind { STAGE = 1, SUM = 2, GATHER = 3 };
enum Pooling { LINEAR = 0, MAXIMUM = 1, AVERAGE = 2 };

struct Map {
  int channels, height, width, place;
  int64_t at;  // slot of a tensor outside, else blocks of lanes per sample before it
  int nb;
  long hw;
  int grad;              // map of its gradient, -1
  bool moments;          // some head normalises by the batch
  std::vector<int> heads;
};

struct Bn {
  int map, gamma, beta, mean, var, tracked, channels;
  double eps;
};

struct Head {
  int map, bn, act;
  double slope;
  int coef;  // -1: read by a stage
  int grad;  // map of the gradient of what it yields, or in front of the activation (stages)
};

struct Factor {
  int slot, row, column;
};

struct Coef {
  double constant;
  std::vector<Factor> factors;
};

struct Piece {
  int kernel, dilation, stride, pad_h, pad_w, weight, bias, first, last;  // output channels
  long packed, packed_back;                                              // where the weights are packed
};

struct Run {
  int to, map, from, n;
};

struct Instruction {
  int kind;
  int out;
  // stage
  int src, pooling, kernel, dilation, stride, pad, border, include_pad, dw, dw_bias;
  std::vector<Piece> pieces;
  long packed_dw;
  // sum
  bool adds;
  std::vector<int> terms;
  // gather
  std::vector<Run> runs;
};

struct Program {
  std::vector<Map> maps;
  std::vector<Bn> bns;
  std::vector<Head> heads;
  std::vector<Coef> coefs;
  std::vector<Instruction> code;
  std::vector<std::vector<int>> forward, backward;
  long packed = 0;                   // lanes of all packed weights
  long packed_back = 0;
  long head_lanes = 0;               // lanes of one vector per head
  std::vector<long> head_at;
  std::vector<long> moments_at;      // per map
  long moments = 0;
};

struct Words {
  const int64_t* at;
  int64_t next() { return *at++; }
  double real_next() {
    double d;
    std::memcpy(&d, at++, 8);
    return d;
  }
};

static Program decode(const int64_t* words) {
  Program p;
  Words w{words};
  p.maps.resize(w.next());
  for (Map& m : p.maps) {
    m.channels = w.next();
    m.height = w.next();
    m.width = w.next();
    m.place = w.next();
    m.at = w.next();
    m.grad = w.next();
    m.nb = blocks(m.channels);
    m.hw = (long)m.height * m.width;
    m.moments = false;
  }
  p.bns.resize(w.next());
  for (Bn& b : p.bns) {
    b.map = w.next();
    b.channels = p.maps[b.map].channels;
    b.gamma = w.next();
    b.beta = w.next();
    b.mean = w.next();
    b.var = w.next();
    b.tracked = w.next();
    b.eps = w.real_next();
    p.maps[b.map].moments = true;
  }
  p.heads.resize(w.next());
  for (size_t i = 0; i < p.heads.size(); ++i) {
    Head& h = p.heads[i];
    h.map = w.next();
    h.bn = w.next();
    h.act = w.next();
    h.slope = w.real_next();
    h.coef = w.next();
    h.grad = w.next();
    p.maps[h.map].heads.push_back(i);
    p.head_at.push_back(p.head_lanes);
    p.head_lanes += p.maps[h.map].nb;
  }
  for (Map& m : p.maps) {
    p.moments_at.push_back(p.moments);
    if (m.moments) p.moments += (long)m.nb * L;
  }
  p.coefs.resize(w.next());
  for (Coef& c : p.coefs) {
    c.constant = w.real_next();
    c.factors.resize(w.next());
    for (Factor& f : c.factors) {
      f.slot = w.next();
      f.row = w.next();
      f.column = w.next();
    }
  }
  p.code.resize(w.next());
  for (Instruction& i : p.code) {
    i.kind = w.next();
    i.out = w.next();
    if (i.kind == STAGE) {
      i.src = w.next();
      i.pooling = w.next();
      i.kernel = w.next();
      i.dilation = w.next();
      i.stride = w.next();
      i.pad = w.next();
      i.border = w.next();
      i.include_pad = w.next();
      i.dw = w.next();
      i.dw_bias = w.next();
      int cin = p.maps[p.heads[i.src].map].channels;
      i.packed_dw = p.packed;
      if (i.dw >= 0) p.packed += (long)blocks(cin) * i.kernel * i.kernel;
      i.pieces.resize(w.next());
      for (Piece& q : i.pieces) {
        q.kernel = w.next();
        q.dilation = w.next();
        q.stride = w.next();
        q.pad_h = w.next();
        q.pad_w = w.next();
        q.weight = w.next();
        q.bias = w.next();
        q.first = w.next();
        q.last = w.next();
        long taps = (long)q.kernel * q.kernel;
        // Rows for all lanes of the input: the gradient has the same layout.
        q.packed = p.packed;
        p.packed += taps * blocks(cin) * L * p.maps[i.out].nb;
        q.packed_back = p.packed_back;
        p.packed_back += taps * (q.last - q.first) * blocks(cin);
      }
    } else {
      i.adds = i.kind == SUM && w.next();
      int n = w.next();
      if (i.kind == SUM) {
        i.terms.resize(n);
        for (int& t : i.terms) t = w.next();
      } else {
        i.runs.resize(n);
        for (Run& r : i.runs) {
          r.to = w.next();
          r.map = w.next();
          r.from = w.next();
          r.n = w.next();
        }
      }
    }
  }
  for (auto* phases : {&p.forward, &p.backward}) {
    phases->resize(w.next());
    for (auto& phase : *phases) {
      phase.resize(w.next());
      for (int& i : phase) i = w.next();
    }
  }
  return p;
}
