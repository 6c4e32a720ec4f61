// Convolutions on the tensor cores, and with images of one pixel linear layers: x and y are (image, row, column,
// channel), w is (output channel, row, column, input channel). The grid is (tiles of M, tiles of N, splits).
//
//                     M               N     K
//   forward           pixels of y     o     (p, q, c)
//   input gradient    pixels of x     c     (p, q, o)
//   weight gradient   (p, q, c)       o     pixels of y
//
// The weight gradient's rows are the longer axis of w, since a tile is higher than wide and o is often no more than 64.
#include "convolution.cuh"

DEVICE int first_row() { return blockIdx.x * TILE_M; }
DEVICE int first_column() { return blockIdx.y * TILE_N; }

DEVICE int steps_for(int length, int step) { return (length + step - 1) / step; }

DEVICE void store_pair(float* to, float left, float right) { *(float2*)to = {left, right}; }
DEVICE void store_pair(uint16_t* to, float left, float right) {
  *(uint32_t*)to = to_bf16(left) | (uint32_t)to_bf16(right) << 16;
}

template <class Mode, class T>
DEVICE void forward(T* y, const T* x, const T* w, const float* bias, const Convolution& s) {
  Sums sums = {};
  const int steps = steps_for(s.kh * s.kw * s.c, TILE_K<T>), pixels = s.n * s.oh * s.ow;
  multiply<Mode>(sums, Patches<T>(x, s, first_row()), Filters<T>(w, s, first_column()), steps);
  for_each_pair(sums, [&](int i, int j, float left, float right) {
    const int pixel = first_row() + i, o = first_column() + j;
    if (pixel >= pixels || o >= s.o) return;
    if (bias) {
      left += bias[o];
      right += bias[o + 1];
    }
    store_pair(y + (int64_t)pixel * s.o + o, left, right);
  });
}

template <class Mode, class T> DEVICE void input_gradient(T* dx, const T* dy, const T* w, const Convolution& s) {
  Sums sums = {};
  const int steps = steps_for(s.kh * s.kw * s.o, TILE_K<T>), pixels = s.n * s.h * s.w;
  multiply<Mode>(sums, GradientPatches<T>(dy, s, first_row()), FilterChannels<T>(w, s, first_column()), steps);
  for_each_pair(sums, [&](int i, int j, float left, float right) {
    const int pixel = first_row() + i, c = first_column() + j;
    if (pixel < pixels && c < s.c) store_pair(dx + (int64_t)pixel * s.c + c, left, right);
  });
}

// Split z adds up its share of the pixels; partials is (splits, o, p, q, c).
template <class Mode, class T>
DEVICE void weight_gradient(float* partials, const T* dy, const T* x, const Convolution& s, int splits) {
  Sums sums = {};
  const int steps = steps_for(s.n * s.oh * s.ow, TILE_K<T>), share = steps_for(steps, splits);
  const int begin = min(steps, (int)blockIdx.z * share), end = min(steps, begin + share);
  multiply<Mode>(sums, PatchPixels<T>(x, s, first_row(), begin * TILE_K<T>),
                 GradientPixels<T>(dy, s, first_column(), begin * TILE_K<T>), end - begin);
  const int length = s.kh * s.kw * s.c;
  float* partial = partials + (int64_t)blockIdx.z * s.o * length;
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
  KERNEL(BOUNDS_##mode, conv_forward_##mode, Mode::Element* y, const Mode::Element* x, const Mode::Element* w,         \
         const float* bias, Convolution s) {                                                                           \
    forward<Mode>(y, x, w, bias, s);                                                                                   \
  }                                                                                                                    \
  KERNEL(BOUNDS_##mode, conv_input_gradient_##mode, Mode::Element* dx, const Mode::Element* dy, const Mode::Element* w,\
         Convolution s) {                                                                                              \
    input_gradient<Mode>(dx, dy, w, s);                                                                                \
  }                                                                                                                    \
  KERNEL(BOUNDS_##mode, conv_weight_gradient_##mode, float* partials, const Mode::Element* dy, const Mode::Element* x, \
         Convolution s, int splits) {                                                                                  \
    weight_gradient<Mode>(partials, dy, x, s, splits);                                                                 \
  }
PRODUCTS(tf32, Tf32)
PRODUCTS(tf32x3, Tf32x3)
PRODUCTS(bf16, Bf16)
#undef PRODUCTS
#undef BOUNDS_tf32
#undef BOUNDS_tf32x3
#undef BOUNDS_bf16
