// Thermometer codes of many tokens and their gradients: model/weightless/thermometer.py in one pass each.
//
// D features of M tokens, T thresholds each. Sums run in the same order for any number of threads.
#pragma once

#include "common.hpp"

namespace slipstick {

constexpr int64_t ACROSS = 16;  // partial sums of a row, so that they need not wait for each other

// Bits [T, M] of one feature: codes above each limit.
void compare(const int16_t* codes, const int16_t* limits, int64_t thresholds, int64_t tokens, uint8_t* bits) {
  for (int64_t t = 0; t < thresholds; t++, bits += tokens) {
    const int16_t limit = limits[t];
    for (int64_t m = 0; m < tokens; m++) bits[m] = codes[m] > limit;
  }
}

// Sum of the gradients whose code lies between low and high; adds these, times factor, to to_codes [M] too.
float window(const int16_t* codes, const float* gradient, int16_t low, int16_t high, float factor, int64_t tokens,
             float* to_codes) {
  float sums[ACROSS] = {};
  const auto one = [&](int64_t m, float& sum) {
    const float near = codes[m] > low && codes[m] < high ? gradient[m] : 0.0f;
    sum += near;
    to_codes[m] += near * factor;
  };
  int64_t m = 0;
  for (; m + ACROSS <= tokens; m += ACROSS)
    for (int64_t i = 0; i < ACROSS; i++) one(m + i, sums[i]);
  for (; m < tokens; m++) one(m, sums[0]);
  float total = 0;
  for (float sum : sums) total += sum;
  return total;
}

}  // namespace slipstick
