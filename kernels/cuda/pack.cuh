// Packs of adjacent elements that are loaded and stored at once, 16 bytes; a single element if PACK is 1.
#pragma once
#include "bf16.cuh"

struct __align__(16) Words {
  uint32_t word[4];
};

DEVICE Words* words_at(const void* place) {
#ifdef CUDA_CPU
  // A GPU would trap here.
  if ((uintptr_t)place & 15) cpu::die("16 bytes begin at an address that is not a multiple of 16");
#endif
  return (Words*)place;
}

template <class T, class S> DEVICE void read(T (&values)[1], const S* from) { values[0] = T(*from); }
template <class T, class S> DEVICE void write(S* to, const T (&values)[1]) { *to = S(values[0]); }

DEVICE void read(float (&values)[4], const float* from) {
  const Words words = *words_at(from);
#pragma unroll
  for (int k = 0; k < 4; k++) values[k] = __uint_as_float(words.word[k]);
}
DEVICE void write(float* to, const float (&values)[4]) {
  Words words;
#pragma unroll
  for (int k = 0; k < 4; k++) words.word[k] = __float_as_uint(values[k]);
  *words_at(to) = words;
}

DEVICE void read(float (&values)[8], const bf16* from) {
  const Words words = *words_at(from);
#pragma unroll
  for (int k = 0; k < 4; k++) {
    values[2 * k] = __uint_as_float(words.word[k] << 16);
    values[2 * k + 1] = __uint_as_float(words.word[k] & 0xffff0000u);
  }
}
DEVICE void write(bf16* to, const float (&values)[8]) {
  Words words;
#pragma unroll
  for (int k = 0; k < 4; k++) words.word[k] = to_bf16(values[2 * k]) | (uint32_t)to_bf16(values[2 * k + 1]) << 16;
  *words_at(to) = words;
}
