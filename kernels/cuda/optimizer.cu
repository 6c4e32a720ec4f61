// Optimizer steps and gradient clipping over many tensors at once; formulas as in crates/tensor/src/cpu. Also the update
// of the step parameters, which are all that changes between replays of a captured step.
#include "prelude.cuh"

// Tensors per launch: as many as fit into the kernel arguments.
constexpr int MAX_TENSORS = 64;
// Elements of a tensor per block.
constexpr uint32_t CHUNK = 2048;

template <class T> struct TensorList {
  T* p[MAX_TENSORS];       // written: parameters, or gradients being clipped
  const T* g[MAX_TENSORS]; // read: gradients
  T* state[2][MAX_TENSORS];
  uint32_t numel[MAX_TENSORS];
  uint32_t first_block[MAX_TENSORS]; // the first block of the tensor
  int32_t count;
};

// Calls `change(tensor, element)` for this thread's elements.
template <class T, class Change> DEVICE void for_elements(const TensorList<T>& list, Change change) {
  int tensor = 0;
  while (tensor + 1 < list.count && list.first_block[tensor + 1] <= blockIdx.x) tensor++;
  const uint32_t first = (blockIdx.x - list.first_block[tensor]) * CHUNK, end = min(first + CHUNK, list.numel[tensor]);
  for (uint32_t i = first + threadIdx.x; i < end; i += THREADS) change(tensor, i);
}

// Sets the flag if x is infinite or NaN, whose difference from itself is NaN. Threads that race write the same value.
template <class T> DEVICE void flag_non_finite(T x, T* non_finite) {
  if (x - x != T(0)) *non_finite = T(1);
}

struct Sgd {
  double lr, momentum, dampening, weight_decay;
  int32_t nesterov, first;
};

template <class T>
DEVICE void sgd_step(const TensorList<T>& list, const Sgd& s, const StepParameters* parameters, T* non_finite) {
  const T lr = T(s.lr * parameters->rate), kept = T(s.momentum), rest = T(1.0 - s.dampening), decay = T(s.weight_decay);
  for_elements(list, [&](int tensor, uint32_t i) {
    T* p = list.p[tensor] + i;
    T g = list.g[tensor][i];
    if (s.weight_decay != 0.0) g += decay * *p;
    T* buffer = list.state[0][tensor];
    if (buffer) {
      const T direction = s.first ? g : buffer[i] * kept + rest * g;
      buffer[i] = direction;
      g = s.nesterov ? g + kept * direction : direction;
    }
    const T changed = *p - lr * g;
    *p = changed;
    flag_non_finite(changed, non_finite);
  });
}

struct Adam {
  double lr, beta1, beta2, eps, weight_decay;
  uint64_t step;
  int32_t decoupled;
};

template <class T>
DEVICE void adam_step(const TensorList<T>& list, const Adam& s, const StepParameters* parameters, T* non_finite) {
  __shared__ double corrections[2];
  if (threadIdx.x < 2) {
    const double beta = threadIdx.x ? s.beta2 : s.beta1;
    corrections[threadIdx.x] = 1.0 - pow(beta, (double)(s.step + parameters->steps));
  }
  __syncthreads();
  const double lr = s.lr * parameters->rate;
  const T shrink = T(s.decoupled ? 1.0 - lr * s.weight_decay : 1.0), decay = T(s.weight_decay);
  const T rest1 = T(1.0 - s.beta1), kept2 = T(s.beta2), rest2 = T(1.0 - s.beta2);
  const T size = T(lr / corrections[0]), root = T(sqrt(corrections[1])), eps = T(s.eps);
  for_elements(list, [&](int tensor, uint32_t i) {
    T *p = list.p[tensor] + i, *m = list.state[0][tensor] + i, *v = list.state[1][tensor] + i;
    const T old = *p * shrink;
    T g = list.g[tensor][i];
    if (!s.decoupled && s.weight_decay != 0.0) g += decay * old;
    // Interpolated from the nearer end.
    const T mean = s.beta1 > 0.5 ? *m + rest1 * (g - *m) : g - (g - *m) * (T(1) - rest1);
    const T square = *v * kept2 + rest2 * g * g;
    *m = mean;
    *v = square;
    const T changed = old - size * mean / (root_of(square) / root + eps);
    *p = changed;
    flag_non_finite(changed, non_finite);
    flag_non_finite(square, non_finite);
  });
}

// The sum over a block in a fixed order, returned to all threads.
DEVICE double sum_of_block(double value) {
  __shared__ double shared[THREADS];
  shared[threadIdx.x] = value;
  __syncthreads();
  for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
    __syncthreads();
  }
  return shared[0];
}

// Factors of the elements, so that the squares of some multiple neither overflow nor vanish in double: 1, 2^-600, 2^600.
constexpr int RANGES = 3;
DEVICE double factor_of(int range) {
  return range == 0 ? 1.0 : range == 1 ? 2.4099198651028841e-181 : 4.1495155688809930e180;
}

// A block's part of the sums of squares, in double: squares of float would overflow from 1.8e19 on.
template <class T> DEVICE void sum_of_squares(const TensorList<T>& list, double* partial) {
  double mine[RANGES] = {};
  for_elements(list, [&](int tensor, uint32_t i) {
    const double x = list.g[tensor][i];
    // The squares of float need no factor.
#pragma unroll
    for (int range = 0; range < (sizeof(T) == 8 ? RANGES : 1); range++)
      mine[range] += (x * factor_of(range)) * (x * factor_of(range));
  });
#pragma unroll
  for (int range = 0; range < RANGES; range++) {
    const double sum = sum_of_block(mine[range]);
    if (threadIdx.x == 0) partial[blockIdx.x * RANGES + range] = sum;
    __syncthreads();
  }
}

// The norm, from the sums of all blocks, computed by one block.
KERNEL(THREADS, norm_of_partials_f64, double* y, const double* partial, uint32_t count) {
  double sums[RANGES];
#pragma unroll
  for (int range = 0; range < RANGES; range++) {
    double mine = 0;
    for (uint32_t i = threadIdx.x; i < count; i += THREADS) mine += partial[i * RANGES + range];
    sums[range] = sum_of_block(mine);
    __syncthreads();
  }
  if (threadIdx.x != 0) return;
  // The sums with a factor are 0 if the elements are float.
  if (sums[0] > 1e300 && sums[1] > 0.0) *y = sqrt(sums[1]) / factor_of(1);
  else if (sums[0] < 1e-250 && sums[2] > 0.0) *y = sqrt(sums[2]) / factor_of(2);
  else *y = sqrt(sums[0]);
}

// Scales gradients of the given norm to `max_norm`, unless they are shorter or the norm is not finite.
template <class T> DEVICE void clip_to_norm(const TensorList<T>& list, double norm, double max_norm) {
  const double factor = norm - norm == 0.0 ? max_norm / (norm + 1e-6) : 1.0;
  if (!(factor < 1.0)) return;
  const double scale = factor < 0.0 ? 0.0 : factor;
  for_elements(list, [&](int tensor, uint32_t i) { list.p[tensor][i] = T((double)list.p[tensor][i] * scale); });
}

#define FLOATS(type, T)                                                                                                \
  KERNEL(THREADS, sum_of_squares_##type, TensorList<T> list, double* partial) { sum_of_squares(list, partial); }       \
  KERNEL(THREADS, clip_to_norm_##type, TensorList<T> list, const double* norm, double max_norm) {                      \
    clip_to_norm(list, *norm, max_norm);                                                                               \
  }                                                                                                                    \
  KERNEL(THREADS, sgd_step_##type, TensorList<T> list, Sgd s, const StepParameters* parameters, T* non_finite) {       \
    sgd_step(list, s, parameters, non_finite);                                                                         \
  }                                                                                                                    \
  KERNEL(THREADS, adam_step_##type, TensorList<T> list, Adam s, const StepParameters* parameters, T* non_finite) {     \
    adam_step(list, s, parameters, non_finite);                                                                        \
  }
FLOATS(f32, float)
FLOATS(f64, double)

KERNEL(32, set_step_parameters, StepParameters* parameters, uint64_t steps, double rate) {
  if (threadIdx.x == 0) *parameters = {steps, rate};
}
