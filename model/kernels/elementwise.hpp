// What stands before and behind a product, in one pass each: quantise, requantise, scale.
#pragma once

#include <cmath>

#include "common.hpp"

namespace slipstick {

constexpr int64_t CHUNK = 1 << 16;  // elements below which another thread costs more than it gives

// clamp(round_half_even(value / scale), low, high); whether all values are finite.
bool quantise(const float* values, float scale, float low, float high, int8_t* codes, int64_t count) {
  constexpr float ROUND = 12582912.0f;  // 1.5 * 2^23: adding it leaves no room for a fraction
  int others = 0;
  for (int64_t i = 0; i < count; i++) {
    others |= !(values[i] - values[i] == 0.0f);
    const float limited = std::min(std::max(values[i] / scale, low), high);
    codes[i] = (int8_t)(int32_t)((limited + ROUND) - ROUND);
  }
  return !others;
}

// clamp(floor(sum * factor + 1/2) + zero, low, high), factor = multiplier / 2^shift: in doubles, which hold
// every such product of a 32-bit sum and a 16-bit multiplier.
void requantise(const int32_t* sums, const double* factor, double zero, double low, double high, int8_t* codes,
                int64_t channels) {
  for (int64_t n = 0; n < channels; n++) {
    const double value = std::floor(sums[n] * factor[n] + 0.5) + zero;
    codes[n] = (int8_t)(int32_t)std::min(std::max(value, low), high);
  }
}

void scale(const int32_t* sums, const int32_t* bias, const float* unit, float* values, int64_t channels) {
  for (int64_t n = 0; n < channels; n++) values[n] = (float)(int32_t)((uint32_t)sums[n] + (uint32_t)bias[n]) * unit[n];
}

// work(first, last) over rows of `channels` elements, in a share for every thread that pays.
template <typename Work>
void by_rows(int64_t rows, int64_t channels, int threads, const Work& work) {
  const int64_t shares = std::max<int64_t>(1, std::min<int64_t>(threads, rows * channels / CHUNK));
  const int64_t share = ceil_div(rows, shares);
  parallel(shares, threads, [&](int64_t t) { work(t * share, std::min(rows, (t + 1) * share)); });
}

}  // namespace slipstick
