// The random number generator of crates/tensor/src/random.rs.
#pragma once
#include "prelude.cuh"

// The key of a stream: `Key` in random.rs.
struct Key {
  uint64_t seed;
  uint32_t purpose, step, sample;
};

struct Words {
  uint32_t word[4];
};

// Philox4x32-10 (Salmon et al.: "Parallel random numbers: as easy as 1, 2, 3", 2011).
DEVICE Words block(const Key& key, uint64_t index) {
  uint32_t a = (uint32_t)index, b = key.sample + (uint32_t)(index >> 32), c = key.step, d = key.purpose;
  uint32_t k0 = (uint32_t)key.seed, k1 = (uint32_t)(key.seed >> 32);
#pragma unroll
  for (int round = 0; round < 10; round++) {
    const uint32_t low_a = a * 0xD2511F53u, low_c = c * 0xCD9E8D57u;
    const uint32_t high_a = __umulhi(a, 0xD2511F53u), high_c = __umulhi(c, 0xCD9E8D57u);
    a = high_c ^ b ^ k0;
    b = low_c;
    c = high_a ^ d ^ k1;
    d = low_a;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{a, b, c, d}};
}
