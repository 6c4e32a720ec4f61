// bf16, the upper half of a float: a storage format for activations. Arithmetic is in float.
#pragma once
#include "prelude.cuh"

DEVICE float from_bf16(uint16_t x) { return __uint_as_float((uint32_t)x << 16); }

// Rounds to the nearest bf16, ties to even. NaN is handled separately: rounding up could make it an infinity or zero.
DEVICE uint16_t to_bf16(float x) {
  const uint32_t bits = __float_as_uint(x);
  return (uint16_t)((is_nan(x) ? bits | 0x400000u : bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

// An element that is converted to float when read and rounded when written.
struct bf16 {
  uint16_t bits;
  bf16() = default;
  DEVICE bf16(float x) : bits(to_bf16(x)) {}
  DEVICE operator float() const { return from_bf16(bits); }
};
