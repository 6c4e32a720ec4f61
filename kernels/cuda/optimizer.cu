// Steps of optimizers and what clips gradients, each over many tensors at once; formulas as in crates/tensor/src/cpu.
// Also the step parameters, which are all that changes from one replay of a recorded step to the next.
#include "prelude.cuh"

// Slots of one launch: as many as fit into a kernel's arguments.
constexpr int SLOTS = 64;
// Elements of a slot that a block takes.
constexpr uint32_t CHUNK = 2048;

template <class T> struct Slots {
  T* p[SLOTS];       // what is changed: parameters, or gradients that are clipped
  const T* g[SLOTS]; // what is read: gradients
  T* state[2][SLOTS];
  uint32_t numel[SLOTS];
  uint32_t first_block[SLOTS]; // the block that the slot's elements begin in
  int32_t count;
};

// Calls `change(slot, element)` for this thread's elements.
template <class T, class Change> DEVICE void for_elements(const Slots<T>& slots, Change change) {
  int slot = 0;
  while (slot + 1 < slots.count && slots.first_block[slot + 1] <= blockIdx.x) slot++;
  const uint32_t first = (blockIdx.x - slots.first_block[slot]) * CHUNK, end = min(first + CHUNK, slots.numel[slot]);
  for (uint32_t i = first + threadIdx.x; i < end; i += THREADS) change(slot, i);
}

struct Sgd {
  double lr, momentum, dampening, weight_decay;
  int32_t nesterov, first;
};

template <class T> DEVICE void sgd_step(const Slots<T>& slots, const Sgd& s, const StepParameters* parameters) {
  const T lr = T(s.lr * parameters->rate), kept = T(s.momentum), rest = T(1.0 - s.dampening), decay = T(s.weight_decay);
  for_elements(slots, [&](int slot, uint32_t i) {
    T* p = slots.p[slot] + i;
    T g = slots.g[slot][i];
    if (s.weight_decay != 0.0) g += decay * *p;
    T* buffer = slots.state[0][slot];
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

template <class T> DEVICE void adam_step(const Slots<T>& slots, const Adam& s, const StepParameters* parameters) {
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
  for_elements(slots, [&](int slot, uint32_t i) {
    T *p = slots.p[slot] + i, *m = slots.state[0][slot] + i, *v = slots.state[1][slot] + i;
    const T old = *p * shrink;
    T g = slots.g[slot][i];
    if (!s.decoupled && s.weight_decay != 0.0) g += decay * old;
    // Interpolated from the nearer end.
    const T mean = s.beta1 > 0.5 ? *m + rest1 * (g - *m) : g - (g - *m) * (T(1) - rest1);
    const T square = *v * kept2 + rest2 * g * g;
    *m = mean;
    *v = square;
    *p = old - size * mean / (root_of(square) * root + eps);
  });
}

// The sum of a block's numbers, for all of its threads, in an order that is always the same.
DEVICE double sum_of_block(double value) {
  __shared__ double room[THREADS];
  room[threadIdx.x] = value;
  __syncthreads();
  for (uint32_t half = THREADS / 2; half > 0; half /= 2) {
    if (threadIdx.x < half) room[threadIdx.x] += room[threadIdx.x + half];
    __syncthreads();
  }
  return room[0];
}

// A block's part of the sum of all squares. Only the squares themselves and a few of them are T: what a large tensor
// comes to may overflow on the processor and not here.
template <class T> DEVICE void sum_of_squares(const Slots<T>& slots, double* partial) {
  T mine = T(0);
  for_elements(slots, [&](int slot, uint32_t i) {
    const T x = slots.g[slot][i];
    mine += x * x;
  });
  const double sum = sum_of_block(mine);
  if (threadIdx.x == 0) partial[blockIdx.x] = sum;
}

// The sum of all parts, by one block.
KERNEL(THREADS, add_partials_f64, double* y, const double* partial, uint32_t count) {
  double mine = 0;
  for (uint32_t i = threadIdx.x; i < count; i += THREADS) mine += partial[i];
  const double sum = sum_of_block(mine);
  if (threadIdx.x == 0) *y = sum;
}

template <class T> DEVICE void scale_all(const Slots<T>& slots, T factor) {
  for_elements(slots, [&](int slot, uint32_t i) { slots.p[slot][i] *= factor; });
}

#define FLOATS(type, T)                                                                                                \
  KERNEL(THREADS, sum_of_squares_##type, Slots<T> slots, double* partial) { sum_of_squares(slots, partial); }          \
  KERNEL(THREADS, scale_all_##type, Slots<T> slots, const double* factor) { scale_all(slots, T(*factor)); }            \
  KERNEL(THREADS, sgd_step_##type, Slots<T> slots, Sgd s, const StepParameters* parameters) {                          \
    sgd_step(slots, s, parameters);                                                                                    \
  }                                                                                                                    \
  KERNEL(THREADS, adam_step_##type, Slots<T> slots, Adam s, const StepParameters* parameters) {                        \
    adam_step(slots, s, parameters);                                                                                   \
  }
FLOATS(f32, float)
FLOATS(f64, double)

KERNEL(32, set_step_parameters, StepParameters* parameters, uint64_t steps, double rate) {
  if (threadIdx.x == 0) *parameters = {steps, rate};
}
