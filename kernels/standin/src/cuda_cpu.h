// CUDA C++ on the CPU: included before every .cu file, so that a C++ compiler accepts it unmodified.
//
// The threads of a block are fibers of one operating system thread (fibers.cpp), switched only at __syncthreads and at
// warp operations. A thread that never waits is an ordinary function call.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <tuple>
#include <type_traits>
#include <utility>

#define CUDA_CPU 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// Within a function thread_local implies static. Only shared memory is thread-local in this library.
#define __shared__ thread_local
#define DYNAMIC_SHARED(name) unsigned char* const name = cpu::dynamic_shared

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
};
struct alignas(8) float2 {
  float x, y;
};
namespace cpu {

enum State { NEW, READY, AT_BARRIER, AT_WARP, DONE };

struct Thread {
  dim3 index;
  unsigned lane, warp;
  State state;
  unsigned waits_for;  // the lanes that the current warp operation waits for
  unsigned operations; // the number of full-warp operations so far; its parity selects one of two buffers
  void* stack_pointer;
  void* stack;
  int copies, group; // cp.async: pending copies, and the group of the next one
};

// A pending asynchronous copy.
struct Copy {
  void* to;
  const void* from;
  unsigned bytes, valid;
  int group;
};

struct alignas(64) Warp {
  unsigned exist, done, arrived;
  uint64_t slot[2][32];
  uint32_t fragment[2][32][10];
};

constexpr unsigned MAX_COPIES = 64;
extern Thread* current;
extern Warp* warps;
extern Copy (*copies)[MAX_COPIES];
extern dim3 block_index, block_size, grid_size;
extern unsigned char* dynamic_shared;

void block_sync();
void warp_sync(unsigned mask);
[[noreturn]] void die(const char* what);

// Returns the value of lane `source`; every lane of the mask must call it.
template <class T> inline T exchange(unsigned mask, T value, unsigned source) {
  static_assert(sizeof(T) <= 8, "a register holds 8 bytes at most");
  Warp& warp = warps[current->warp];
  const unsigned all = warp.exist, lane = current->lane;
  mask &= all;
  if (!(mask >> lane & 1)) die("shuffle: the calling lane is not in its own mask");
  const unsigned buffer = mask == all ? current->operations++ & 1 : 0;
  uint64_t bits = 0;
  memcpy(&bits, &value, sizeof value);
  warp.slot[buffer][lane] = bits;
  warp_sync(mask);
  T result;
  memcpy(&result, &warp.slot[buffer][source & 31], sizeof result);
  if (mask != all) warp_sync(mask); // a partial warp has only one buffer
  return result;
}

// A kernel: the sizes of its arguments, a function that unpacks them and calls it, and the most dynamic shared memory that it
// may have.
struct Kernel {
  void (*call)(void**);
  unsigned arguments;
  unsigned size[32];
  unsigned most_shared = 48 << 10;
};
void register_kernel(const char* name, Kernel kernel);

template <class... A, size_t... I> void call(void (*f)(A...), void** p, std::index_sequence<I...>) {
  f(*(std::remove_cv_t<A>*)p[I]...);
}
template <class... A> void invoke(void (*f)(A...), void** p) { call(f, p, std::index_sequence_for<A...>{}); }
template <class... A> constexpr Kernel describe(void (*)(A...), void (*entry)(void**)) {
  return {entry, sizeof...(A), {unsigned(sizeof(A))...}};
}

} // namespace cpu

// All kernels are declared with KERNEL(threads per block, name, arguments…) { … }
#define KERNEL(threads, name, ...)                                                                                     \
  static void name(__VA_ARGS__);                                                                                       \
  namespace {                                                                                                          \
  struct Register_##name {                                                                                             \
    Register_##name() {                                                                                                \
      cpu::register_kernel(#name, cpu::describe(&name, [](void** p) { cpu::invoke(&name, p); }));                      \
    }                                                                                                                  \
  } register_##name;                                                                                                   \
  }                                                                                                                    \
  static void name(__VA_ARGS__)

#define threadIdx (cpu::current->index)
#define blockIdx (cpu::block_index)
#define blockDim (cpu::block_size)
#define gridDim (cpu::grid_size)

static inline void __syncthreads() { cpu::block_sync(); }
template <class T> T __shfl_xor_sync(unsigned mask, T v, unsigned by) {
  return cpu::exchange(mask, v, cpu::current->lane ^ by);
}
static inline unsigned __float_as_uint(float f) {
  unsigned u;
  memcpy(&u, &f, 4);
  return u;
}
static inline float __uint_as_float(unsigned u) {
  float f;
  memcpy(&f, &u, 4);
  return f;
}
// Exact at multiples of one half, as on a GPU.
static inline double sinpi(double x) {
  x = fmod(x, 2.0);
  return x == 0.0 || x == 1.0 ? 0.0 : x == 0.5 ? 1.0 : x == 1.5 ? -1.0 : sin(M_PI * x);
}
static inline double cospi(double x) { return sinpi(x + 0.5); }
static inline float sinpif(float x) { return (float)sinpi((double)x); }
static inline float cospif(float x) { return (float)cospi((double)x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return unsigned((uint64_t)a * b >> 32); }
static inline long long __double_as_longlong(double x) {
  long long bits;
  memcpy(&bits, &x, 8);
  return bits;
}
static inline double __longlong_as_double(long long bits) {
  double x;
  memcpy(&x, &bits, 8);
  return x;
}
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int min(int a, int b) { return a < b ? a : b; }
static inline int max(int a, int b) { return a > b ? a : b; }
static inline unsigned atomicCAS(unsigned* p, unsigned expected, unsigned value) {
  __atomic_compare_exchange_n(p, &expected, value, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
  return expected;
}

#include "tensor_cores.h"
