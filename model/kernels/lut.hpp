// Look-up tables over the bits of many tokens, and their gradients: model/weightless/lut.py in one pass each.
//
// N tables of 2^arity entries, M tokens; a token's bits are bytes of 0 and 1 in rows [B, M]. Sums run in the same
// order for any number of threads.
#pragma once

#if defined(__AVX512F__) && !defined(SLIPSTICK_PORTABLE)
#include <immintrin.h>
#endif

#include "common.hpp"
#include "elementwise.hpp"

namespace slipstick {

constexpr int64_t TILE_BYTES = 1 << 19;  // of the gradients of a tile of tokens: they stay in the second cache
constexpr int64_t LEAST_TOKENS = 16, MOST_TOKENS = 512;

// Addresses and looked-up bits of `tokens` tokens for one table; inputs[l] are the bits that weigh 2^l.
template <int ARITY>
void look_up(const uint8_t* const* inputs, const float* table, int64_t tokens, uint8_t* address, uint8_t* fired) {
  uint8_t binary[1 << ARITY];
  for (int a = 0; a < 1 << ARITY; a++) binary[a] = table[a] > 0;
  for (int64_t m = 0; m < tokens; m++) {
    uint8_t found = inputs[0][m];
    for (int l = 1; l < ARITY; l++) found |= (uint8_t)(inputs[l][m] << l);
    address[m] = found;
  }
  for (int64_t m = 0; m < tokens; m++) fired[m] = binary[address[m]];
}

// Extended finite differences of a table of SIZE in place, from bit BIT on: half the difference for the wanted bit, for
// any other a mean that leans to the own side.
template <int SIZE, int BIT = 0>
void differ(int wanted, float flip, float* change) {
  constexpr int HALF = 1 << BIT;
  if constexpr (HALF < SIZE) {
    for (int start = 0; start < SIZE; start += 2 * HALF) {
      for (int a = start; a < start + HALF; a++) {
        const float low = change[a], high = change[a + HALF], step = high - low;
        change[a] = BIT == wanted ? 0.5f * step : low + flip * step;
        change[a + HALF] = BIT == wanted ? 0.5f * step : high - flip * step;
      }
    }
    differ<SIZE, BIT + 1>(wanted, flip, change);
  }
}

// Extended finite differences [ARITY, 2^ARITY] of a table.
template <int ARITY>
void differences(const float* table, float flip, float* change) {
  constexpr int SIZE = 1 << ARITY;
  for (int wanted = 0; wanted < ARITY; wanted++, change += SIZE) {
    std::copy(table, table + SIZE, change);
    differ<SIZE>(wanted, flip, change);
  }
}

// Sums [2^ARITY] of the gradients of the tokens with each address; four at a time, which wait less for each other.
template <int ARITY>
void sum_by_address(const uint8_t* address, const float* gradient, int64_t tokens, float* sums) {
  constexpr int SIZE = 1 << ARITY;
  float parts[4][SIZE] = {};
  int64_t m = 0;
  for (; m + 4 <= tokens; m += 4)
    for (int i = 0; i < 4; i++) parts[i][address[m + i]] += gradient[m + i];
  for (; m < tokens; m++) parts[0][address[m]] += gradient[m];
  for (int a = 0; a < SIZE; a++) sums[a] = (parts[0][a] + parts[1][a]) + (parts[2][a] + parts[3][a]);
}

#if defined(__AVX512F__) && !defined(SLIPSTICK_PORTABLE)
constexpr int64_t VECTOR = 16;

// A table of floats, held in registers.
template <int ARITY>
struct Held {
  static constexpr int SIZE = 1 << ARITY, COUNT = (SIZE + 15) / 16;
  __m512 part[COUNT];
  explicit Held(const float* table) {
    for (int p = 0; p < COUNT; p++)
      part[p] = _mm512_maskz_loadu_ps((__mmask16)((1u << std::min(SIZE, 16)) - 1), table + 16 * p);
  }
  // table[address] for 16 addresses; an address wraps at the end of a table of 16 or 32.
  __m512 entries(__m512i address) const {
    if constexpr (COUNT == 1) {
      return _mm512_permutexvar_ps(address, part[0]);
    } else {
      const __m512 low = _mm512_permutex2var_ps(part[0], address, part[1]);
      if constexpr (COUNT == 2) {
        return low;
      } else {
        const __m512 high = _mm512_permutex2var_ps(part[2], address, part[3]);
        return _mm512_mask_blend_ps(_mm512_test_epi32_mask(address, _mm512_set1_epi32(32)), low, high);
      }
    }
  }
};

// Adds gradient * change[l][address] to rows[l]; returns how many tokens it did: whole vectors of them.
template <int ARITY>
int64_t add_vectors(const float* change, const uint8_t* address, const float* gradient, int64_t tokens,
                    float* const* rows) {
  const int64_t whole = tokens / VECTOR * VECTOR;
  for (int l = 0; l < ARITY; l++) {
    const Held<ARITY> own(change + (l << ARITY));
    float *row = rows[l], *next = rows[std::min(l + 1, ARITY - 1)];
    for (int64_t m = 0; m < whole; m += VECTOR) {
      const __m512i place = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i*)(address + m)));
      _mm_prefetch((const char*)(next + m), _MM_HINT_T0);
      const __m512 part = _mm512_loadu_ps(gradient + m), before = _mm512_loadu_ps(row + m);
      _mm512_storeu_ps(row + m, _mm512_fmadd_ps(own.entries(place), part, before));
    }
  }
  return whole;
}
#else
template <int ARITY>
int64_t add_vectors(const float*, const uint8_t*, const float*, int64_t, float* const*) {
  return 0;
}
#endif

template <int ARITY>
void add_to_bits(const float* change, const uint8_t* address, const float* gradient, int64_t tokens,
                 float* const* rows) {
  const int64_t done = add_vectors<ARITY>(change, address, gradient, tokens, rows);
  for (int l = 0; l < ARITY; l++)
    for (int64_t m = done; m < tokens; m++) rows[l][m] += gradient[m] * change[(l << ARITY) + address[m]];
}

// The layer: codes [bits, M] through index [N * ARITY] -> address and fired [N, M].
template <int ARITY>
void look_up_layer(const uint8_t* codes, const int64_t* index, const float* tables, int64_t count, int64_t tokens,
                   uint8_t* address, uint8_t* fired, int threads) {
  by_rows(count, tokens, threads, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; n++) {
      const uint8_t* inputs[ARITY];
      for (int l = 0; l < ARITY; l++) inputs[l] = codes + index[n * ARITY + l] * tokens;
      look_up<ARITY>(inputs, tables + (n << ARITY), tokens, address + n * tokens, fired + n * tokens);
    }
  });
}

// Gradients [N, M] of the outputs -> those of entries [N, 2^ARITY] and of bits [bits, M], every element of which is
// written. First table by table; then by tiles of tokens, whose rows of bits stand side by side in cache.
template <int ARITY>
void look_up_gradients(const uint8_t* address, const int64_t* index, const float* tables, const float* gradient,
                       float flip, int64_t count, int64_t bits, int64_t tokens, float* to_tables, float* to_bits,
                       int threads) {
  const Buffer<float> change(count * ARITY << ARITY);
  by_rows(count, tokens, threads, [&](int64_t first, int64_t last) {
    for (int64_t n = first; n < last; n++) {
      differences<ARITY>(tables + (n << ARITY), flip, change.get() + (n * ARITY << ARITY));
      sum_by_address<ARITY>(address + n * tokens, gradient + n * tokens, tokens, to_tables + (n << ARITY));
    }
  });
  const int64_t fitting = TILE_BYTES / (int64_t)sizeof(float) / std::max<int64_t>(bits, 1);
  const int64_t tile = std::min(std::max(fitting / LEAST_TOKENS * LEAST_TOKENS, LEAST_TOKENS), MOST_TOKENS);
  const auto make = [&] { return Buffer<float>(bits * tile); };
  parallel(ceil_div(tokens, tile), threads, make, [&](int64_t t, const Buffer<float>& sums) {
    const int64_t first = t * tile, width = std::min(tile, tokens - first);
    std::fill_n(sums.get(), bits * tile, 0.0f);
    for (int64_t n = 0; n < count; n++) {
      float* rows[ARITY];
      for (int l = 0; l < ARITY; l++) rows[l] = sums.get() + index[n * ARITY + l] * tile;
      const int64_t start = n * tokens + first;
      add_to_bits<ARITY>(change.get() + (n * ARITY << ARITY), address + start, gradient + start, width, rows);
    }
    for (int64_t b = 0; b < bits; b++) std::copy_n(sums.get() + b * tile, width, to_bits + b * tokens + first);
  });
}

// work(std::integral_constant) of the arity, which compilers then know.
template <typename Work>
void with_arity(int arity, const Work& work) {
  switch (arity) {
    case 1: return work(std::integral_constant<int, 1>());
    case 2: return work(std::integral_constant<int, 2>());
    case 3: return work(std::integral_constant<int, 3>());
    case 4: return work(std::integral_constant<int, 4>());
    case 5: return work(std::integral_constant<int, 5>());
    case 6: return work(std::integral_constant<int, 6>());
  }
}

}  // namespace slipstick
