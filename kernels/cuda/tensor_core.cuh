// Convolutions on tensor cores, and linear layers as convolutions of one-pixel images: x and y are (image, row, column,
// channel), w is (output channel, row, column, input channel). The grid is (tiles of M, tiles of N, splits of K).
//
//                     M               N     K
//   forward           pixels of y     o     (p, q, c)
//   input gradient    pixels of x     c     (p, q, o)
//   weight gradient   (p, q, c)       o     pixels of y
//                     and the bias
//
// The rows of the weight gradient are the longer axis of w, since a tile has more rows than columns and o is often at most
// 64.
//
// With split-K, each split writes its sums to `partials` (splits, elements of the result), which split_k.cu sums.
//
// Each precision is a file of its own, since the driver compiles a file as a whole when its first kernel is used.
#pragma once
#include "convolution.cuh"
#include "moments.cuh"

DEVICE int first_row() { return blockIdx.x * TILE_M; }
DEVICE int first_column() { return blockIdx.y * TILE_N; }

DEVICE int steps_for(int length, int step) { return (length + step - 1) / step; }

// This split's part of the partial results of `numel` elements.
DEVICE float* partial_result(float* partials, int64_t numel) { return partials + blockIdx.z * numel; }

DEVICE void store_pair(float* to, float left, float right) { *(float2*)to = {left, right}; }
DEVICE void store_pair(uint16_t* to, float left, float right) {
  *(uint32_t*)to = to_bf16(left) | (uint32_t)to_bf16(right) << 16;
}

// Load and store by whole 16-byte chunks of channels; results are stored in pairs.
struct Aligned {
  template <class T, class Tile> using Copies = Chunks<T, Tile>;
  template <class T> static DEVICE void store(T* to, float left, float right, bool) { store_pair(to, left, right); }
};
// Load and store element by element, for any number of channels.
struct Unaligned {
  template <class T, class Tile> using Copies = Singles<T, Tile>;
  static DEVICE void store(float* to, float left, float right, bool both) {
    to[0] = left;
    if (both) to[1] = right;
  }
  // Results are bf16 in whole chunks only.
  static DEVICE void store(uint16_t* to, float left, float right, bool) { store_pair(to, left, right); }
};

// Writes the tile to a result of rows × columns.
template <class Access, class T> DEVICE void store(T* to, Sums& sums, int rows, int columns) {
  for_each_pair(sums, [&](int i, int j, float left, float right) {
    const int row = first_row() + i, column = first_column() + j;
    if (row < rows && column < columns)
      Access::store(to + (int64_t)row * columns + column, left, right, column + 1 < columns);
  });
}

// Computes this split's share of the `terms` of each sum.
template <class Mode, class Access, class SourceA, class SourceB>
DEVICE void multiply_share(Sums& sums, SourceA a, SourceB b, int terms) {
  using T = typename Mode::Element;
  const int steps = steps_for(terms, TILE_K<T>), share = steps_for(steps, gridDim.z);
  const int begin = min(steps, (int)blockIdx.z * share), end = min(steps, begin + share);
  multiply<Mode>(sums, Loader<SourceA, Access::template Copies>(a, first_row(), begin * TILE_K<T>),
                 Loader<SourceB, Access::template Copies>(b, first_column(), begin * TILE_K<T>), end - begin);
}

template <class Mode, class Access, class Out, class T>
DEVICE void forward(Out* y, float* partials, float* moments, const T* x, const T* w, const float* bias,
                    const Convolution& s) {
  Sums sums = {};
  const int pixels = s.n * s.oh * s.ow;
  multiply_share<Mode, Access>(sums, Patches<T>{x, s}, Filters<T>{w, s}, s.kh * s.kw * s.c);
  if (partials) return store<Access>(partial_result(partials, (int64_t)pixels * s.o), sums, pixels, s.o);
  if (bias)
    for_each_pair(sums, [&](int, int j, float& left, float& right) {
      const int o = first_column() + j;
      left += o < s.o ? bias[o] : 0.0f;
      right += o + 1 < s.o ? bias[o + 1] : 0.0f;
    });
  store<Access>(y, sums, pixels, s.o);
  if (moments) write_moments<Out>(moments, sums, pixels - first_row(), first_column(), s.o);
}

template <class Mode, class Access, class Out, class T>
DEVICE void input_gradient(Out* dx, float* partials, const T* dy, const T* w, const Convolution& s) {
  Sums sums = {};
  const int pixels = s.n * s.h * s.w;
  multiply_share<Mode, Access>(sums, GradientPatches<T>{dy, s}, FilterChannels<T>{w, s}, s.kh * s.kw * s.o);
  if (partials) return store<Access>(partial_result(partials, (int64_t)pixels * s.c), sums, pixels, s.c);
  store<Access>(dx, sums, pixels, s.c);
}

// Split z writes dw, and optionally db, at an offset of z · `apart`.
template <class Mode, class Access, class T>
DEVICE void weight_gradient(float* dw, float* db, int64_t apart, const T* dy, const T* x, const T* ones,
                            const Convolution& s) {
  Sums sums = {};
  const int length = s.kh * s.kw * s.c;
  multiply_share<Mode, Access>(sums, PatchPixels<T>{x, ones, s}, GradientPixels<T>{dy, s}, s.n * s.oh * s.ow);
  dw += blockIdx.z * apart;
  db += blockIdx.z * apart;
  for_each_pair(sums, [&](int i, int j, float left, float right) {
    const int row = first_row() + i, o = first_column() + j;
    if (row > length || (row == length && !ones)) return;
    float* to = row < length ? dw + row : db;
    const int64_t step = row < length ? length : 1;
    if (o < s.o) to[o * step] = left;
    if (o + 1 < s.o) to[(o + 1) * step] = right;
  });
}

// BOUNDS, which a file defines, are the threads per block and the blocks per multiprocessor for which registers are reserved;
// without this the assembler spills registers to fit a fourth block of some kernels.
#define RESULTS(kind, Mode, Access, Out)                                                                               \
  KERNEL(BOUNDS, conv_forward_##kind, Out* y, float* partials, float* moments, const Mode::Element* x,                 \
         const Mode::Element* w, const float* bias, Convolution s) {                                                   \
    forward<Mode, Access>(y, partials, moments, x, w, bias, s);                                                        \
  }                                                                                                                    \
  KERNEL(BOUNDS, conv_input_gradient_##kind, Out* dx, float* partials, const Mode::Element* dy,                        \
         const Mode::Element* w, Convolution s) {                                                                      \
    input_gradient<Mode, Access>(dx, partials, dy, w, s);                                                              \
  }
#define PRODUCTS(kind, Mode, Access)                                                                                   \
  RESULTS(kind, Mode, Access, Mode::Element)                                                                           \
  KERNEL(BOUNDS, conv_weight_gradient_##kind, float* dw, float* db, int64_t apart, const Mode::Element* dy,            \
         const Mode::Element* x, const Mode::Element* ones, Convolution s) {                                           \
    weight_gradient<Mode, Access>(dw, db, apart, dy, x, ones, s);                                                      \
  }
