// Convolutions on the tensor cores, and with images of one pixel linear layers: x and y are (image, row, column,
// channel), w is (output channel, row, column, input channel). The grid is (tiles of M, tiles of N, splits of K).
//
//                     M               N     K
//   forward           pixels of y     o     (p, q, c)
//   input gradient    pixels of x     c     (p, q, o)
//   weight gradient   (p, q, c)       o     pixels of y
//
// The weight gradient's rows are the longer axis of w, since a tile is higher than wide and o is often no more than 64.
//
// Where K is split, each split writes its sums to `partials`, (splits, the result's elements), for add_splits of
// product.cu to add up.
#include "convolution.cuh"
#include "moments.cuh"

DEVICE int first_row() { return blockIdx.x * TILE_M; }
DEVICE int first_column() { return blockIdx.y * TILE_N; }

DEVICE int steps_for(int length, int step) { return (length + step - 1) / step; }

// This split's steps along K.
struct Share {
  int begin, end;

  DEVICE explicit Share(int steps) {
    const int share = steps_for(steps, gridDim.z);
    begin = min(steps, (int)blockIdx.z * share);
    end = min(steps, begin + share);
  }
};

// This split's part of the partial results of `numel` elements.
DEVICE float* partial_result(float* partials, int64_t numel) { return partials + blockIdx.z * numel; }

DEVICE void store_pair(float* to, float left, float right) { *(float2*)to = {left, right}; }
DEVICE void store_pair(uint16_t* to, float left, float right) {
  *(uint32_t*)to = to_bf16(left) | (uint32_t)to_bf16(right) << 16;
}

// Writes the tile to a result of rows × columns.
template <class T> DEVICE void store(T* to, Sums& sums, int rows, int columns) {
  for_each_pair(sums, [&](int i, int j, float left, float right) {
    const int row = first_row() + i, column = first_column() + j;
    if (row < rows && column < columns) store_pair(to + (int64_t)row * columns + column, left, right);
  });
}

// A sum's first step is where its loaders begin.
template <class Mode, class T>
DEVICE void forward(T* y, float* partials, float* moments, const T* x, const T* w, const float* bias,
                    const Convolution& s) {
  Sums sums = {};
  const int pixels = s.n * s.oh * s.ow;
  const Share share(steps_for(s.kh * s.kw * s.c, TILE_K<T>));
  const int first = share.begin * TILE_K<T>;
  multiply<Mode>(sums, Patches<T>(x, s, first_row(), first), Filters<T>(w, s, first_column(), first),
                 share.end - share.begin);
  if (partials) return store(partial_result(partials, (int64_t)pixels * s.o), sums, pixels, s.o);
  if (bias)
    for_each_pair(sums, [&](int, int j, float& left, float& right) {
      const int o = first_column() + j;
      left += o < s.o ? bias[o] : 0.0f;
      right += o < s.o ? bias[o + 1] : 0.0f;
    });
  store(y, sums, pixels, s.o);
  if (moments) write_moments<T>(moments, sums, pixels - first_row(), first_column(), s.o);
}

template <class Mode, class T>
DEVICE void input_gradient(T* dx, float* partials, const T* dy, const T* w, const Convolution& s) {
  Sums sums = {};
  const int pixels = s.n * s.h * s.w;
  const Share share(steps_for(s.kh * s.kw * s.o, TILE_K<T>));
  const int first = share.begin * TILE_K<T>;
  multiply<Mode>(sums, GradientPatches<T>(dy, s, first_row(), first), FilterChannels<T>(w, s, first_column(), first),
                 share.end - share.begin);
  if (partials) return store(partial_result(partials, (int64_t)pixels * s.c), sums, pixels, s.c);
  store(dx, sums, pixels, s.c);
}

// Always of splits, of which there may be one.
template <class Mode, class T>
DEVICE void weight_gradient(float* partials, const T* dy, const T* x, const Convolution& s) {
  Sums sums = {};
  const Share share(steps_for(s.n * s.oh * s.ow, TILE_K<T>));
  const int first = share.begin * TILE_K<T>;
  multiply<Mode>(sums, PatchPixels<T>(x, s, first_row(), first), GradientPixels<T>(dy, s, first_column(), first),
                 share.end - share.begin);
  const int length = s.kh * s.kw * s.c;
  float* partial = partial_result(partials, (int64_t)s.o * length);
  for_each_pair(sums, [&](int i, int j, float left, float right) {
    const int row = first_row() + i, o = first_column() + j;
    if (row >= length || o >= s.o) return;
    partial[(int64_t)o * length + row] = left;
    partial[(int64_t)(o + 1) * length + row] = right;
  });
}

// A block's threads, and how many blocks a multiprocessor must have registers for: left to itself, the assembler makes
// room for a fourth of some kernels by spilling.
#define BOUNDS_tf32 TILE_THREADS, 3
#define BOUNDS_tf32x3 TILE_THREADS, 2
#define BOUNDS_bf16 TILE_THREADS, 3
#define PRODUCTS(mode, Mode)                                                                                           \
  KERNEL(BOUNDS_##mode, conv_forward_##mode, Mode::Element* y, float* partials, float* moments,                        \
         const Mode::Element* x, const Mode::Element* w, const float* bias, Convolution s) {                           \
    forward<Mode>(y, partials, moments, x, w, bias, s);                                                                \
  }                                                                                                                    \
  KERNEL(BOUNDS_##mode, conv_input_gradient_##mode, Mode::Element* dx, float* partials, const Mode::Element* dy,       \
         const Mode::Element* w, Convolution s) {                                                                      \
    input_gradient<Mode>(dx, partials, dy, w, s);                                                                      \
  }                                                                                                                    \
  KERNEL(BOUNDS_##mode, conv_weight_gradient_##mode, float* partials, const Mode::Element* dy, const Mode::Element* x, \
         Convolution s) {                                                                                              \
    weight_gradient<Mode>(partials, dy, x, s);                                                                         \
  }
PRODUCTS(tf32, Tf32)
PRODUCTS(tf32x3, Tf32x3)
PRODUCTS(bf16, Bf16)
#undef PRODUCTS
#undef BOUNDS_tf32
#undef BOUNDS_tf32x3
#undef BOUNDS_bf16
