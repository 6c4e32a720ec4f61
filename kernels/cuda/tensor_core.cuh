// Convolutions on tensor cores, and linear layers as convolutions of one-pixel images: x and y are (image, row, column,
// channel), w is (output channel, row, column, input channel). The grid is (tiles, splits of K); tiles of the same rows are
// adjacent, so that they read these rows at about the same time.
//
//                     M               N     K
//   forward           pixels of y     o     (p, q, c)
//   input gradient    pixels of x     c     (p, q, o)
//                     of a phase
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

// This block's tile of a result with `columns` columns, or of one of several such results, whose tiles alternate.
template <class Shape> struct Place {
  int result, tile, row, column; // the tile's result, its row of tiles there, and its first row and column

  DEVICE explicit Place(int columns, int results = 1) {
    const int tiles = (columns + Shape::N - 1) / Shape::N, across = blockIdx.x / tiles;
    tile = across / results;
    result = across - tile * results;
    row = tile * Shape::M;
    column = (blockIdx.x - across * tiles) * Shape::N;
  }
};

DEVICE int steps_for(int length, int step) { return (length + step - 1) / step; }

// This split's part of the partial results of `numel` elements.
DEVICE float* partial_result(float* partials, int64_t numel) { return partials + blockIdx.y * numel; }

DEVICE void store_pair(float* to, float left, float right) { *(float2*)to = {left, right}; }
DEVICE void store_pair(uint16_t* to, float left, float right) {
  *(uint32_t*)to = to_bf16_pair(left, right);
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

// Writes the tile's first `rows` rows to a result with `columns` columns, row i to its row in_result(i).
template <class Access, class Shape, class T, class InResult>
DEVICE void store(T* to, typename Shape::Sums& sums, const Place<Shape>& place, int rows, int columns,
                  InResult in_result) {
#pragma unroll
  for (int i = 0; i < ROWS<Shape>; i++) {
    const int row = own_row<Shape>(i);
    if (row >= rows) break;
    T* const line = to + (int64_t)in_result(row) * columns;
#pragma unroll
    for (int j = 0; j < PAIRS<Shape>; j++) {
      const int column = place.column + own_column<Shape>(j);
      if (column < columns)
        Access::store(line + column, sums[i / 2][j][i % 2 * 2], sums[i / 2][j][i % 2 * 2 + 1], column + 1 < columns);
    }
  }
}

// Computes this split's share of the `terms` of each sum.
template <class Mode, class Access, class Shape, class SourceA, class SourceB>
DEVICE void multiply_share(typename Shape::Sums& sums, const Place<Shape>& place, SourceA a, SourceB b, int terms) {
  constexpr int K = Shape::template K<typename Mode::Element>;
  const int steps = steps_for(terms, K), share = steps_for(steps, gridDim.y);
  const int begin = min(steps, (int)blockIdx.y * share), end = min(steps, begin + share);
  multiply<Mode, Shape>(sums, Loader<SourceA, Shape, Access::template Copies>(a, place.row, begin * K),
                        Loader<SourceB, Shape, Access::template Copies>(b, place.column, begin * K), end - begin);
}

template <class Mode, class Access, class Shape, class Out, class T>
DEVICE void forward(Out* y, float* partials, float* moments, const T* x, const T* w, const float* bias,
                    const Convolution& s) {
  typename Shape::Sums sums = {};
  const Place<Shape> place(s.o);
  const int pixels = s.n * s.oh * s.ow;
  multiply_share<Mode, Access>(sums, place, Patches<T>{x, s}, Filters<T>{w, s}, s.kh * s.kw * s.c);
  const auto in_y = [&](int i) { return place.row + i; };
  const int rows = pixels - place.row;
  if (partials) return store<Access>(partial_result(partials, (int64_t)pixels * s.o), sums, place, rows, s.o, in_y);
  if (bias)
    for_each_pair<Shape>(sums, [&](int, int j, float& left, float& right) {
      const int o = place.column + j;
      left += o < s.o ? bias[o] : 0.0f;
      right += o + 1 < s.o ? bias[o + 1] : 0.0f;
    });
  store<Access>(y, sums, place, rows, s.o, in_y);
  if (moments)
    write_moments<Out, Shape>(moments, sums, rows, place.tile, steps_for(pixels, Shape::M), place.column, s.o);
}

template <class Mode, class Access, class Shape, class Out, class T>
DEVICE void input_gradient(Out* dx, float* partials, const T* dy, const T* w, const Convolution& s, const Phases& phases) {
  typename Shape::Sums sums = {};
  const Place<Shape> place(s.c, phases.count[0] * phases.count[1]);
  const TilePhase phase(place.result, s, phases);
  const int rows = phase.pixels(s) - place.row;
  if (rows <= 0) return;
  multiply_share<Mode, Access>(sums, place, GradientPatches<T>{dy, s, phase}, FilterChannels<T>{w, s, phase},
                               phase.terms(s));
  const auto in_dx = [&](int i) { return phase.in_x(place.row + i, s); };
  const int64_t numel = (int64_t)s.n * s.h * s.w * s.c;
  if (partials) return store<Access>(partial_result(partials, numel), sums, place, rows, s.c, in_dx);
  store<Access>(dx, sums, place, rows, s.c, in_dx);
}

// Split i writes dw, and optionally db, at an offset of i · `apart`.
template <class Mode, class Access, class Shape, class T>
DEVICE void weight_gradient(float* dw, float* db, int64_t apart, const T* dy, const T* x, const T* ones,
                            const Convolution& s) {
  typename Shape::Sums sums = {};
  const Place<Shape> place(s.o);
  const int length = s.kh * s.kw * s.c;
  multiply_share<Mode, Access>(sums, place, PatchPixels<T>{x, ones, s}, GradientPixels<T>{dy, s}, s.n * s.oh * s.ow);
  dw += blockIdx.y * apart;
  db += blockIdx.y * apart;
  for_each_pair<Shape>(sums, [&](int i, int j, float left, float right) {
    const int row = place.row + i, o = place.column + j;
    if (row > length || (row == length && !ones)) return;
    float* to = row < length ? dw + row : db;
    const int64_t step = row < length ? length : 1;
    if (o < s.o) to[o * step] = left;
    if (o + 1 < s.o) to[(o + 1) * step] = right;
  });
}

// `blocks` are those per multiprocessor for which registers are reserved; without this the assembler spills registers to fit
// a fourth block of some kernels.
#define BOUNDS(blocks) TILE_THREADS, blocks
#define RESULTS(blocks, kind, Mode, Access, Shape, Out)                                                                \
  KERNEL(BOUNDS(blocks), conv_forward_##kind, Out* y, float* partials, float* moments, const Mode::Element* x,                 \
         const Mode::Element* w, const float* bias, Convolution s) {                                                   \
    forward<Mode, Access, Shape>(y, partials, moments, x, w, bias, s);                                                 \
  }                                                                                                                    \
  KERNEL(BOUNDS(blocks), conv_input_gradient_##kind, Out* dx, float* partials, const Mode::Element* dy,                        \
         const Mode::Element* w, Convolution s, Phases phases) {                                                       \
    input_gradient<Mode, Access, Shape>(dx, partials, dy, w, s, phases);                                               \
  }
#define PRODUCTS(blocks, kind, Mode, Access, Shape)                                                                    \
  RESULTS(blocks, kind, Mode, Access, Shape, Mode::Element)                                                            \
  KERNEL(BOUNDS(blocks), conv_weight_gradient_##kind, float* dw, float* db, int64_t apart, const Mode::Element* dy,            \
         const Mode::Element* x, const Mode::Element* ones, Convolution s) {                                           \
    weight_gradient<Mode, Access, Shape>(dw, db, apart, dy, x, ones, s);                                               \
  }
