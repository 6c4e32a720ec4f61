// Batch normalisation, with relu and a residual in the same pass. Sums over a channel are made in two steps: each block
// sums a stretch of its channels, and a second kernel adds the stretches in a fixed order. A convolution that knows of the
// normalisation has made the first step for its result (moments.cuh), and its stretches are the rows of its tiles.
#include "bf16.cuh"

// Elements of a channel, or how often it comes in a row of pixels: dense x is `outer` × `channels` × `inner`.
struct Channels {
  uint32_t outer, channels, inner;
};
// Neighbouring channels that a block sums where the channels are innermost.
constexpr int WIDTH = 32;
// Channels that a block finishes, and the rows of stretches that it adds up side by side.
constexpr int FINISHED = 8, ROWS = THREADS / FINISHED;

// Adds what the threads of a channel give, for all of them: they are `apart` from each other, or side by side.
template <class T> DEVICE T sum_block(T value, uint32_t apart) {
  __shared__ T room[THREADS];
  room[threadIdx.x] = value;
  __syncthreads();
  for (uint32_t half = THREADS / 2; half >= apart; half /= 2) {
    if (threadIdx.x < half) room[threadIdx.x] += room[threadIdx.x + half];
    __syncthreads();
  }
  const T sum = room[threadIdx.x % apart];
  __syncthreads();
  return sum;
}

// This block's stretch of a channel, or where the channels are innermost, of WIDTH channels. Grid: (stretches, channels),
// or (stretches, groups of channels).
struct Stretch {
  const Channels& s;
  uint32_t apart, channel, first, end;

  DEVICE Stretch(const Channels& s, uint32_t length) : s(s), apart(s.inner == 1 ? WIDTH : 1) {
    channel = blockIdx.y * apart + threadIdx.x % apart;
    first = blockIdx.x * length;
    end = min(first + length, s.outer * s.inner);
  }
  // Sums `terms(element, values)` over the stretch, for one or two terms at once.
  template <int TERMS, class T, class Terms> DEVICE void sum(T (&sums)[TERMS], Terms terms) const {
    T own[TERMS] = {};
    if (channel < s.channels)
      for (uint32_t i = first + threadIdx.x / apart; i < end; i += THREADS / apart) {
        const uint32_t outer = i / s.inner;
        T values[TERMS];
        terms(((int64_t)outer * s.channels + channel) * s.inner + (i - outer * s.inner), values);
#pragma unroll
        for (int k = 0; k < TERMS; k++) own[k] += values[k];
      }
#pragma unroll
    for (int k = 0; k < TERMS; k++) sums[k] = sum_block(own[k], apart);
  }
  // Writes two sums to partial (2, stretches, channels).
  template <class T> DEVICE void write(T* partial, T first_sum, T second_sum) const {
    if (threadIdx.x >= apart || channel >= s.channels) return;
    partial[(int64_t)blockIdx.x * s.channels + channel] = first_sum;
    partial[(int64_t)(gridDim.x + blockIdx.x) * s.channels + channel] = second_sum;
  }
};

// The channel that this thread helps to finish, and which of its stretches: every ROWS-th from `row` on.
struct Finish {
  uint32_t channel, row, end;

  DEVICE Finish(const Channels& s, uint32_t stretches)
      : channel(blockIdx.x * FINISHED + threadIdx.x % FINISHED), row(threadIdx.x / FINISHED),
        end(channel < s.channels ? stretches : 0) {}
  // The sum of term(stretch), for all threads of the channel.
  template <class Term> DEVICE auto sum(Term term) const {
    decltype(term(row)) sum = 0;
    for (uint32_t k = row; k < end; k += ROWS) sum += term(k);
    return sum_block(sum, FINISHED);
  }
  DEVICE bool writes() const { return row == 0 && end > 0; }
};

// dy where y > 0, or dy itself if there is no y.
template <class T, class S> DEVICE T gate(const S* dy, const S* y, int64_t i) {
  return !y || T(y[i]) > T(0) ? T(dy[i]) : T(0);
}

DEVICE uint32_t channel_of(const Channels& s, uint32_t i) { return i / s.inner % s.channels; }

// Activations are stored as S, statistics and sums as T.
#define STORED(type, T, S)                                                                                             \
  /* The sum of each stretch, and that of its squared deviations from its own mean. */                                 \
  KERNEL(THREADS, sum_moments_##type, T* partial, const S* x, Channels s, uint32_t length) {                           \
    const Stretch stretch(s, length);                                                                                  \
    T sum[1], squares[1];                                                                                              \
    stretch.sum(sum, [&](int64_t i, T* values) { values[0] = T(x[i]); });                                              \
    const T mean = sum[0] / T(stretch.end - stretch.first);                                                            \
    stretch.sum(squares, [&](int64_t i, T* values) { values[0] = (T(x[i]) - mean) * (T(x[i]) - mean); });              \
    stretch.write(partial, sum[0], squares[0]);                                                                        \
  }                                                                                                                    \
  KERNEL(THREADS, sum_gradients_##type, T* partial, const S* dy, const S* x, const S* y, const T* mean, Channels s,    \
         uint32_t length) {                                                                                            \
    const Stretch stretch(s, length);                                                                                  \
    T sums[2];                                                                                                         \
    stretch.sum(sums, [&](int64_t i, T* values) {                                                                      \
      values[0] = gate<T>(dy, y, i);                                                                                   \
      values[1] = values[0] * (T(x[i]) - mean[stretch.channel]);                                                       \
    });                                                                                                                \
    stretch.write(partial, sums[0], sums[1]);                                                                          \
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
  /* The mean of each channel, its biased variance and 1/√(variance + eps), from the sums of its stretches and those   \
     of their squared deviations (Chan, Golub, LeVeque: "Updating formulae and a pairwise algorithm for computing      \
     sample variances", 1979). */                                                                                      \
  KERNEL(THREADS, finish_moments_##type, T* mean, T* variance, T* istd, const T* partial, uint32_t length,             \
         uint32_t stretches, Channels s, double eps) {                                                                 \
    const Finish finish(s, stretches);                                                                                 \
    const uint32_t c = finish.channel, count = s.outer * s.inner;                                                      \
    const T* squares = partial + (int64_t)stretches * s.channels;                                                      \
    const T center = finish.sum([&](uint32_t k) { return partial[(int64_t)k * s.channels + c]; }) / T(count);          \
    const T spread = finish.sum([&](uint32_t k) {                                                                      \
      const T n = T(min(length, count - k * length)), off = partial[(int64_t)k * s.channels + c] / n - center;         \
      return squares[(int64_t)k * s.channels + c] + n * off * off;                                                     \
    }) / T(count);                                                                                                     \
    if (!finish.writes()) return;                                                                                      \
    mean[c] = center;                                                                                                  \
    variance[c] = spread;                                                                                              \
    istd[c] = T(1) / root_of(spread + T(eps));                                                                         \
  }                                                                                                                    \
  KERNEL(THREADS, finish_gradients_##type, T* dgamma, T* dbeta, const T* partial, const T* istd, uint32_t stretches,   \
         Channels s) {                                                                                                 \
    const Finish finish(s, stretches);                                                                                 \
    const uint32_t c = finish.channel;                                                                                 \
    const T shift = finish.sum([&](uint32_t k) { return partial[(int64_t)k * s.channels + c]; });                      \
    const T scale = finish.sum([&](uint32_t k) { return partial[(int64_t)(stretches + k) * s.channels + c]; });        \
    if (!finish.writes()) return;                                                                                      \
    dbeta[c] = shift;                                                                                                  \
    dgamma[c] = scale * istd[c];                                                                                       \
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
