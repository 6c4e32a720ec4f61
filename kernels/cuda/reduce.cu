// Sums, extremes, sorting and indexing along axes. The order of every sum depends only on shapes and layouts.
#include "bf16.cuh"

struct Sum {
  template <class T> static DEVICE T combine(T a, T b) { return a + b; }
};
// The larger; NaN wins.
struct Largest {
  template <class T> static DEVICE T combine(T a, T b) { return a >= b || is_nan(a) ? a : b; }
};
struct Smallest {
  template <class T> static DEVICE T combine(T a, T b) { return a <= b || is_nan(a) ? a : b; }
};

// y[chunk, i] = the combination of elements [chunk·stretch, …) of the reduced axes, for each element i of the kept ones.
//
// A block computes `wide` adjacent results, a power of two; the threads of one result take its elements in a strided loop.
// Adjacent threads then read adjacent elements: along the kept axes if `wide` is large, along the reduced ones if small.
template <class Op, class T, class S>
DEVICE void reduce(T* y, const S* x, const Walk<1>& kept, const Walk<1>& reduced, uint32_t stretch, uint32_t wide) {
  __shared__ T shared[THREADS];
  const uint32_t rows = THREADS / wide, row = threadIdx.x / wide, groups = (kept.numel + wide - 1) / wide;
  const uint32_t chunk = blockIdx.x / groups, i = (blockIdx.x - chunk * groups) * wide + threadIdx.x % wide;
  const uint32_t first = chunk * stretch, last = min(first + stretch, reduced.numel);
  // Threads without an element do not contribute.
  const uint32_t used = i < kept.numel ? min(last - first, rows) : 0;
  if (row < used) {
    int64_t start[1], at[1];
    locate(kept, i, start);
    locate(reduced, first + row, at);
    T result = T(x[start[0] + at[0]]);
    for (uint32_t k = first + row + rows; k < last; k += rows) {
      locate(reduced, k, at);
      result = Op::combine(result, T(x[start[0] + at[0]]));
    }
    shared[threadIdx.x] = result;
  }
  __syncthreads();
  for (uint32_t half = rows / 2; half > 0; half /= 2) {
    if (row < half && row + half < used)
      shared[threadIdx.x] = Op::combine(shared[threadIdx.x], shared[threadIdx.x + half * wide]);
    __syncthreads();
  }
  if (row == 0 && used > 0) y[chunk * kept.numel + i] = shared[threadIdx.x];
}

#define REDUCTION(name, Op, type, T, S)                                                                                \
  KERNEL(THREADS, name##_##type, T* y, const S* x, CONSTANT Walk<1> kept, CONSTANT Walk<1> reduced, uint32_t stretch,  \
         uint32_t wide) {                                                                                              \
    reduce<Op>(y, x, kept, reduced, stretch, wide);                                                                    \
  }
REDUCTION(sum, Sum, f32, float, float)
REDUCTION(sum, Sum, f64, double, double)
REDUCTION(sum, Sum, bf16, float, bf16)

// Whether a comes before b in descending order: NaN before all numbers, equal ones by index.
template <class T> DEVICE bool before(T a, int i, T b, int j) {
  if (is_nan(a) || is_nan(b)) return is_nan(a) && (!is_nan(b) || i < j);
  return a > b || (a == b && i < j);
}

#define ANY(type, T)                                                                                                   \
  REDUCTION(max, Largest, type, T, T)                                                                                  \
  REDUCTION(min, Smallest, type, T, T)                                                                                 \
  /* The k first elements of each line in descending order and their indices, k passes over the line. */               \
  KERNEL(BOUNDS, topk_##type, T* values, int32_t* indices, const T* x, CONSTANT Walk<3> lines, int length,             \
         int64_t x_step, int k, int64_t values_step, int64_t indices_step) {                                           \
    for (uint32_t line = first_element(); line < lines.numel; line += element_step()) {                                \
      int64_t at[3];                                                                                                   \
      locate(lines, line, at);                                                                                         \
      int last = -1;                                                                                                   \
      for (int rank = 0; rank < k; rank++) {                                                                           \
        int best = -1;                                                                                                 \
        for (int i = 0; i < length; i++) {                                                                             \
          const T here = x[at[2] + i * x_step];                                                                        \
          if (last >= 0 && !before(x[at[2] + last * x_step], last, here, i)) continue;                                 \
          if (best < 0 || before(here, i, x[at[2] + best * x_step], best)) best = i;                                   \
        }                                                                                                              \
        if (values) values[at[0] + rank * values_step] = x[at[2] + best * x_step];                                     \
        indices[at[1] + rank * indices_step] = best;                                                                   \
        last = best;                                                                                                   \
      }                                                                                                                \
    }                                                                                                                  \
  }                                                                                                                    \
  /* y = x[.., index, ..] along an axis whose stride in x the walk leaves out. */                                      \
  KERNEL(THREADS, gather_##type, T* y, const T* x, const int32_t* index, CONSTANT Walk<2> walk, int64_t x_step,        \
         int length, Fault* fault) {                                                                                   \
    for (uint32_t i = first_element(); i < walk.numel; i += element_step()) {                                          \
      int64_t at[2];                                                                                                   \
      locate(walk, i, at);                                                                                             \
      const int place = index[at[1]];                                                                                  \
      if (place < 0 || place >= length) {                                                                              \
        report(fault, BAD_INDEX, place);                                                                               \
        continue;                                                                                                      \
      }                                                                                                                \
      y[i] = x[at[0] + place * x_step];                                                                                \
    }                                                                                                                  \
  }
// Registers for four blocks per multiprocessor; without this the assembler spills registers on sm_70 to fit a sixth block.
#define BOUNDS THREADS, 4
ANY(f32, float)
ANY(f64, double)
ANY(i32, int32_t)
ANY(u8, uint8_t)
#undef BOUNDS

// Adds x to zeros at the indices of its line, in ascending order: one thread per line.
template <class T>
DEVICE void scatter_lines(T* y, const T* x, const int32_t* index, const Walk<3>& lines, int64_t y_step, int y_length,
                          int64_t x_step, int64_t index_step, int x_length, Fault* fault) {
  for (uint32_t line = first_element(); line < lines.numel; line += element_step()) {
    int64_t at[3];
    locate(lines, line, at);
    for (int i = 0; i < y_length; i++) y[at[0] + i * y_step] = T(0);
    for (int i = 0; i < x_length; i++) {
      const int place = index[at[2] + i * index_step];
      if (place < 0 || place >= y_length) report(fault, BAD_INDEX, place);
      else y[at[0] + place * y_step] += x[at[1] + i * x_step];
    }
  }
}
#define FLOATS(type, T)                                                                                                \
  KERNEL(THREADS, scatter_add_##type, T* y, const T* x, const int32_t* index, CONSTANT Walk<3> lines, int64_t y_step,  \
         int y_length, int64_t x_step, int64_t index_step, int x_length, Fault* fault) {                               \
    scatter_lines(y, x, index, lines, y_step, y_length, x_step, index_step, x_length, fault);                          \
  }
FLOATS(f32, float)
FLOATS(f64, double)
