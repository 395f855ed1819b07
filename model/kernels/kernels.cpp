// Approximate matrix products on a CPU: 8-bit codes, 32-bit sums that are exact modulo 2^32; layers of look-up tables.
//
// The C interface, bound through ctypes; no header of torch, so it compiles in seconds. Threads share no output.

#include "conditional.hpp"
#include "digest.hpp"
#include "elementwise.hpp"
#include "factor.hpp"
#include "lut.hpp"
#include "table.hpp"
#include "thermometer.hpp"

using namespace slipstick;

extern "C" {

// The threads to use from now on; null for own ones.
void slipstick_use_team(Team lent) { team = lent; }

int64_t slipstick_packed_words(int64_t depth, int64_t channels, int64_t rank) {
  return ceil_div(channels, COLUMNS) * panel_words(pairs_of(depth, rank));
}

// codes [batch, K, N] -> packed [batch, slipstick_packed_words]; right [256, rank].
void slipstick_factor_pack(const uint8_t* codes, const int16_t* right, int32_t* packed, int64_t batch, int64_t depth,
                           int64_t channels, int64_t rank, int threads) {
  const int64_t panels = ceil_div(channels, COLUMNS), words = slipstick_packed_words(depth, channels, rank);
  parallel(batch * panels, threads, [&](int64_t i) {
    pack_weights(codes + (i / panels) * depth * channels, right, depth, channels, rank, packed + (i / panels) * words,
                 i % panels);
  });
}

// codes [batch, M, K], left [256, rank], packed of one matrix or of each -> out [batch, M, N].
void slipstick_factor_gemm(const uint8_t* codes, const int16_t* left, const int32_t* packed, int32_t* out,
                           int64_t batch, int64_t rows, int64_t depth, int64_t channels, int64_t rank, int shared,
                           int threads) {
  const int64_t words = slipstick_packed_words(depth, channels, rank);
  if (shared) {
    factor_matrix(codes, left, packed, out, batch * rows, depth, channels, rank, threads);
    return;
  }
  const int inner = batch < threads ? threads : 1;
  parallel(batch, inner > 1 ? 1 : threads, [&](int64_t i) {
    factor_matrix(codes + i * rows * depth, left, packed + i * words, out + i * rows * channels, rows, depth, channels,
                  rank, inner);
  });
}

// codes [batch, M, K], weights [batch or 1, K, N] -> out [batch, M, N]; the rest makes a Table.
void slipstick_table_gemm(const uint8_t* codes, const uint8_t* weights, const uint16_t* entries, const uint8_t* index,
                          int64_t entry_rows, int32_t bias, int group, int32_t* out, int64_t batch, int64_t rows,
                          int64_t depth, int64_t channels, int shared, int threads) {
  const Table table{entries, index, entry_rows, bias, group};
  const int64_t blocks = ceil_div(channels, WIDTH);
  if (shared) rows *= batch, batch = 1;
  const auto make = [&] { return Scratch(rows); };
  const auto matrix = [&](const Offsets& offsets, const Scratch& scratch, int64_t i, int64_t block) {
    table_block(table, offsets, scratch, weights + i * depth * channels, out + i * rows * channels, rows, depth,
                channels, block);
  };
  if (batch >= threads && batch > 1) {
    parallel(batch, threads, make, [&](int64_t i, const Scratch& scratch) {
      const Offsets offsets(table, codes + i * rows * depth, rows, depth, 1);
      for (int64_t block = 0; block < blocks; block++) matrix(offsets, scratch, i, block);
    });
    return;
  }
  for (int64_t i = 0; i < batch; i++) {
    const Offsets offsets(table, codes + i * rows * depth, rows, depth, threads);
    parallel(blocks, threads, make,
             [&](int64_t block, const Scratch& scratch) { matrix(offsets, scratch, i, block); });
  }
}

// The same for any number of threads.
uint64_t slipstick_hash(const uint8_t* data, int64_t size, int threads) { return hash(data, size, threads); }

// Returns 1 where all values are finite, else 0.
int slipstick_quantise(const float* values, float scale, int low, int high, int8_t* codes, int64_t count,
                       int threads) {
  std::atomic<int> finite{1};
  by_rows(count, 1, threads, [&](int64_t first, int64_t last) {
    if (!quantise(values + first, scale, (float)low, (float)high, codes + first, last - first)) finite = 0;
  });
  return finite;
}

// sums [rows, channels], factor [channels].
void slipstick_requantise(const int32_t* sums, const double* factor, int zero, int low, int high, int8_t* codes,
                          int64_t rows, int64_t channels, int threads) {
  by_rows(rows, channels, threads, [&](int64_t first, int64_t last) {
    for (int64_t m = first; m < last; m++)
      requantise(sums + m * channels, factor, zero, low, high, codes + m * channels, channels);
  });
}

// (sums [rows, channels] + bias [channels]) * unit [channels].
void slipstick_scale(const int32_t* sums, const int32_t* bias, const float* unit, float* values, int64_t rows,
                     int64_t channels, int threads) {
  by_rows(rows, channels, threads, [&](int64_t first, int64_t last) {
    for (int64_t m = first; m < last; m++) scale(sums + m * channels, bias, unit, values + m * channels, channels);
  });
}

// codes [bits, M] through index [N * arity], tables [N, 2^arity] -> address and fired [N, M].
void slipstick_look_up(const uint8_t* codes, const int64_t* index, const float* tables, int arity, int64_t count,
                       int64_t tokens, uint8_t* address, uint8_t* fired, int threads) {
  with_arity(arity, [&](auto n) {
    look_up_layer<n>(codes, index, tables, count, tokens, address, fired, threads);
  });
}

// gradient [N, M] -> to_tables [N, 2^arity] and to_bits [bits, M].
void slipstick_look_up_gradients(const uint8_t* address, const int64_t* index, const float* tables,
                                 const float* gradient, float flip, int arity, int64_t count, int64_t bits,
                                 int64_t tokens, float* to_tables, float* to_bits, int threads) {
  with_arity(arity, [&](auto n) {
    look_up_gradients<n>(address, index, tables, gradient, flip, count, bits, tokens, to_tables, to_bits, threads);
  });
}

// bits [N, M] and codes [N, D] -> sums [M, D].
void slipstick_conditional_sum(const uint8_t* bits, const int32_t* codes, int64_t count, int64_t tokens, int64_t width,
                               int32_t* sums, int threads) {
  conditional_sum(bits, codes, count, tokens, width, sums, threads);
}

// bits [N, M], codes [N, D] and gradient [M, D] -> to_bits [N, M] and to_codes [N, D].
void slipstick_conditional_gradients(const uint8_t* bits, const float* codes, const float* gradient, int64_t count,
                                     int64_t tokens, int64_t width, float* to_bits, float* to_codes, int threads) {
  gradients_of_bits(codes, gradient, count, tokens, width, to_bits, threads);
  gradients_of_codes(bits, gradient, count, tokens, width, to_codes, threads);
}

// codes [D, M] and limits [D, T] -> bits [D, T, M].
void slipstick_compare(const int16_t* codes, const int16_t* limits, uint8_t* bits, int64_t features,
                       int64_t thresholds, int64_t tokens, int threads) {
  by_rows(features, thresholds * tokens, threads, [&](int64_t first, int64_t last) {
    for (int64_t d = first; d < last; d++)
      compare(codes + d * tokens, limits + d * thresholds, thresholds, tokens, bits + d * thresholds * tokens);
  });
}

// gradient [D, T, M], low, high [D, T] and factor [D] -> to_codes [D, M] and to_thresholds [D, T].
void slipstick_window(const int16_t* codes, const float* gradient, const int16_t* low, const int16_t* high,
                      const float* factor, float* to_codes, float* to_thresholds, int64_t features,
                      int64_t thresholds, int64_t tokens, int threads) {
  by_rows(features, thresholds * tokens, threads, [&](int64_t first, int64_t last) {
    std::fill(to_codes + first * tokens, to_codes + last * tokens, 0.0f);
    for (int64_t r = first * thresholds; r < last * thresholds; r++) {
      const int64_t d = r / thresholds;
      to_thresholds[r] = -factor[d] * window(codes + d * tokens, gradient + r * tokens, low[r], high[r], factor[d],
                                             tokens, to_codes + d * tokens);
    }
  });
}
}
