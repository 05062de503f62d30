// Threads that go through a call together.
#pragma once
#ifdef _OPENMP
#include <omp.h>
#endif

// One of `count` threads. All that stands before `wait` in one is done before what stands behind it
// in another.
struct Member {
  int rank, count;

  void wait() const {
#ifdef _OPENMP
#pragma omp barrier
#endif
  }
};

// Runs `body(member)` in every thread of a team of at most so many.
template <class Body>
inline void team(int threads, const Body& body) {
#ifdef _OPENMP
#pragma omp parallel num_threads(threads)
  body(Member{omp_get_thread_num(), omp_get_num_threads()});
#else
  (void)threads;
  body(Member{0, 1});
#endif
}
