// Pieces of a buffer, one behind the other.
#pragma once
#include "lanes.h"

struct Pieces {
  V* buffer;  // null: pieces are only counted
  long used;

  V* take(long lanes) {
    V* here = buffer ? buffer + used : nullptr;
    used += lanes;
    return here;
  }
};
