// The pieces of kernels/cell/pieces.h with memory between them that nobody may touch.
#pragma once
#include "lanes.h"

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#endif

struct Pieces {
  V* buffer;
  long used;

  V* take(long lanes) {
    constexpr long GAP = 4;
    V* here = buffer ? buffer + used : nullptr;
#ifdef __SANITIZE_ADDRESS__
    if (buffer) __asan_poison_memory_region(here + lanes, GAP * sizeof(V));
#endif
    used += lanes + GAP;
    return here;
  }
};
