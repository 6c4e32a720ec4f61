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

struct Sgd {
  double lr, momentum, dampening, weight_decay;
  int32_t nesterov, first;
};

template <class T> DEVICE void sgd_step(const TensorList<T>& list, const Sgd& s, const StepParameters* parameters) {
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
    *p -= lr * g;
  });
}

struct Adam {
  double lr, beta1, beta2, eps, weight_decay;
  uint64_t step;
  int32_t decoupled;
};

template <class T> DEVICE void adam_step(const TensorList<T>& list, const Adam& s, const StepParameters* parameters) {
  __shared__ double corrections[2];
  if (threadIdx.x < 2) {
    const double beta = threadIdx.x ? s.beta2 : s.beta1;
    corrections[threadIdx.x] = 1.0 - pow(beta, (double)(s.step + parameters->steps));
  }
  __syncthreads();
  const double lr = s.lr * parameters->rate;
  const T shrink = T(s.decoupled ? 1.0 - lr * s.weight_decay : 1.0), decay = T(s.weight_decay);
  const T rest1 = T(1.0 - s.beta1), kept2 = T(s.beta2), rest2 = T(1.0 - s.beta2);
  const T size = T(lr / corrections[0]), root = T(1.0 / sqrt(corrections[1])), eps = T(s.eps);
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
    *p = old - size * mean / (root_of(square) * root + eps);
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

// A block's part of the sum of squares. Only squares and short sums are in T; the total is wider, so that the sum of a large
// tensor may overflow on the CPU but not here.
template <class T> DEVICE void sum_of_squares(const TensorList<T>& list, double* partial) {
  T mine = T(0);
  for_elements(list, [&](int tensor, uint32_t i) {
    const T x = list.g[tensor][i];
    mine += x * x;
  });
  const double sum = sum_of_block(mine);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// The sum of all parts, computed by one block.
KERNEL(THREADS, add_partials_f64, double* y, const double* partial, uint32_t count) {
  double mine = 0;
  for (uint32_t i = threadIdx.x; i < count; i += THREADS) mine += partial[i];
  const double sum = sum_of_block(mine);
  if (threadIdx.x == 0) *y = sum;
}

template <class T> DEVICE void scale_all(const TensorList<T>& list, T factor) {
  for_elements(list, [&](int tensor, uint32_t i) { list.p[tensor][i] *= factor; });
}

#define FLOATS(type, T)                                                                                                \
  KERNEL(THREADS, sum_of_squares_##type, TensorList<T> list, double* partial) { sum_of_squares(list, partial); }       \
  KERNEL(THREADS, scale_all_##type, TensorList<T> list, const double* factor) { scale_all(list, T(*factor)); }         \
  KERNEL(THREADS, sgd_step_##type, TensorList<T> list, Sgd s, const StepParameters* parameters) {                      \
    sgd_step(list, s, parameters);                                                                                     \
  }                                                                                                                    \
  KERNEL(THREADS, adam_step_##type, TensorList<T> list, Adam s, const StepParameters* parameters) {                    \
    adam_step(list, s, parameters);                                                                                    \
  }
FLOATS(f32, float)
FLOATS(f64, double)

KERNEL(32, set_step_parameters, StepParameters* parameters, uint64_t steps, double rate) {
  if (threadIdx.x == 0) *parameters = {steps, rate};
}
