// Approximate matrix products on a CPU: 8-bit codes, int32 sums that are exact modulo 2^32.
//
// Two kernels, both split over column panels so that threads share no output:
//   factor: sum_k sum_r left[a][r] * right[w][r], 16-bit factors, by multiply-add of pairs;
//   table:  sum_k table[w][a], any table, by adding expanded rows (below).
// Written with the vector extensions of GCC and Clang for whatever width the target has; the C interface
// at the end is bound through ctypes. Nothing is global: calls may run side by side.

#include <algorithm>
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

// Keeps the value in a register here: left alone, GCC 12 spills accumulators inside the hot loops.
#if defined(__x86_64__)
#define IN_REGISTER(value) asm("" : "+x"(value))
#elif defined(__aarch64__)
#define IN_REGISTER(value) asm("" : "+w"(value))
#else
#define IN_REGISTER(value) ((void)0)
#endif

namespace {

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

// work(i, scratch) for i below count, on up to `threads` threads, each with the scratch that make() gives it.
template <typename Make, typename Work>
void parallel(int64_t count, int threads, const Make& make, const Work& work) {
  const int64_t workers = std::min<int64_t>(std::max(threads, 1), count);
  auto share = [&](int64_t first) {
    auto scratch = make();
    for (int64_t i = first; i < count; i += workers) work(i, scratch);
  };
  std::vector<std::thread> others;
  for (int64_t t = 1; t < workers; t++) others.emplace_back(share, t);
  share(0);
  for (auto& other : others) other.join();
}

template <typename Work>
void parallel(int64_t count, int threads, const Work& work) {
  parallel(count, threads, [] { return 0; }, [&](int64_t i, int) { work(i); });
}

// ---- factor kernel ------------------------------------------------------------------------------------

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
      IN_REGISTER(sums[m][0]);
      IN_REGISTER(sums[m][1]);
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

// ---- table kernel -------------------------------------------------------------------------------------
//
// For 8 reduction indices and 32 columns at a time, every row that an activation can choose is written
// out: expanded[k][index][n] = table[w[k, n]][index], 64 bytes a row. Each activation then adds one row.
// Entries are 16 bits and not negative; GROUP rows are added before a 16-bit lane could overflow. Read as
// 32-bit lanes (odd column << 16 | even column), the sums add up to even + (odd << 16) modulo 2^32, their
// upper halves to odd: two additions and a shift keep 32-bit sums of both, and no lane can overflow.

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

  Offsets(const Table& table, const uint8_t* codes, int64_t rows, int64_t depth)
      : offsets(ceil_div(depth, DEPTH) * DEPTH * rows), wanted(ceil_div(depth, DEPTH) * DEPTH, 0) {
    uint16_t offset[256];
    uint32_t bit[256];
    for (int code = 0; code < 256; code++) {
      offset[code] = (uint16_t)(table.index[code] * ROW_BYTES);
      bit[code] = 1u << (table.index[code] / 8);
    }
    uint16_t* to = offsets.get();
    for (int64_t start = 0; start < depth; start += DEPTH) {
      const int64_t count = std::min(DEPTH, depth - start);
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
    }
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

}  // namespace

extern "C" {

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
      const Offsets offsets(table, codes + i * rows * depth, rows, depth);
      for (int64_t block = 0; block < blocks; block++) matrix(offsets, scratch, i, block);
    });
    return;
  }
  for (int64_t i = 0; i < batch; i++) {
    const Offsets offsets(table, codes + i * rows * depth, rows, depth);
    parallel(blocks, threads, make,
             [&](int64_t block, const Scratch& scratch) { matrix(offsets, scratch, i, block); });
  }
}
}
