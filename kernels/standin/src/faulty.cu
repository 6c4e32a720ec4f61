// Intentionally faulty kernels, one for each kind of error that the stand-in detects (tests/controls.rs).
#include "prelude.cuh"
#include "mma.cuh"

// Every thread reads another thread's element without a barrier.
KERNEL(64, faulty_no_barrier, float* y, const float* x) {
  __shared__ float shared[64];
  shared[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = shared[63 - threadIdx.x];
}

// Reads uninitialized shared memory, the upper half.
KERNEL(32, faulty_uninitialized, float* y, const float* x) {
  __shared__ float shared[64];
  shared[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = shared[63 - threadIdx.x];
}

// Writes past the end of its dynamic shared memory, of which it has none.
KERNEL(32, faulty_dynamic, float* y, const float* x) {
  DYNAMIC_SHARED(shared);
  ((float*)shared)[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = 0;
}

// Reads one element past the end of a buffer.
KERNEL(64, faulty_overrun, float* y, const float* x) { y[threadIdx.x] = x[threadIdx.x + 1]; }

// Half of the threads wait at a barrier, the other half in a shuffle.
KERNEL(64, faulty_divergent, float* y, const float* x) {
  if (threadIdx.x % 2) __syncthreads();
  else y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
}

// Uses the destination of an asynchronous copy too early, or never waits for the copy.
KERNEL(16, faulty_early, float* y, const float* x) {
  __shared__ __align__(16) float shared[64];
  cp_async16(shared + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
  cp_commit();
  cp_wait<1>();
  y[threadIdx.x] = shared[4 * threadIdx.x];
  cp_wait<0>();
}
KERNEL(16, faulty_no_wait, float* y, const float* x) {
  __shared__ __align__(16) float shared[64];
  cp_async16(shared + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
  y[threadIdx.x] = 0;
}

// A correct kernel.
KERNEL(64, faultless, float* y, const float* x) {
  __shared__ float shared[64];
  shared[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = shared[63 - threadIdx.x];
}
