// Products of factors: sum_k sum_r left[a[m, k]][r] * right[w[k, n]][r], by multiply-add of 16-bit pairs.
#pragma once

#include "common.hpp"

namespace slipstick {

constexpr int64_t ROWS = BYTES == 64 ? 12 : 6;   // register tile: ROWS x COLUMNS
constexpr int64_t COLUMNS = 2 * LANES;
constexpr int64_t DEPTH_PAIRS = 256;             // a panel of this depth, 16 to 32 KiB, stays in L1
constexpr int64_t BLOCK_BYTES = 192 * 1024;      // packed rows of activations, which stay in L2

// sum + a[0] * b[0] + a[1] * b[1] in every 32-bit lane, modulo 2^32.
inline Words multiply_add(Words sum, Words a, Words b) {
#if defined(SLIPSTICK_PORTABLE) || !defined(__SSE2__)
  const Words low = ((a << 16) >> 16) * ((b << 16) >> 16), high = (a >> 16) * (b >> 16);
  return sum + low + high;
#elif defined(__AVX512BW__)
  typedef short Shorts __attribute__((vector_size(64)));
  return sum + (Words)__builtin_ia32_pmaddwd512_mask((Shorts)a, (Shorts)b, Words{}, (unsigned short)-1);
#elif defined(__AVX2__)
  typedef short Shorts __attribute__((vector_size(32)));
  return sum + (Words)__builtin_ia32_pmaddwd256((Shorts)a, (Shorts)b);
#else
  typedef short Shorts __attribute__((vector_size(16)));
  return sum + (Words)__builtin_ia32_pmaddwd128((Shorts)a, (Shorts)b);
#endif
}

int64_t pairs_of(int64_t depth, int64_t rank) { return ceil_div(depth * rank, 2); }
int64_t panel_words(int64_t pairs) { return pairs * COLUMNS; }

// Weights of one matrix [K, N] as panels [N / COLUMNS][pair][COLUMNS] of 32-bit pairs, zeros at the edges.
void pack_weights(const uint8_t* codes, const int16_t* right, int64_t depth, int64_t channels, int64_t rank,
                  int32_t* packed, int64_t panel) {
  const int64_t pairs = pairs_of(depth, rank), first = panel * COLUMNS;
  const int64_t width = std::min(COLUMNS, channels - first);
  int16_t* to = (int16_t*)(packed + panel * panel_words(pairs));
  std::memset(to, 0, panel_words(pairs) * 4);
  for (int64_t k = 0; k < depth; k++) {
    const uint8_t* row = codes + k * channels + first;
    for (int64_t r = 0; r < rank; r++) {
      const int64_t place = k * rank + r;
      int16_t* line = to + (place / 2) * COLUMNS * 2 + (place & 1);
      for (int64_t n = 0; n < width; n++) line[2 * n] = right[row[n] * rank + r];
    }
  }
}

// Activations [rows, K] as tiles [rows / ROWS][pair][ROWS] of 32-bit pairs, zeros at the edges.
void pack_activations(const uint8_t* codes, const int16_t* left, int64_t rows, int64_t depth, int64_t rank,
                      int32_t* packed) {
  const int64_t pairs = pairs_of(depth, rank);
  for (int64_t tile = 0; tile * ROWS < rows; tile++) {
    int32_t* to = packed + tile * pairs * ROWS;
    const int64_t height = std::min(ROWS, rows - tile * ROWS);
    if (height < ROWS) std::memset(to, 0, pairs * ROWS * 4);
    for (int64_t m = 0; m < height; m++) {
      const uint8_t* row = codes + (tile * ROWS + m) * depth;
      if (rank == 1) {
        int64_t k = 0;
        for (; k + 1 < depth; k += 2)
          to[(k / 2) * ROWS + m] = (int32_t)((uint16_t)left[row[k]] | (uint32_t)(uint16_t)left[row[k + 1]] << 16);
        if (k < depth) to[(k / 2) * ROWS + m] = (uint16_t)left[row[k]];
      } else if (rank % 2 == 0) {
        for (int64_t k = 0; k < depth; k++)
          for (int64_t r = 0; r < rank; r += 2)
            std::memcpy(to + ((k * rank + r) / 2) * ROWS + m, left + row[k] * rank + r, 4);
      } else {
        int16_t* halves = (int16_t*)(to + m);
        if (depth * rank & 1) to[(pairs - 1) * ROWS + m] = 0;
        for (int64_t k = 0; k < depth; k++)
          for (int64_t r = 0; r < rank; r++) {
            const int64_t place = k * rank + r;
            halves[(place / 2) * ROWS * 2 + (place & 1)] = left[row[k] * rank + r];
          }
      }
    }
  }
}

// One register tile: out[ROWS, COLUMNS] (+)= a[pairs, ROWS] . b[pairs, COLUMNS].
__attribute__((noinline)) void multiply_tile(const int32_t* a, const int32_t* b, int64_t pairs, int32_t* out,
                                             int64_t stride, bool add) {
  Words sums[ROWS][2] = {};
  for (int64_t p = 0; p < pairs; p++) {
    const Words low = *(const Unaligned*)(b + p * COLUMNS), high = *(const Unaligned*)(b + p * COLUMNS + LANES);
#pragma GCC unroll 16
    for (int m = 0; m < ROWS; m++) {
      const Words pair = a[p * ROWS + m] - Words{};
      sums[m][0] = multiply_add(sums[m][0], pair, low);
      sums[m][1] = multiply_add(sums[m][1], pair, high);
    }
  }
#pragma GCC unroll 16
  for (int m = 0; m < ROWS; m++) {
    Unaligned* to = (Unaligned*)(out + m * stride);
    to[0] = add ? to[0] + sums[m][0] : sums[m][0];
    to[1] = add ? to[1] + sums[m][1] : sums[m][1];
  }
}

void multiply_edge(const int32_t* a, const int32_t* b, int64_t pairs, int32_t* out, int64_t stride, bool add,
                   int64_t height, int64_t width) {
  alignas(64) int32_t tile[ROWS * COLUMNS];
  multiply_tile(a, b, pairs, tile, COLUMNS, false);
  for (int64_t m = 0; m < height; m++)
    for (int64_t n = 0; n < width; n++)
      out[m * stride + n] = tile[m * COLUMNS + n] + (add ? out[m * stride + n] : 0);
}

void factor_matrix(const uint8_t* codes, const int16_t* left, const int32_t* packed, int32_t* out, int64_t rows,
                   int64_t depth, int64_t channels, int64_t rank, int threads) {
  const int64_t pairs = pairs_of(depth, rank), panels = ceil_div(channels, COLUMNS);
  const int64_t block = std::max<int64_t>(1, BLOCK_BYTES / (pairs * ROWS * 4)) * ROWS;
  const int64_t blocks = ceil_div(rows, block);
  const bool by_rows = blocks >= threads || rows >= channels;  // who gets what: rows or panels
  const int64_t height = by_rows ? std::min(block, ceil_div(ceil_div(rows, threads), ROWS) * ROWS) : block;
  auto some = [&](int64_t first, int64_t last, int64_t from_panel, int64_t to_panel) {
    Buffer<int32_t> tiles(pairs * ceil_div(height, ROWS) * ROWS);
    for (int64_t start = first; start < last; start += height) {
      const int64_t count = std::min(height, last - start);
      pack_activations(codes + start * depth, left, count, depth, rank, tiles.get());
      for (int64_t panel = from_panel; panel < to_panel; panel++) {
        const int64_t width = std::min(COLUMNS, channels - panel * COLUMNS);
        for (int64_t p = 0; p < pairs; p += DEPTH_PAIRS) {
          const int64_t deep = std::min(DEPTH_PAIRS, pairs - p);
          const int32_t* b = packed + panel * panel_words(pairs) + p * COLUMNS;
          for (int64_t m = 0; m < count; m += ROWS) {
            const int32_t* a = tiles.get() + m * pairs + p * ROWS;
            int32_t* to = out + (start + m) * channels + panel * COLUMNS;
            if (width == COLUMNS && count - m >= ROWS)
              multiply_tile(a, b, deep, to, channels, p > 0);
            else
              multiply_edge(a, b, deep, to, channels, p > 0, std::min(ROWS, count - m), width);
          }
        }
      }
    }
  };
  if (by_rows) {
    const int64_t share = ceil_div(ceil_div(rows, std::max(threads, 1)), ROWS) * ROWS;
    parallel(ceil_div(rows, share), threads,
             [&](int64_t t) { some(t * share, std::min(rows, (t + 1) * share), 0, panels); });
  } else {
    const int64_t share = ceil_div(panels, std::max(threads, 1));
    parallel(ceil_div(panels, share), threads,
             [&](int64_t t) { some(0, rows, t * share, std::min(panels, (t + 1) * share)); });
  }
}

}  // namespace slipstick
