// Conditional sums over the bits of many tokens, and their gradients: model/weightless/sum.py in one pass each.
//
// N bits of M tokens, bytes of 0 and 1 in rows [N, M]; D outputs. Sums run in the same order for any number of
// threads. Where bits choose what is added nothing is multiplied: the sums of all subsets of four rows are made once
// and then looked up ("method of the four Russians": Arlazarov, Dinic, Kronrod, Faradzev 1970).
#pragma once

#include "common.hpp"

namespace slipstick {

constexpr int64_t CHOSEN = 4, SUBSETS = 1 << CHOSEN;  // rows of which all subsets are summed
constexpr int64_t ROUND = 16;                         // rows at a time, four times four
constexpr int64_t TILE = 256, SPAN = 128;  // columns and numbers: sums stay in the second cache, subsets in the first

// Sums [SUBSETS, width] of all subsets of the first `given` of four rows, which lie `stride` apart.
template <typename T>
void sum_subsets(const T* rows, int64_t given, int64_t stride, int64_t width, T* sums) {
  std::fill_n(sums, width, T(0));
  for (int64_t r = 0; r < CHOSEN; r++)
    for (int64_t s = 0; s < 1 << r; s++)
      for (int64_t d = 0; d < width; d++)
        sums[(s + (1 << r)) * width + d] = r < given ? sums[s * width + d] + rows[r * stride + d] : sums[s * width + d];
}

// out [columns, D] = sum of those rows [rows, D] that a column chooses; choose(row, given, column, count, choices)
// says, bit by bit from the lowest, which of the rows from `row` on `count` columns take.
template <typename T, typename Choose>
void sum_chosen(const T* rows, int64_t count, int64_t columns, int64_t width, T* out, const Choose& choose,
                int threads) {
  const auto make = [&] { return Buffer<T>(ROUND / CHOSEN * SUBSETS * SPAN); };
  parallel(ceil_div(columns, TILE), threads, make, [&](int64_t tile, const Buffer<T>& subsets) {
    const int64_t column = tile * TILE, those = std::min(TILE, columns - column);
    uint16_t choices[TILE];
    std::fill_n(out + column * width, those * width, T(0));
    for (int64_t row = 0; row < count; row += ROUND) {
      choose(row, std::min(ROUND, count - row), column, those, choices);
      for (int64_t d = 0; d < width; d += SPAN) {
        const int64_t part = std::min(SPAN, width - d);
        T* table[ROUND / CHOSEN];
        for (int64_t t = 0; t < ROUND / CHOSEN; t++) {
          const int64_t first = row + t * CHOSEN, given = std::min(CHOSEN, std::max<int64_t>(count - first, 0));
          table[t] = subsets.get() + t * SUBSETS * SPAN;
          sum_subsets(rows + first * width + d, given, width, part, table[t]);
        }
        for (int64_t c = 0; c < those; c++) {
          const T *a = table[0] + (choices[c] & 15) * part, *b = table[1] + (choices[c] >> 4 & 15) * part;
          const T *e = table[2] + (choices[c] >> 8 & 15) * part, *f = table[3] + (choices[c] >> 12) * part;
          T* sum = out + (column + c) * width + d;
          for (int64_t i = 0; i < part; i++) sum[i] += (a[i] + b[i]) + (e[i] + f[i]);
        }
      }
    }
  });
}

// Codes [N, D] of the bits that are 1, summed for every token: [M, D].
void conditional_sum(const uint8_t* bits, const int32_t* codes, int64_t count, int64_t tokens, int64_t width,
                     int32_t* sums, int threads) {
  const auto choose = [&](int64_t row, int64_t given, int64_t token, int64_t those, uint16_t* choices) {
    std::fill_n(choices, those, 0);
    for (int64_t r = 0; r < given; r++) {
      const uint8_t* one = bits + (row + r) * tokens + token;
      for (int64_t m = 0; m < those; m++) choices[m] |= (uint16_t)(one[m] << r);
    }
  };
  sum_chosen(codes, count, tokens, width, sums, choose, threads);
}

// Eight bytes of 0 and 1 as bits, the first the lowest: the product moves byte i to bit 56 + i, little-endian.
inline unsigned gather_bits(const uint8_t* bytes) {
  uint64_t all;
  std::memcpy(&all, bytes, 8);
  return (unsigned)(all * 0x0102040810204080u >> 56);
}

// Gradients of codes [N, D]: those of sums [M, D], summed for every bit over the tokens where it is 1.
void gradients_of_codes(const uint8_t* bits, const float* gradient, int64_t count, int64_t tokens, int64_t width,
                        float* to_codes, int threads) {
  const auto choose = [&](int64_t token, int64_t given, int64_t bit, int64_t those, uint16_t* choices) {
    for (int64_t n = 0; n < those; n++) {
      const uint8_t* one = bits + (bit + n) * tokens + token;
      choices[n] = 0;
      if (given == ROUND) {
        choices[n] = (uint16_t)(gather_bits(one) | gather_bits(one + 8) << 8);
      } else {
        for (int64_t m = 0; m < given; m++) choices[n] |= (uint16_t)(one[m] << m);
      }
    }
  };
  sum_chosen(gradient, tokens, count, width, to_codes, choose, threads);
}

typedef float Floats __attribute__((vector_size(BYTES), may_alias));
constexpr int64_t PANEL_VECTORS = BYTES == 64 ? 4 : 2, PANEL = PANEL_VECTORS * LANES;  // tokens of a block
constexpr int64_t BITS = 6;  // rows of a block, whose sums fit the registers

// out [bits, PANEL], rows `stride` apart = codes [bits, D] times a panel [D, PANEL].
template <int64_t bits>
void multiply_block(const float* codes, const float* panel, int64_t width, float* out, int64_t stride) {
  Floats sums[bits][PANEL_VECTORS] = {};
  for (int64_t d = 0; d < width; d++) {
    const Floats* row = reinterpret_cast<const Floats*>(panel + d * PANEL);
    for (int64_t n = 0; n < bits; n++)
      for (int64_t v = 0; v < PANEL_VECTORS; v++) sums[n][v] += codes[n * width + d] * row[v];
  }
  for (int64_t n = 0; n < bits; n++) std::memcpy(out + n * stride, sums[n], sizeof(sums[n]));
}

// Gradients of bits [N, M]: codes [N, D] times the gradients of sums [M, D], a panel of tokens at a time.
void gradients_of_bits(const float* codes, const float* gradient, int64_t count, int64_t tokens, int64_t width,
                       float* to_bits, int threads) {
  const auto make = [&] { return Buffer<float>((width + BITS) * PANEL); };
  parallel(ceil_div(tokens, PANEL), threads, make, [&](int64_t p, const Buffer<float>& scratch) {
    const int64_t token = p * PANEL, those = std::min(PANEL, tokens - token);
    float *panel = scratch.get(), *edge = panel + width * PANEL;
    for (int64_t m = 0; m < PANEL; m++)
      for (int64_t d = 0; d < width; d++) panel[d * PANEL + m] = m < those ? gradient[(token + m) * width + d] : 0.0f;
    for (int64_t bit = 0; bit < count;) {
      const bool whole = count - bit >= BITS;
      const int64_t bits = whole ? BITS : 1;
      float* out = to_bits + bit * tokens + token;
      float* target = those == PANEL ? out : edge;
      const int64_t stride = those == PANEL ? tokens : PANEL;
      if (whole) multiply_block<BITS>(codes + bit * width, panel, width, target, stride);
      else multiply_block<1>(codes + bit * width, panel, width, target, stride);
      if (those < PANEL)
        for (int64_t n = 0; n < bits; n++) std::copy_n(edge + n * PANEL, those, out + n * tokens);
      bit += bits;
    }
  });
}

}  // namespace slipstick
