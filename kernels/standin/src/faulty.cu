// Kernels that are wrong on purpose, each in one way: what the stand-in is there to find (tests/controls.rs).
#include "prelude.cuh"
#include "mma.cuh"

// Every thread takes its neighbor's number, without waiting for it to be there.
KERNEL(64, faulty_no_barrier, float* y, const float* x) {
  __shared__ float room[64];
  room[threadIdx.x] = x[threadIdx.x];
  y[threadIdx.x] = room[63 - threadIdx.x];
}

// Reads shared memory that nobody wrote: the upper half.
KERNEL(32, faulty_unwritten, float* y, const float* x) {
  __shared__ float room[64];
  room[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = room[63 - threadIdx.x];
}

// Reads one element beyond a buffer.
KERNEL(64, faulty_overrun, float* y, const float* x) { y[threadIdx.x] = x[threadIdx.x + 1]; }

// Half of the threads wait for the other half, which waits in a shuffle.
KERNEL(64, faulty_divergent, float* y, const float* x) {
  if (threadIdx.x % 2) __syncthreads();
  else y[threadIdx.x] = __shfl_xor_sync(0xffffffffu, x[threadIdx.x], 1);
}

// Uses what an asynchronous copy brings before it is there, or never waits for it at all.
KERNEL(16, faulty_early, float* y, const float* x) {
  __shared__ __align__(16) float room[64];
  cp_async16(room + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
  cp_commit();
  cp_wait<1>();
  y[threadIdx.x] = room[4 * threadIdx.x];
  cp_wait<0>();
}
KERNEL(16, faulty_no_wait, float* y, const float* x) {
  __shared__ __align__(16) float room[64];
  cp_async16(room + 4 * threadIdx.x, x + 4 * threadIdx.x, true);
  y[threadIdx.x] = 0;
}

// Nothing is wrong with this one.
KERNEL(64, faultless, float* y, const float* x) {
  __shared__ float room[64];
  room[threadIdx.x] = x[threadIdx.x];
  __syncthreads();
  y[threadIdx.x] = room[63 - threadIdx.x];
}
