// A hash of memory as fast as reading it, to tell whether a tensor still holds the same numbers.
#pragma once

#include "common.hpp"

namespace slipstick {

typedef uint64_t Hashes __attribute__((vector_size(64)));  // eight lanes, whatever the target's vectors
typedef uint64_t UnalignedHashes __attribute__((vector_size(64), aligned(1), may_alias));

constexpr int64_t STRIPE = sizeof(Hashes), PIECE = 1 << 18;  // bytes that are read at once, and of one thread's share
constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15, PRIME = 0xD6E8FEB86659FD93;

inline uint64_t mixed(uint64_t x) {
  x = (x ^ (x >> 32)) * PRIME;
  x = (x ^ (x >> 32)) * PRIME;
  return x ^ (x >> 32);
}

// Products of the halves of words that a key of their place has changed, as in XXH3: equal words elsewhere count
// otherwise. The words themselves are added too, since a product forgets one factor beside a zero.
inline Hashes absorb(Hashes sum, Hashes words, Hashes& key) {
  const Hashes keyed = words ^ key;
  sum += (keyed & 0xFFFFFFFF) * (keyed >> 32) + ((words << 32) | (words >> 32));
  key += GOLDEN;
  return sum;
}

inline uint64_t hash_piece(const uint8_t* data, int64_t size, uint64_t seed) {
  Hashes key = {seed, ~seed, seed * 3, seed * 5, seed * 7, seed * 9, seed * 11, seed * 13}, sum = key * PRIME;
  int64_t at = 0;
  for (int64_t n = 0; at + STRIPE <= size; at += STRIPE, n++) {
    sum = absorb(sum, *(const UnalignedHashes*)(data + at), key);
    if (n % 16 == 15) sum = (sum ^ (sum >> 47) ^ key) * PRIME;
  }
  Hashes rest = {};
  std::memcpy(&rest, data + at, size - at);
  sum = absorb(sum, rest, key);
  uint64_t result = mixed(size + seed);
  for (int lane = 0; lane < 8; lane++) result = mixed(result ^ mixed(sum[lane] + lane * GOLDEN));
  return result;
}

// Of all bytes, the same for any number of threads.
inline uint64_t hash(const uint8_t* data, int64_t size, int threads) {
  const int64_t pieces = std::max<int64_t>(1, ceil_div(size, PIECE));
  std::vector<uint64_t> found(pieces);
  parallel(pieces, size < 4 * PIECE ? 1 : threads, [&](int64_t i) {
    found[i] = hash_piece(data + i * PIECE, std::min(PIECE, size - i * PIECE), mixed((i + 1) * GOLDEN));
  });
  uint64_t result = mixed(size + GOLDEN);
  for (const uint64_t piece : found) result = mixed(result ^ piece) + GOLDEN;
  return result;
}

}  // namespace slipstick
