// Sine, cosine and tangent of an angle in radians, as crates/tensor/src/cpu/math/circular.rs derives them. CUDA's own keep an
// array in local memory for large angles.
#pragma once
#include "prelude.cuh"

// 2/π in fixed point: a word before the point, and as many bits after it as the largest double asks for.
TABLE uint64_t TWO_OVER_PI[20] = {
    0, 0xa2f9836e4e441529u, 0xfc2757d1f534ddc0u, 0xdb6295993c439041u, 0xfe5163abdebbc561u,
    0xb7246e3a424dd2e0u, 0x06492eea09d1921cu, 0xfe1deb1cb129a73eu, 0xe88235f52ebb4484u, 0xe99c7026b45f7e41u,
    0x3991d639835339f4u, 0x9c845f8bbdf9283bu, 0x1ff897ffde05980fu, 0xef2f118b5a0a6d1fu, 0x6d367ecf27cb09b7u,
    0x4f463f669e5fea2du, 0x7527bac7ebe5f17bu, 0x3d0739f78a5292eau, 0x6bfb5fb11f8d5d08u, 0x56033046fc7b6babu};

// x = quarter·π/2 + r + low, |r| ≤ π/4.
template <class T> struct Angle {
  int quarter;
  T r, low;
};

// The four parts of π/2; the products of the first three with k, and the first two differences, are exact.
DEVICE Angle<double> reduce_near(double x) {
  const double k = rint(x * 0.63661977236758134308);
  const double exact = (x - k * 1.5707963109016418) - k * 1.5893254712295857e-08;
  const double third = k * 6.123233932053594e-17;
  const double sum = exact - third, taken = sum - exact;
  const double lost = (exact - (sum - taken)) - (third + taken);
  const double low = lost - k * 6.36831716351095e-25, r = sum + low;
  return {(int)k & 3, r, low - (r - sum)};
}

// The 128 bits of a · b.
DEVICE uint64_t multiply_wide(uint64_t a, uint64_t b, uint64_t& high) {
  const uint64_t a0 = (uint32_t)a, a1 = a >> 32, b0 = (uint32_t)b, b1 = b >> 32;
  const uint64_t low = a0 * b0, left = a1 * b0 + (low >> 32), right = a0 * b1 + (uint32_t)left;
  high = a1 * b1 + (left >> 32) + (right >> 32);
  return right << 32 | (uint32_t)low;
}

// 64 bits of 2/π from a place on.
DEVICE uint64_t window(int place) {
  const int word = place >> 6, shift = place & 63;
  return TWO_OVER_PI[word] << shift | (shift ? TWO_OVER_PI[word + 1] >> (64 - shift) : 0);
}

// |x|·2/π modulo 4 in fixed point, 190 bits after the point, without the bits of 2/π that stand for multiples of 4.
DEVICE Angle<double> reduce_far(double x) {
  const uint64_t bits = (uint64_t)__double_as_longlong(x);
  const int exponent = (int)(bits >> 52 & 0x7ff), place = exponent - 1013;
  if (exponent == 0x7ff) return {0, x - x, 0.0};
  const uint64_t whole = (bits & 0xfffffffffffffull) | 1ull << 52;
  uint64_t carry, above, unused;
  const uint64_t third = multiply_wide(whole, window(place + 128), carry);
  uint64_t second = multiply_wide(whole, window(place + 64), above);
  second += carry;
  above += second < carry;
  const uint64_t first = multiply_wide(whole, window(place), unused) + above;
  // The fraction in 128 bits; beyond a half it is negative, and the next multiple of π/2 is nearer.
  uint64_t high = first << 2 | second >> 62, low = second << 2 | third >> 62;
  const bool beyond = high >> 63;
  const int quarter = (int)(first >> 62) + beyond;
  if (beyond) {
    low = ~low + 1;
    high = ~high + (low == 0);
  }
  const int shift = __clzll((long long)high);
  // At most 61: no double is nearer to a multiple of π/2.
  if (shift) {
    high = high << shift | low >> (64 - shift);
    low <<= shift;
  }
  const double unit = __longlong_as_double((long long)(1023 - 53 - shift) << 52);
  const double big = (double)(high >> 11) * unit;
  const double small = (double)((high & 0x7ff) << 42 | low >> 22) * unit * 1.1102230246251565e-16;
  const double right = 1.5707963267948966, product = big * right;
  const double rest = fma(big, right, -product) + (big * 6.123233995736766e-17 + small * right);
  const double r = product + rest, left = rest - (r - product);
  const bool back = beyond != (x < 0.0);
  return {(x < 0.0 ? 4 - quarter : quarter) & 3, back ? -r : r, back ? -left : left};
}

DEVICE Angle<double> reduce(double x) { return fabs(x) <= 1048576.0 ? reduce_near(x) : reduce_far(x); }
DEVICE Angle<float> reduce(float x) {
  const Angle<double> a = reduce((double)x);
  const float r = (float)a.r;
  return {a.quarter, r, (float)((a.r - r) + a.low)};
}

// (sin(r)/r - 1)/r² and (cos(r) - 1 + r²/2)/r⁴ in z = r².
DEVICE float sine_tail(float z) { return (-1.951525e-4f * z + 8.33216e-3f) * z + -1.6666655e-1f; }
DEVICE float cosine_tail(float z) { return (2.4433122e-5f * z + -1.3887316e-3f) * z + 4.1666646e-2f; }
DEVICE double sine_tail(double z) {
  return ((((1.5896215487495888e-10 * z + -2.5050747518918035e-8) * z + 2.755731361989038e-6) * z + -1.9841269829585427e-4) * z + 8.333333333322113e-3) * z + -1.666666666666663e-1;
}
DEVICE double cosine_tail(double z) {
  return ((((-1.1358526099583867e-11 * z + 2.087570064646113e-9) * z + -2.755731417790346e-7) * z + 2.4801587288847052e-5) * z + -1.388888888887305e-3) * z + 4.1666666666666595e-2;
}

template <class T> DEVICE void sine_and_cosine(const Angle<T>& a, T& sine, T& cosine) {
  const T z = a.r * a.r, half = T(0.5) * z, rest = T(1) - half;
  sine = a.r + (a.r * z * sine_tail(z) + a.low * rest);
  cosine = rest + (((T(1) - rest) - half) + (z * z * cosine_tail(z) - a.r * a.low));
}

// sin(x) for from = 0, cos(x) for from = 1.
template <class T> DEVICE T circular(T x, int from) {
  const Angle<T> a = reduce(x);
  T sine, cosine;
  sine_and_cosine(a, sine, cosine);
  const int quarter = a.quarter + from;
  const T y = quarter & 1 ? cosine : sine;
  return quarter & 2 ? -y : y;
}
// x itself where it is tiny, so that the sign of 0 stays.
template <class T> DEVICE T sine(T x) { return abs_of(x) < T(5e-17) ? x : circular(x, 0); }
template <class T> DEVICE T cosine(T x) { return circular(x, 1); }
template <class T> DEVICE T tangent(T x) {
  const Angle<T> a = reduce(x);
  T sine, cosine;
  sine_and_cosine(a, sine, cosine);
  return abs_of(x) < T(5e-17) ? x : a.quarter & 1 ? -(cosine / sine) : sine / cosine;
}
