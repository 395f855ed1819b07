// Products of any table: sum_k table[a[m, k], w[k, n]], by adding expanded rows.
//
// For 8 reduction indices and 32 columns at a time, every row that an activation can choose is written
// out: expanded[k][index][n] = table[w[k, n]][index], 64 bytes a row. Each activation then adds one row.
// Entries are 16 bits and not negative; GROUP rows are added before a 16-bit lane could overflow. Read as
// 32-bit lanes (odd column << 16 | even column), the sums add up to even + (odd << 16) modulo 2^32, their
// upper halves to odd: two additions and a shift keep 32-bit sums of both, and no lane can overflow.
#pragma once

#include "common.hpp"

namespace slipstick {

constexpr int64_t DEPTH = 8;
constexpr int64_t WIDTH = 32;
constexpr int VECTORS = 64 / BYTES;  // of one row
constexpr int64_t ROW_BYTES = 64;
constexpr int64_t STRIDE = 256 * ROW_BYTES;  // from one k to the next; a constant keeps it out of registers

struct Table {
  const uint16_t* entries;  // [256 weights][rows]
  const uint8_t* index;     // [256 activations] -> row
  int64_t rows;             // a multiple of 8
  int32_t bias;             // what every entry exceeds the true value by
  int group;                // 1, 2, 4 or 8 entries fit 16 bits when added
};

typedef uint16_t Lane __attribute__((vector_size(16), may_alias, aligned(2)));
typedef uint16_t Halves __attribute__((vector_size(BYTES), may_alias));
constexpr int64_t AT_ONCE = BYTES / 2;  // columns: 8 in every 16-byte lane

// Index i of two vectors interleaved lane by lane, `size` entries at a time, lower or upper half of each.
constexpr int interleaved(int i, int size, bool upper) {
  const int lane = i / 8, within = i % 8, entry = within / size;
  return lane * 8 + (upper ? 4 : 0) + entry / 2 * size + within % size + (entry % 2 ? BYTES / 2 : 0);
}

template <int SIZE, bool UPPER, int... I>
inline Halves interleave(Halves x, Halves y, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(x, y, interleaved(I, SIZE, UPPER)...);
}

template <int SIZE, bool UPPER>
inline Halves interleave(Halves x, Halves y) {
  return interleave<SIZE, UPPER>(x, y, std::make_integer_sequence<int, BYTES / 2>());
}

// The same 8 entries of COUNT columns, 8 columns apart: one a lane.
template <int COUNT, int... I>
inline auto join(const uint16_t* const* from, int64_t at, std::integer_sequence<int, I...>) {
  if constexpr (COUNT == 1) {
    return *(const Lane*)(from[0] + at);
  } else {
    using Half = std::make_integer_sequence<int, 4 * COUNT>;
    return __builtin_shufflevector(join<COUNT / 2>(from, at, Half()), join<COUNT / 2>(from + 4 * COUNT, at, Half()), I...);
  }
}

template <int COUNT>
inline Halves gather(const uint16_t* const* from, int64_t at) {
  return (Halves)join<COUNT>(from, at, std::make_integer_sequence<int, 8 * COUNT>());
}

// AT_ONCE columns of 8 entries from `at` on, transposed into 8 rows.
inline void transpose(const uint16_t* const* from, int64_t at, uint8_t* to) {
  Halves a[8], b[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; i++) {
    a[i] = gather<BYTES / 16>(from + i, at);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    b[i] = interleave<1, false>(a[i], a[i + 1]);
    b[i + 1] = interleave<1, true>(a[i], a[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 4)
#pragma GCC unroll 2
    for (int h = 0; h < 2; h++) {
      a[i + 2 * h] = interleave<2, false>(b[i + h], b[i + 2 + h]);
      a[i + 2 * h + 1] = interleave<2, true>(b[i + h], b[i + 2 + h]);
    }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    *(Halves*)(to + (2 * i) * ROW_BYTES) = interleave<4, false>(a[i], a[4 + i]);
    *(Halves*)(to + (2 * i + 1) * ROW_BYTES) = interleave<4, true>(a[i], a[4 + i]);
  }
}

// The eights of rows in `wanted` (bit i: rows 8 i to 8 i + 7) of one reduction index, for up to WIDTH columns.
void expand(const Table& table, const uint8_t* weights, int64_t width, uint32_t wanted, uint8_t* to) {
  const uint16_t* from[WIDTH];
  for (int64_t i = 0; i < WIDTH; i++) from[i] = table.entries + weights[std::min(i, width - 1)] * table.rows;
  for (uint32_t left = wanted; left; left &= left - 1) {
    const int64_t at = 8 * __builtin_ctz(left);
    for (int64_t n = 0; n < WIDTH; n += AT_ONCE) transpose(from + n, at, to + at * ROW_BYTES + 2 * n);
  }
}

// sums[rows][4 * VECTORS] += the rows that `offsets` [rows][DEPTH] choose.
template <int GROUP>
__attribute__((noinline)) void add_rows(const uint8_t* expanded, const uint16_t* offsets, int64_t rows,
                                        UnsignedWords* sums) {
  for (int64_t m = 0; m < rows; m++) {
    UnsignedWords low[VECTORS], high[VECTORS];
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) low[v] = sums[v], high[v] = sums[VECTORS + v];
#pragma GCC unroll 8
    for (int g = 0; g < DEPTH; g += GROUP) {
#pragma GCC unroll 4
      for (int v = 0; v < VECTORS; v++) {
        UnsignedWords some{};
#pragma GCC unroll 8
        for (int k = g; k < g + GROUP; k++) some += *(const UnsignedWords*)(expanded + k * STRIDE + offsets[k] + v * BYTES);
        low[v] += some;
        high[v] += some >> 16;
      }
    }
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) sums[v] = low[v], sums[VECTORS + v] = high[v];
    sums += 2 * VECTORS;
    offsets += DEPTH;
  }
}

typedef void (*AddRows)(const uint8_t*, const uint16_t*, int64_t, UnsignedWords*);

AddRows adder(int group) {
  return group >= 8 ? add_rows<8> : group >= 4 ? add_rows<4> : group >= 2 ? add_rows<2> : add_rows<1>;
}

// The activations of one matrix [M, K] as byte offsets [K / DEPTH][M][DEPTH], and the rows each k needs.
struct Offsets {
  Buffer<uint16_t> offsets;
  std::vector<uint32_t> wanted;  // [K], a bit for 8 rows

  Offsets(const Table& table, const uint8_t* codes, int64_t rows, int64_t depth, int threads)
      : offsets(ceil_div(depth, DEPTH) * DEPTH * rows), wanted(ceil_div(depth, DEPTH) * DEPTH, 0) {
    uint16_t offset[256];
    uint32_t bit[256];
    for (int code = 0; code < 256; code++) {
      offset[code] = (uint16_t)(table.index[code] * ROW_BYTES);
      bit[code] = 1u << (table.index[code] / 8);
    }
    parallel(ceil_div(depth, DEPTH), threads, [&](int64_t part) {
      const int64_t start = part * DEPTH, count = std::min(DEPTH, depth - start);
      uint16_t* to = offsets.get() + start * rows;
      uint32_t seen[DEPTH] = {};
      for (int64_t m = 0; m < rows; m++, to += DEPTH) {
        const uint8_t* from = codes + m * depth + start;
        if (count == DEPTH) {
#pragma GCC unroll 8
          for (int64_t k = 0; k < DEPTH; k++) to[k] = offset[from[k]], seen[k] |= bit[from[k]];
        } else {  // rows of zeros stand behind the last index
          for (int64_t k = 0; k < count; k++) to[k] = offset[from[k]], seen[k] |= bit[from[k]];
          for (int64_t k = count; k < DEPTH; k++) to[k] = 0;
        }
      }
      std::copy(seen, seen + DEPTH, wanted.begin() + start);
    });
  }
};

template <bool UPPER, int... I>
inline Words in_order(Words even, Words odd, std::integer_sequence<int, I...>) {
  return __builtin_shufflevector(even, odd, (I / 2 + (UPPER ? LANES / 2 : 0) + (I % 2 ? LANES : 0))...);
}

// even[0], odd[0], even[1]...: the lower or upper half.
template <bool UPPER>
inline Words in_order(Words even, Words odd) {
  return in_order<UPPER>(even, odd, std::make_integer_sequence<int, LANES>());
}

// What one thread works in.
struct Scratch {
  Buffer<uint8_t> expanded;
  Buffer<UnsignedWords> sums;
  explicit Scratch(int64_t rows) : expanded(DEPTH * STRIDE), sums(rows * 2 * VECTORS) {}
};

// out[M, columns of one block] = sums of table entries.
void table_block(const Table& table, const Offsets& offsets, const Scratch& scratch, const uint8_t* weights,
                 int32_t* out, int64_t rows, int64_t depth, int64_t channels, int64_t block) {
  const int64_t first = block * WIDTH, width = std::min(WIDTH, channels - first);
  const Buffer<uint8_t>& expanded = scratch.expanded;
  const Buffer<UnsignedWords>& sums = scratch.sums;
  std::memset((void*)sums.get(), 0, rows * 2 * ROW_BYTES);
  const AddRows add_some = adder(table.group);
  for (int64_t start = 0; start < depth; start += DEPTH) {
    for (int64_t k = 0; k < DEPTH; k++) {
      uint8_t* to = expanded.get() + k * STRIDE;
      if (start + k < depth)
        expand(table, weights + (start + k) * channels + first, width, offsets.wanted[start + k], to);
      else
        std::memset(to, 0, ROW_BYTES);
    }
    add_some(expanded.get(), offsets.offsets.get() + start * rows, rows, sums.get());
  }
  const UnsignedWords bias = (uint32_t)table.bias * (uint32_t)depth - UnsignedWords{};
  for (int64_t m = 0; m < rows; m++) {
    const UnsignedWords* from = sums.get() + m * 2 * VECTORS;
    int32_t* to = out + m * channels + first;
    alignas(64) int32_t edge[WIDTH];
    Unaligned* line = (Unaligned*)(width < WIDTH ? edge : to);
#pragma GCC unroll 4
    for (int v = 0; v < VECTORS; v++) {
      const Words odd = (Words)(from[VECTORS + v] - bias);
      const Words even = (Words)(from[v] - (from[VECTORS + v] << 16) - bias);
      line[2 * v] = in_order<false>(even, odd);
      line[2 * v + 1] = in_order<true>(even, odd);
    }
    if (width < WIDTH) std::memcpy(to, edge, width * 4);
  }
}

}  // namespace slipstick
