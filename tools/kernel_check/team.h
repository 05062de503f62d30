// The team of kernels/cell/team.h over std::thread, whose locks a race detector sees.
#pragma once
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

struct Gate {
  explicit Gate(int count) : count(count) {}

  void wait() {
    std::unique_lock<std::mutex> held(lock);
    long mine = round;
    if (++arrived == count) {
      arrived = 0, ++round;
      open.notify_all();
    } else {
      open.wait(held, [&] { return round != mine; });
    }
  }

  int count, arrived = 0;
  long round = 0;
  std::mutex lock;
  std::condition_variable open;
};

struct Member {
  int rank, count;
  Gate* gate;

  void wait() const { gate->wait(); }
};

template <class Body>
inline void team(int threads, const Body& body) {
  Gate gate(threads);
  std::vector<std::thread> others;
  for (int t = 1; t < threads; ++t)
    others.emplace_back([&, t] { body(Member{t, threads, &gate}); });
  body(Member{0, threads, &gate});
  for (std::thread& other : others) other.join();
}
