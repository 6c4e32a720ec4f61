// The sum of the partial results of split-K, from product.cu or tensor_core.cuh. A file of its own, since the driver compiles a
// file as a whole, and products on tensor cores need nothing else of product.cu.
#include "bf16.cuh"

// Sums the splits and adds a bias per column: y, and the elements after the first `body` to another tensor. For a small
// result, `rows` threads of a block (a power of two) sum the splits of one element in parallel, to hide memory latency.
template <class T, class S>
DEVICE void add_splits(S* y, S* rest, uint32_t body, const T* partial, uint32_t numel, int splits, int rows,
                       const T* bias, int64_t bias_stride, int columns) {
  __shared__ T shared[THREADS];
  const uint32_t wide = THREADS / rows, row = threadIdx.x / wide;
  for (uint32_t first = blockIdx.x * wide; first < numel; first += gridDim.x * wide) {
    const uint32_t i = first + threadIdx.x % wide;
    T sum = T(0);
    if (i < numel)
      for (int split = row; split < splits; split += rows) sum += partial[(int64_t)split * numel + i];
    if (rows > 1) {
      shared[threadIdx.x] = sum;
      __syncthreads();
      for (uint32_t half = THREADS / 2; half >= wide; half /= 2) {
        if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
        __syncthreads();
      }
      sum = shared[threadIdx.x % wide];
      __syncthreads();
    }
    if (row == 0 && i < numel)
      *(i < body ? y + i : rest + (i - body)) = S(bias ? sum + bias[i % columns * bias_stride] : sum);
  }
}

// Results are stored as S.
#define SPLITS(type, T, S)                                                                                             \
  KERNEL(THREADS, add_splits_##type, S* y, S* rest, uint32_t body, const T* partial, uint32_t numel, int splits,       \
         int rows, const T* bias, int64_t bias_stride, int columns) {                                                  \
    add_splits(y, rest, body, partial, numel, splits, rows, bias, bias_stride, columns);                               \
  }
SPLITS(f32, float, float)
SPLITS(f64, double, double)
SPLITS(bf16, float, bf16)
