// Included by every kernel. Needs no CUDA headers, so that NVRTC alone compiles the PTX; in the stand-in driver (CUDA_CPU)
// the same text is C++.
#pragma once

#ifdef CUDA_CPU
// Always inlined, so that files can reuse names, as on a GPU.
#define DEVICE inline __attribute__((always_inline))
#define CONSTANT const
#define TABLE static const
#else
typedef unsigned char uint8_t;
typedef unsigned short uint16_t;
typedef int int32_t;
typedef unsigned int uint32_t;
typedef long long int64_t;
typedef unsigned long long uint64_t;
#define DEVICE __device__ __forceinline__
// A kernel's parameter that stays in constant memory. Otherwise each thread copies a structure to its own local memory, if
// the kernel indexes an array in it by a variable.
#define CONSTANT const __grid_constant__
#define TABLE static __constant__ const
// Declares `name`, the bytes of shared memory that the launch reserves.
#define DYNAMIC_SHARED(name) extern __shared__ __align__(16) unsigned char name[]
// All kernels are declared with KERNEL(threads per block, name, arguments…) { … }
#define KERNEL(threads, name, ...) extern "C" __global__ void __launch_bounds__(threads) name(__VA_ARGS__)
#endif

// The default number of threads per block.
constexpr int THREADS = 256;
// The maximum number of axes of a tensor.
constexpr int RANK = 8;

// A grid-stride loop: the first element of this thread, and the distance to the next.
DEVICE uint32_t first_element() { return blockIdx.x * blockDim.x + threadIdx.x; }
DEVICE uint32_t element_step() { return gridDim.x * blockDim.x; }

// The lengths of the axes, outermost first, of `numel` elements, and their strides in OPERANDS buffers. Axes that can be
// merged are merged.
template <int OPERANDS> struct Walk {
  uint32_t numel;
  int32_t rank;
  uint32_t length[RANK];
  int64_t stride[OPERANDS][RANK];
};

// The position of element i in each operand's buffer.
template <int OPERANDS> DEVICE void locate(const Walk<OPERANDS>& walk, uint32_t i, int64_t (&at)[OPERANDS]) {
#pragma unroll
  for (int k = 0; k < OPERANDS; k++) at[k] = 0;
  for (int axis = walk.rank - 1; axis > 0; axis--) {
    const uint32_t rest = i / walk.length[axis];
    const int64_t here = i - rest * walk.length[axis];
#pragma unroll
    for (int k = 0; k < OPERANDS; k++) at[k] += here * walk.stride[k][axis];
    i = rest;
  }
#pragma unroll
  for (int k = 0; k < OPERANDS; k++) at[k] += (int64_t)i * walk.stride[k][0];
}

// The elementary functions, overloaded for both float types.
#define FUNCTION(name, single, twice)                                                                                  \
  DEVICE float name(float x) { return single(x); }                                                                     \
  DEVICE double name(double x) { return twice(x); }
FUNCTION(exp_of, expf, exp)
FUNCTION(log_of, logf, log)
FUNCTION(root_of, sqrtf, sqrt)
FUNCTION(tanh_of, tanhf, tanh)
FUNCTION(erf_of, erff, erf)
FUNCTION(log1p_of, log1pf, log1p)
FUNCTION(abs_of, fabsf, fabs)
FUNCTION(asin_of, asinf, asin)
FUNCTION(acos_of, acosf, acos)
FUNCTION(atan_of, atanf, atan)
FUNCTION(sinh_of, sinhf, sinh)
FUNCTION(cosh_of, coshf, cosh)
FUNCTION(expm1_of, expm1f, expm1)
FUNCTION(log2_of, log2f, log2)
FUNCTION(log10_of, log10f, log10)
FUNCTION(floor_of, floorf, floor)
FUNCTION(ceil_of, ceilf, ceil)
FUNCTION(round_of, rintf, rint)
FUNCTION(trunc_of, truncf, trunc)
#undef FUNCTION
DEVICE float power_of(float x, float p) { return powf(x, p); }
DEVICE double power_of(double x, double p) { return pow(x, p); }
DEVICE float atan2_of(float y, float x) { return atan2f(y, x); }
DEVICE double atan2_of(double y, double x) { return atan2(y, x); }
DEVICE float modulo_of(float a, float b) { return fmodf(a, b); }
DEVICE double modulo_of(double a, double b) { return fmod(a, b); }

template <class T> DEVICE bool is_nan(T x) { return x != x; }

// Shared by kernels and host: crates/tensor/src/gpu/step_parameters.rs.
// The first fault is kept: its kind and the offending value.
struct Fault {
  uint32_t kind;
  int32_t value;
};
DEVICE void report(Fault* fault, uint32_t kind, int32_t value) {
  if (atomicCAS(&fault->kind, 0u, kind) == 0u) fault->value = value;
}
// An index outside 0..length.
constexpr uint32_t BAD_INDEX = 1;
// A label outside 0..classes.
constexpr uint32_t BAD_LABEL = 2;

// The step parameters: what changes between replays of a captured step.
struct StepParameters {
  uint64_t steps; // steps since the captured one
  double rate;    // the learning rate as a multiple of the captured one
};
