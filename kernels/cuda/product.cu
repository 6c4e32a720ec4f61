// Products and convolutions without tensor cores, in the precision of the element type, for any strides.
//
// Each is C (M,N) = A (M,K) · B (K,N). The im2col matrix of a convolution is not materialized: elements of A or B are loaded
// from the image at the address of their row and column.
#include "bf16.cuh"

// A block computes TILE × TILE elements of C, DEPTH of K at a time; a thread computes PER × PER of them.
constexpr int TILE = 64, DEPTH = 16, PER = 4;

struct Matrices {
  int32_t m, n, k;
  int64_t a[2], b[2], c[2]; // the strides of rows and columns
};

struct Convolution {
  int32_t n, h, w, c, o, kh, kw, oh, ow; // c and o are per group
  int32_t stride[2], padding[2], dilation[2];
  int64_t x[4], weight[4], y[4]; // the strides of (N,C,H,W), (O,C/groups,kh,kw), (N,O,oh,ow)
};

// An operand is addressed by a fixed outer position and a moving one along K. `K_FAST` selects along which of them adjacent
// threads load adjacent elements.

// Plain strides.
template <class T, bool K_FAST_> struct Strided {
  static constexpr bool K_FAST = K_FAST_;
  const T* data;
  int64_t outer_stride, depth_stride;
  int outers, depths;
  struct Outer {
    const T* at;
  };
  struct Depth {
    int64_t away;
    bool inside;
  };
  DEVICE Outer outer(int i) const { return {i < outers ? data + i * outer_stride : nullptr}; }
  DEVICE Depth depth(int k) const { return {k * depth_stride, k < depths}; }
  DEVICE T fetch(const Outer& outer, const Depth& depth) const {
    return outer.at && depth.inside ? outer.at[depth.away] : T(0);
  }
};

// An output pixel: the corner of its window.
template <class T> struct Pixel {
  const T* image;
  int row, column;
};
template <class T> DEVICE Pixel<T> output_pixel(const Convolution& s, const T* x, int i) {
  if (i >= s.n * s.oh * s.ow) return {nullptr, 0, 0};
  const int rest = i / s.ow, image = rest / s.oh;
  return {x + image * s.x[0], (rest - image * s.oh) * s.stride[0] - s.padding[0],
          (i - rest * s.ow) * s.stride[1] - s.padding[1]};
}

// A kernel element and a channel, the channel innermost.
struct Tap {
  int row, column, channel;
  bool inside;
};
DEVICE Tap tap(const Convolution& s, int k, int channels) {
  const int cell = k / channels, p = cell / s.kw;
  return {p, cell - p * s.kw, k - cell * channels, p < s.kh};
}

template <class T> DEVICE T patch(const Convolution& s, const Pixel<T>& pixel, const Tap& tap) {
  const int row = pixel.row + tap.row * s.dilation[0], column = pixel.column + tap.column * s.dilation[1];
  const bool inside = pixel.image && tap.inside && (unsigned)row < (unsigned)s.h && (unsigned)column < (unsigned)s.w;
  return inside ? pixel.image[tap.channel * s.x[1] + row * s.x[2] + column * s.x[3]] : T(0);
}

// x as the matrix (output pixels, taps).
template <class T> struct Patches {
  static constexpr bool K_FAST = true;
  const Convolution& s;
  const T* x;
  using Outer = Pixel<T>;
  using Depth = Tap;
  DEVICE Outer outer(int i) const { return output_pixel(s, x, i); }
  DEVICE Depth depth(int k) const { return tap(s, k, s.c); }
  DEVICE T fetch(const Outer& outer, const Depth& depth) const { return patch(s, outer, depth); }
};

// The same matrix with K along the pixels.
template <class T> struct PatchesAlongPixels {
  static constexpr bool K_FAST = false;
  const Convolution& s;
  const T* x;
  using Outer = Tap;
  using Depth = Pixel<T>;
  DEVICE Outer outer(int i) const { return tap(s, i, s.c); }
  DEVICE Depth depth(int k) const { return output_pixel(s, x, k); }
  DEVICE T fetch(const Outer& outer, const Depth& depth) const { return patch(s, depth, outer); }
};

// dy as the matrix (input pixels, taps): the output pixel whose window has the input pixel at this tap.
template <class T> struct Spread {
  static constexpr bool K_FAST = true;
  const Convolution& s;
  const T* dy;
  using Outer = Pixel<T>;
  using Depth = Tap;
  DEVICE Outer outer(int i) const {
    if (i >= s.n * s.h * s.w) return {nullptr, 0, 0};
    const int rest = i / s.w, image = rest / s.h;
    return {dy + image * s.y[0], rest - image * s.h + s.padding[0], i - rest * s.w + s.padding[1]};
  }
  DEVICE Depth depth(int k) const { return tap(s, k, s.o); }
  DEVICE T fetch(const Outer& outer, const Depth& depth) const {
    const int row = outer.row - depth.row * s.dilation[0], column = outer.column - depth.column * s.dilation[1];
    const int i = row / s.stride[0], j = column / s.stride[1];
    const bool meets = outer.image && depth.inside && row >= 0 && column >= 0 && i * s.stride[0] == row &&
                       j * s.stride[1] == column && i < s.oh && j < s.ow;
    return meets ? outer.image[depth.channel * s.y[1] + i * s.y[2] + j * s.y[3]] : T(0);
  }
};

// dy as the matrix (output channels, output pixels).
template <class T> struct Channels {
  static constexpr bool K_FAST = false;
  const Convolution& s;
  const T* dy;
  using Outer = Tap;
  struct Depth {
    const T* at;
  };
  DEVICE Outer outer(int i) const { return {0, 0, i, i < s.o}; }
  DEVICE Depth depth(int k) const {
    if (k >= s.n * s.oh * s.ow) return {nullptr};
    const int rest = k / s.ow, image = rest / s.oh;
    return {dy + image * s.y[0] + (rest - image * s.oh) * s.y[2] + (k - rest * s.ow) * s.y[3]};
  }
  DEVICE T fetch(const Outer& outer, const Depth& depth) const {
    return depth.at && outer.inside ? depth.at[outer.channel * s.y[1]] : T(0);
  }
};

// The weight as the matrix (taps, channels); the channels of K and of the outer axis have strides `inner` and `outer_`.
template <class T> struct Weights {
  static constexpr bool K_FAST = true;
  const Convolution& s;
  const T* w;
  int64_t outer_stride, inner_stride;
  int outers, inners;
  struct Outer {
    const T* at;
  };
  using Depth = Tap;
  DEVICE Outer outer(int i) const { return {i < outers ? w + i * outer_stride : nullptr}; }
  DEVICE Depth depth(int k) const { return tap(s, k, inners); }
  DEVICE T fetch(const Outer& outer, const Depth& depth) const {
    const int64_t away = depth.channel * inner_stride + depth.row * s.weight[2] + depth.column * s.weight[3];
    return outer.at && depth.inside ? outer.at[away] : T(0);
  }
};

// The tile of a block: its first row and column, and the layer, such as a batch or group. They all are one axis of the grid,
// since the other axes are limited to 65535 blocks: the tiles of M first, then those of N, then the layers.
struct Place {
  int row, column, layer;
};
DEVICE uint32_t tiles_along(int length) { return (length + TILE - 1) / TILE; }
DEVICE Place place_of_block(int rows, int columns) {
  const uint32_t strip = blockIdx.x / tiles_along(rows), layer = strip / tiles_along(columns);
  return {int(blockIdx.x - strip * tiles_along(rows)) * TILE, int(strip - layer * tiles_along(columns)) * TILE, int(layer)};
}

// A thread's share of staging a TILE × DEPTH piece of an operand in shared memory.
template <class T, class Operand> struct Loader {
  static constexpr int COUNT = TILE * DEPTH / THREADS;
  static constexpr int OUTERS = Operand::K_FAST ? COUNT : 1;
  const Operand& operand;
  typename Operand::Outer outers[OUTERS];
  T held[COUNT];

  DEVICE Loader(const Operand& operand, int first) : operand(operand) {
#pragma unroll
    for (int i = 0; i < OUTERS; i++) outers[i] = operand.outer(first + place(i));
  }
  // The tile row and the step along K of the thread's i-th element.
  static DEVICE int place(int i) { return Operand::K_FAST ? threadIdx.x / DEPTH + i * (THREADS / DEPTH) : threadIdx.x % TILE; }
  static DEVICE int step(int i) { return Operand::K_FAST ? threadIdx.x % DEPTH : threadIdx.x / TILE + i * (THREADS / TILE); }

  DEVICE void fetch(int k, int end) {
    if (Operand::K_FAST) {
      const int at = k + step(0);
      const auto depth = operand.depth(at);
#pragma unroll
      for (int i = 0; i < COUNT; i++) held[i] = at < end ? operand.fetch(outers[i % OUTERS], depth) : T(0);
    } else {
#pragma unroll
      for (int i = 0; i < COUNT; i++) {
        const int at = k + step(i);
        held[i] = at < end ? operand.fetch(outers[0], operand.depth(at)) : T(0);
      }
    }
  }
  DEVICE void store(T (&tile)[DEPTH][TILE + 1]) const {
#pragma unroll
    for (int i = 0; i < COUNT; i++) tile[step(i)][place(i)] = held[i];
  }
};

// The thread's PER × PER sums over K in [begin, end), in ascending order.
template <class T, class A, class B>
DEVICE void multiply(T (&sums)[PER][PER], const A& a, const B& b, int row, int column, int begin, int end) {
  __shared__ T a_tile[DEPTH][TILE + 1];
  __shared__ T b_tile[DEPTH][TILE + 1];
  Loader<T, A> from_a(a, row);
  Loader<T, B> from_b(b, column);
  const int down = threadIdx.x / (TILE / PER) * PER, right = threadIdx.x % (TILE / PER) * PER;
  from_a.fetch(begin, end);
  from_b.fetch(begin, end);
  for (int k = begin; k < end; k += DEPTH) {
    from_a.store(a_tile);
    from_b.store(b_tile);
    __syncthreads();
    // The next piece is prefetched while this one is multiplied.
    if (k + DEPTH < end) {
      from_a.fetch(k + DEPTH, end);
      from_b.fetch(k + DEPTH, end);
    }
#pragma unroll
    for (int step = 0; step < DEPTH; step++) {
      T v[PER], w[PER];
#pragma unroll
      for (int i = 0; i < PER; i++) {
        v[i] = a_tile[step][down + i];
        w[i] = b_tile[step][right + i];
      }
#pragma unroll
      for (int i = 0; i < PER; i++)
#pragma unroll
        for (int j = 0; j < PER; j++) sums[i][j] += v[i] * w[j];
    }
    __syncthreads();
  }
}

// Calls `store(row, column, sum)` for each of the thread's elements of C that exist.
template <class T, class Store>
DEVICE void for_results(const T (&sums)[PER][PER], int row, int column, int rows, int columns, Store store) {
  row += threadIdx.x / (TILE / PER) * PER;
  column += threadIdx.x % (TILE / PER) * PER;
#pragma unroll
  for (int i = 0; i < PER; i++)
#pragma unroll
    for (int j = 0; j < PER; j++)
      if (row + i < rows && column + j < columns) store(row + i, column + j, sums[i][j]);
}

// The part of K of a split: a multiple of DEPTH.
DEVICE void split_range(int k, int splits, int split, int& begin, int& end) {
  const int pieces = (k + DEPTH - 1) / DEPTH, per = (pieces + splits - 1) / splits * DEPTH;
  begin = min(split * per, k);
  end = min(begin + per, k);
}

template <class T, bool A_K_FAST, bool B_K_FAST>
DEVICE void matmul_of(T* c, const T* a, const T* b, const T* bias, const Matrices& s, const Walk<2>& batch,
                      int64_t bias_stride, int splits) {
  const auto [row, column, layer] = place_of_block(s.m, s.n);
  int begin = 0, end = s.k;
  if (splits > 1) {
    split_range(s.k, splits, blockIdx.y, begin, end);
    c += (int64_t)blockIdx.y * s.m * s.n;
  } else {
    int64_t at[2];
    locate(batch, layer, at);
    a += at[0];
    b += at[1];
    c += (int64_t)layer * s.m * s.n;
  }
  T sums[PER][PER] = {};
  multiply(sums, Strided<T, A_K_FAST>{a, s.a[0], s.a[1], s.m, s.k}, Strided<T, B_K_FAST>{b, s.b[1], s.b[0], s.n, s.k}, row,
           column, begin, end);
  for_results(sums, row, column, s.m, s.n, [&](int i, int j, T sum) {
    c[i * s.c[0] + j * s.c[1]] = bias ? sum + bias[j * bias_stride] : sum;
  });
}

// Grid: (tiles of M · tiles of N · batch, splits of K). The partial results of the splits are stored consecutively.
#define MATMUL(name, type, T, A_K_FAST, B_K_FAST)                                                                      \
  KERNEL(THREADS, matmul_##name##_##type, T* c, const T* a, const T* b, const T* bias, Matrices s,                     \
         CONSTANT Walk<2> batch, int64_t bias_stride, int splits) {                                                    \
    matmul_of<T, A_K_FAST, B_K_FAST>(c, a, b, bias, s, batch, bias_stride, splits);                                    \
  }

// Grid: (tiles of M · tiles of N · groups, splits of K).
#define CONVOLUTION(type, T)                                                                                           \
  MATMUL(nn, type, T, true, false)                                                                                     \
  MATMUL(nt, type, T, true, true)                                                                                      \
  MATMUL(tn, type, T, false, false)                                                                                    \
  MATMUL(tt, type, T, false, true)                                                                                     \
  KERNEL(THREADS, conv2d_##type, T* y, const T* x, const T* w, const T* bias, Convolution s, int64_t bias_stride) {    \
    const auto [row, column, group] = place_of_block(s.n * s.oh * s.ow, s.o);                                          \
    x += group * s.c * s.x[1];                                                                                         \
    w += group * s.o * s.weight[0];                                                                                    \
    y += group * s.o * s.y[1];                                                                                         \
    if (bias) bias += group * s.o * bias_stride;                                                                       \
    T sums[PER][PER] = {};                                                                                             \
    multiply(sums, Patches<T>{s, x}, Weights<T>{s, w, s.weight[0], s.weight[1], s.o, s.c}, row, column, 0,             \
             s.kh * s.kw * s.c);                                                                                       \
    for_results(sums, row, column, s.n * s.oh * s.ow, s.o, [&](int i, int o, T sum) {                                  \
      const int rest = i / s.ow, image = rest / s.oh;                                                                  \
      T* at = y + image * s.y[0] + o * s.y[1] + (rest - image * s.oh) * s.y[2] + (i - rest * s.ow) * s.y[3];           \
      *at = bias ? sum + bias[o * bias_stride] : sum;                                                                  \
    });                                                                                                                \
  }                                                                                                                    \
  KERNEL(THREADS, conv2d_input_gradient_##type, T* dx, const T* dy, const T* w, Convolution s) {                       \
    const auto [row, column, group] = place_of_block(s.n * s.h * s.w, s.c);                                            \
    dx += group * s.c * s.x[1];                                                                                        \
    w += group * s.o * s.weight[0];                                                                                    \
    dy += group * s.o * s.y[1];                                                                                        \
    T sums[PER][PER] = {};                                                                                             \
    multiply(sums, Spread<T>{s, dy}, Weights<T>{s, w, s.weight[1], s.weight[0], s.c, s.o}, row, column, 0,             \
             s.kh * s.kw * s.o);                                                                                       \
    for_results(sums, row, column, s.n * s.h * s.w, s.c, [&](int i, int c, T sum) {                                    \
      const int rest = i / s.w, image = rest / s.h;                                                                    \
      dx[image * s.x[0] + c * s.x[1] + (rest - image * s.h) * s.x[2] + (i - rest * s.w) * s.x[3]] = sum;               \
    });                                                                                                                \
  }                                                                                                                    \
  KERNEL(BOUNDS, conv2d_weight_gradient_##type, T* dw, const T* x, const T* dy, Convolution s, int splits) {           \
    const int columns = s.kh * s.kw * s.c, split = blockIdx.y;                                                         \
    const auto [row, column, group] = place_of_block(s.o, columns);                                                    \
    x += group * s.c * s.x[1];                                                                                         \
    dy += group * s.o * s.y[1];                                                                                        \
    const int groups = gridDim.x / (tiles_along(s.o) * tiles_along(columns));                                          \
    dw += ((int64_t)split * groups + group) * s.o * columns;                                                           \
    int begin, end;                                                                                                    \
    split_range(s.n * s.oh * s.ow, splits, split, begin, end);                                                         \
    T sums[PER][PER] = {};                                                                                             \
    multiply(sums, Channels<T>{s, dy}, PatchesAlongPixels<T>{s, x}, row, column, begin, end);                          \
    for_results(sums, row, column, s.o, columns, [&](int o, int k, T sum) { dw[(int64_t)o * columns + k] = sum; });    \
  }
// Registers for two blocks per multiprocessor; without this the assembler spills registers of f64 to fit a third block.
#define BOUNDS THREADS, 2
CONVOLUTION(f32, float)
CONVOLUTION(f64, double)
#undef BOUNDS
