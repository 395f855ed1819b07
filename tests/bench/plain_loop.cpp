// The reference of the benchmark: the loop that anybody would write for a table, on several threads.
#include <cstdint>
#include <thread>
#include <vector>

extern "C" void plain_loop(const uint8_t* a, const uint8_t* w, const int32_t* table, int32_t* out, int64_t batch,
                           int64_t rows, int64_t depth, int64_t channels, int shared, int threads) {
  auto share = [=](int64_t first) {
    for (int64_t m = first; m < batch * rows; m += threads) {
      const uint8_t* weights = w + (shared ? 0 : m / rows * depth * channels);
      int32_t* to = out + m * channels;
      for (int64_t n = 0; n < channels; n++) to[n] = 0;
      for (int64_t k = 0; k < depth; k++) {
        const int32_t* products = table + 256 * a[m * depth + k];
        for (int64_t n = 0; n < channels; n++) to[n] += products[weights[k * channels + n]];
      }
    }
  };
  std::vector<std::thread> others;
  for (int t = 1; t < threads; t++) others.emplace_back(share, t);
  share(0);
  for (auto& other : others) other.join();
}
