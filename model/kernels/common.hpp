// Vectors of the width that the target has, aligned memory, threads.
//
// Written with the vector extensions of GCC and Clang. Calls may run side by side.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <thread>
#include <utility>
#include <vector>

#if defined(SLIPSTICK_PORTABLE)  // what a target without its own lines below gets; for tests
constexpr int BYTES = 16;
#elif defined(__AVX512BW__)
constexpr int BYTES = 64;
#elif defined(__AVX2__)
constexpr int BYTES = 32;
#else
constexpr int BYTES = 16;
#endif

typedef int32_t Words __attribute__((vector_size(BYTES)));
typedef uint32_t UnsignedWords __attribute__((vector_size(BYTES)));
typedef int32_t Unaligned __attribute__((vector_size(BYTES), aligned(4), may_alias));

constexpr int64_t LANES = BYTES / 4;

namespace slipstick {

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Memory on cache lines, so that no vector of a panel crosses one.
template <typename T>
struct Buffer {
  struct Free {
    void operator()(T* data) const { ::operator delete[](data, std::align_val_t(64)); }
  };
  std::unique_ptr<T[], Free> data;
  explicit Buffer(int64_t count) : data(new (std::align_val_t(64)) T[count]) {}
  T* get() const { return data.get(); }
};

// GCC's OpenMP runtime, as it starts a team: run(data) on up to `threads` threads. The one that torch has
// loaded lends its threads: a second team would compete with the first, which waits spinning.
typedef void (*Team)(void (*run)(void*), void* data, unsigned threads, unsigned flags);
inline Team team = nullptr;

// work(i, scratch) for i below count, on up to `threads` threads, each with the scratch that make() gives it.
template <typename Make, typename Work>
void parallel(int64_t count, int threads, const Make& make, const Work& work) {
  std::atomic<int64_t> next{0};
  auto share = [&] {
    auto scratch = make();
    for (int64_t i; (i = next.fetch_add(1)) < count;) work(i, scratch);
  };
  const int64_t workers = std::min<int64_t>(threads, count);
  if (workers <= 1) {
    share();
  } else if (team) {
    team([](void* data) { (*static_cast<decltype(share)*>(data))(); }, &share, (unsigned)workers, 0);
  } else {
    std::vector<std::thread> others;
    for (int64_t t = 1; t < workers; t++) others.emplace_back(share);
    share();
    for (auto& other : others) other.join();
  }
}

template <typename Work>
void parallel(int64_t count, int threads, const Work& work) {
  parallel(count, threads, [] { return 0; }, [&](int64_t i, int) { work(i); });
}

}  // namespace slipstick
