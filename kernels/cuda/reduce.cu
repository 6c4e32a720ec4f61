// Sums, extremes, sorting and indexing along axes. Every sum's order follows from shapes alone.
#include "prelude.cuh"

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
// A thread for each result: neighbours read neighbours where the kept axes are the inner ones.
template <class Op, class T>
DEVICE void reduce_by_thread(T* y, const T* x, const Walk<1>& kept, const Walk<1>& reduced, uint32_t stretch) {
  const uint32_t chunks = (reduced.numel + stretch - 1) / stretch;
  for (uint32_t i = first_element(); i < kept.numel * chunks; i += element_step()) {
    const uint32_t chunk = i / kept.numel, first = chunk * stretch;
    const uint32_t last = min(first + stretch, reduced.numel);
    int64_t start[1], at[1];
    locate(kept, i - chunk * kept.numel, start);
    locate(reduced, first, at);
    T result = x[start[0] + at[0]];
    for (uint32_t k = first + 1; k < last; k++) {
      locate(reduced, k, at);
      result = Op::combine(result, x[start[0] + at[0]]);
    }
    y[i] = result;
  }
}

// The same, with a block for each result: neighbours read neighbours where the reduced axes are the inner ones.
template <class Op, class T>
DEVICE void reduce_by_block(T* y, const T* x, const Walk<1>& kept, const Walk<1>& reduced, uint32_t stretch) {
  __shared__ T room[THREADS];
  const uint32_t chunk = blockIdx.x / kept.numel, first = chunk * stretch;
  const uint32_t last = min(first + stretch, reduced.numel);
  int64_t start[1], at[1];
  locate(kept, blockIdx.x - chunk * kept.numel, start);
  // Threads without an element repeat the first one's, which only sums would notice: they are left out below.
  const uint32_t used = min(last - first, (uint32_t)THREADS);
  locate(reduced, first + threadIdx.x % used, at);
  T result = x[start[0] + at[0]];
  for (uint32_t k = first + threadIdx.x + THREADS; k < last; k += THREADS) {
    locate(reduced, k, at);
    result = Op::combine(result, x[start[0] + at[0]]);
  }
  room[threadIdx.x] = result;
  __syncthreads();
  for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half && threadIdx.x + half < used)
      room[threadIdx.x] = Op::combine(room[threadIdx.x], room[threadIdx.x + half]);
    __syncthreads();
  }
  if (threadIdx.x == 0) y[blockIdx.x] = room[0];
}

#define REDUCTION(name, Op, type, T)                                                                                   \
  KERNEL(THREADS, name##_by_thread_##type, T* y, const T* x, Walk<1> kept, Walk<1> reduced, uint32_t stretch) {        \
    reduce_by_thread<Op>(y, x, kept, reduced, stretch);                                                                \
  }                                                                                                                    \
  KERNEL(THREADS, name##_by_block_##type, T* y, const T* x, Walk<1> kept, Walk<1> reduced, uint32_t stretch) {         \
    reduce_by_block<Op>(y, x, kept, reduced, stretch);                                                                 \
  }
REDUCTION(sum, Sum, f32, float)
REDUCTION(sum, Sum, f64, double)

// Whether a comes before b in descending order: NaN before all numbers, equal ones by index.
template <class T> DEVICE bool before(T a, int i, T b, int j) {
  if (is_nan(a) || is_nan(b)) return is_nan(a) && (!is_nan(b) || i < j);
  return a > b || (a == b && i < j);
}

#define ANY(type, T)                                                                                                   \
  REDUCTION(max, Largest, type, T)                                                                                     \
  REDUCTION(min, Smallest, type, T)                                                                                    \
  /* The k first elements of each line in descending order and their indices, k passes over the line. */              \
  KERNEL(THREADS, topk_##type, T* values, int32_t* indices, const T* x, Walk<3> lines, int length, int64_t x_step,     \
         int k, int64_t values_step, int64_t indices_step) {                                                           \
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
  /* y = x[.., index, ..] along an axis whose stride in x the walk leaves out. */                                     \
  KERNEL(THREADS, gather_##type, T* y, const T* x, const int32_t* index, Walk<2> walk, int64_t x_step, int length,     \
         Fault* fault) {                                                                                               \
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
ANY(f32, float)
ANY(f64, double)
ANY(i32, int32_t)
ANY(u8, uint8_t)

// Zeros, to which x is added at the indices of its line in ascending order: a thread for each line.
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
  KERNEL(THREADS, scatter_add_##type, T* y, const T* x, const int32_t* index, Walk<3> lines, int64_t y_step,           \
         int y_length, int64_t x_step, int64_t index_step, int x_length, Fault* fault) {                               \
    scatter_lines(y, x, index, lines, y_step, y_length, x_step, index_step, x_length, fault);                          \
  }
FLOATS(f32, float)
FLOATS(f64, double)
