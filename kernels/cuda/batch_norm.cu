// Batch normalisation, with relu and a residual in the same pass. Sums over a channel are made in two steps: each block
// sums a stretch of its channels, and a second kernel adds the stretches in their order.
#include "bf16.cuh"

// Elements of a channel, or how often it comes in a row of pixels: dense x is `outer` × `channels` × `inner`.
struct Channels {
  uint32_t outer, channels, inner;
};
// Neighbouring channels that a block sums where the channels are innermost, and the rows that it sums side by side.
constexpr int WIDTH = 32, ROWS = THREADS / WIDTH;

// Sums `terms(element)` over the stretch of a channel that is this block's, for one or two terms at once, and writes them
// to partial[term][stretch][channel]. Grid: (stretches, channels), or (stretches, groups of WIDTH channels) where the
// channels are innermost.
template <int TERMS, class T, class Terms>
DEVICE void sum_stretch(T* partial, const Channels& s, uint32_t stretch, Terms terms) {
  __shared__ T room[TERMS][THREADS];
  const bool innermost = s.inner == 1;
  const uint32_t lane = innermost ? threadIdx.x % WIDTH : 0;
  const uint32_t channel = innermost ? blockIdx.y * WIDTH + lane : blockIdx.y;
  const uint32_t step = innermost ? ROWS : THREADS;
  const uint32_t all = s.outer * s.inner, first = blockIdx.x * stretch, end = min(first + stretch, all);
  T sums[TERMS] = {};
  if (channel < s.channels)
    for (uint32_t i = first + (innermost ? threadIdx.x / WIDTH : threadIdx.x); i < end; i += step) {
      const uint32_t outer = i / s.inner;
      T values[TERMS];
      terms(((int64_t)outer * s.channels + channel) * s.inner + (i - outer * s.inner), channel, values);
#pragma unroll
      for (int k = 0; k < TERMS; k++) sums[k] += values[k];
    }
#pragma unroll
  for (int k = 0; k < TERMS; k++) room[k][threadIdx.x] = sums[k];
  __syncthreads();
  // Threads of the same channel are WIDTH apart, or side by side.
  for (uint32_t half = THREADS / 2; half >= (innermost ? WIDTH : 1); half /= 2) {
    if (threadIdx.x < half)
#pragma unroll
      for (int k = 0; k < TERMS; k++) room[k][threadIdx.x] += room[k][threadIdx.x + half];
    __syncthreads();
  }
  if (threadIdx.x < (innermost ? WIDTH : 1) && channel < s.channels)
#pragma unroll
    for (int k = 0; k < TERMS; k++)
      partial[((int64_t)k * gridDim.x + blockIdx.x) * s.channels + channel] = room[k][threadIdx.x];
}

template <class T> DEVICE T add_stretches(const T* partial, int term, uint32_t stretches, uint32_t channels, uint32_t c) {
  T sum = T(0);
  for (uint32_t k = 0; k < stretches; k++) sum += partial[((int64_t)term * stretches + k) * channels + c];
  return sum;
}

// dy where y > 0, or dy itself if there is no y.
template <class T, class S> DEVICE T gate(const S* dy, const S* y, int64_t i) {
  return !y || T(y[i]) > T(0) ? T(dy[i]) : T(0);
}

DEVICE uint32_t channel_of(const Channels& s, uint32_t i) { return i / s.inner % s.channels; }

// Activations are stored as S, statistics and sums as T.
#define STORED(type, T, S)                                                                                             \
  KERNEL(THREADS, sum_values_##type, T* partial, const S* x, Channels s, uint32_t stretch) {                           \
    sum_stretch<1>(partial, s, stretch, [&](int64_t i, uint32_t, T* values) { values[0] = T(x[i]); });                 \
  }                                                                                                                    \
  KERNEL(THREADS, sum_deviations_##type, T* partial, const S* x, const T* mean, Channels s, uint32_t stretch) {        \
    sum_stretch<1>(partial, s, stretch, [&](int64_t i, uint32_t c, T* values) {                                        \
      values[0] = (T(x[i]) - mean[c]) * (T(x[i]) - mean[c]);                                                           \
    });                                                                                                                \
  }                                                                                                                    \
  KERNEL(THREADS, sum_gradients_##type, T* partial, const S* dy, const S* x, const S* y, const T* mean, Channels s,    \
         uint32_t stretch) {                                                                                           \
    sum_stretch<2>(partial, s, stretch, [&](int64_t i, uint32_t c, T* values) {                                        \
      const T dz = gate<T>(dy, y, i);                                                                                  \
      values[0] = dz;                                                                                                  \
      values[1] = dz * (T(x[i]) - mean[c]);                                                                            \
    });                                                                                                                \
  }                                                                                                                    \
  /* y = (x − mean)·scale + shift, plus a residual if there is one, and relu if wanted; scale times istd if given. */  \
  KERNEL(THREADS, apply_##type, S* y, const S* x, const S* residual, const T* mean, const T* scale, const T* istd,     \
         const T* shift, Channels s, int relu) {                                                                       \
    const uint32_t numel = s.outer * s.channels * s.inner;                                                             \
    for (uint32_t i = first_element(); i < numel; i += element_step()) {                                               \
      const uint32_t c = channel_of(s, i);                                                                             \
      const T factor = istd ? scale[c] * istd[c] : scale[c];                                                           \
      T z = (T(x[i]) - mean[c]) * factor + shift[c];                                                                   \
      if (residual) z += T(residual[i]);                                                                               \
      y[i] = S(relu && z <= T(0) ? T(0) : z);                                                                          \
    }                                                                                                                  \
  }                                                                                                                    \
  /* dx = γ·istd·(dz − dβ/m − (x − mean)·istd·dγ/m), and dz itself if wanted. */                                       \
  KERNEL(THREADS, input_gradient_##type, S* dx, S* dr, const S* dy, const S* x, const S* y, const T* mean,             \
         const T* istd, const T* gamma, const T* dgamma, const T* dbeta, Channels s) {                                 \
    const uint32_t numel = s.outer * s.channels * s.inner;                                                             \
    const T m = T((double)s.outer * s.inner);                                                                          \
    for (uint32_t i = first_element(); i < numel; i += element_step()) {                                               \
      const uint32_t c = channel_of(s, i);                                                                             \
      const T dz = gate<T>(dy, y, i);                                                                                  \
      dx[i] = S(gamma[c] * istd[c] * (dz - dbeta[c] / m - (T(x[i]) - mean[c]) * (istd[c] * dgamma[c] / m)));           \
      if (dr) dr[i] = S(dz);                                                                                           \
    }                                                                                                                  \
  }
STORED(f32, float, float)
STORED(f64, double, double)
STORED(bf16, float, bf16)

#define FLOATS(type, T)                                                                                                \
  /* The mean of each channel; if wanted 1/√(mean + eps) too, the mean being a variance. */                           \
  KERNEL(THREADS, finish_mean_##type, T* mean, T* istd, const T* partial, uint32_t stretches, Channels s, double eps) { \
    const uint32_t c = first_element();                                                                                \
    if (c >= s.channels) return;                                                                                       \
    const T value = add_stretches(partial, 0, stretches, s.channels, c) / T((double)s.outer * s.inner);                \
    mean[c] = value;                                                                                                   \
    if (istd) istd[c] = T(1) / root_of(value + T(eps));                                                                \
  }                                                                                                                    \
  KERNEL(THREADS, finish_gradients_##type, T* dgamma, T* dbeta, const T* partial, const T* istd, uint32_t stretches,   \
         Channels s) {                                                                                                 \
    const uint32_t c = first_element();                                                                                \
    if (c >= s.channels) return;                                                                                       \
    dbeta[c] = add_stretches(partial, 0, stretches, s.channels, c);                                                    \
    dgamma[c] = add_stretches(partial, 1, stretches, s.channels, c) * istd[c];                                         \
  }                                                                                                                    \
  /* running = (1 − share)·running + share·factor·new, of mean and variance; the mean's factor is 1. */               \
  KERNEL(THREADS, track_##type, T* running_mean, T* running_variance, const T* mean, const T* variance,                \
         uint32_t channels, double share, double factor) {                                                             \
    const uint32_t c = first_element();                                                                                \
    if (c >= channels) return;                                                                                         \
    running_mean[c] = T(1.0 - share) * running_mean[c] + T(share) * mean[c];                                           \
    running_variance[c] = T(1.0 - share) * running_variance[c] + T(share) * (T(factor) * variance[c]);                 \
  }
FLOATS(f32, float)
FLOATS(f64, double)
