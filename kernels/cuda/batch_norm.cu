// Batch normalization, with relu and a residual in the same pass. Sums over a channel take two steps: each block sums a
// stretch of its channels, and a second kernel adds the stretches in a fixed order. The epilogue of a convolution can do the
// first step for its result (moments.cuh); its stretches are then the rows of its tiles.
#include "pack.cuh"

// Dense x is `outer` × `channels` × `inner`. `apart` is the number of adjacent threads on different channels of a pixel, a
// power of two; 1 if channels are not innermost.
struct Channels {
  uint32_t outer, channels, inner, apart;
};
// Channels per block in the second step, and the rows of stretches that are added in parallel.
constexpr int FINISHED = 8, ROWS = THREADS / FINISHED;

// Sums the values of all threads of the same channels; every one gets the result.
template <int N, class T> DEVICE void sum_block(T (&values)[N], uint32_t apart) {
  __shared__ T shared[N][THREADS];
#pragma unroll
  for (int k = 0; k < N; k++) shared[k][threadIdx.x] = values[k];
  __syncthreads();
  for (uint32_t half = THREADS / 2; half >= apart; half /= 2) {
    if (threadIdx.x < half)
#pragma unroll
      for (int k = 0; k < N; k++) shared[k][threadIdx.x] += shared[k][threadIdx.x + half];
    __syncthreads();
  }
#pragma unroll
  for (int k = 0; k < N; k++) values[k] = shared[k][threadIdx.x % apart];
  __syncthreads();
}

// The elements of this thread. It stays on PACK adjacent channels, so that per-channel values are read once and kept in
// registers. Grid: (groups of channels, stretches or shares of the pixels).
template <int PACK> struct Share {
  const Channels& s;
  uint32_t channel, begin, end, step;

  // All elements, interleaved with the adjacent blocks.
  DEVICE explicit Share(const Channels& s)
      : Share(s, blockIdx.y * (THREADS / s.apart), s.outer * s.inner, gridDim.y * (THREADS / s.apart)) {}
  // A contiguous stretch of this block.
  DEVICE Share(const Channels& s, uint32_t length)
      : Share(s, blockIdx.y * length, min((blockIdx.y + 1) * length, s.outer * s.inner), THREADS / s.apart) {}
  DEVICE Share(const Channels& s, uint32_t first, uint32_t last, uint32_t step)
      : s(s), channel((blockIdx.x * s.apart + threadIdx.x % s.apart) * PACK), begin(first + threadIdx.x / s.apart),
        end(channel < s.channels ? last : 0), step(step) {}

  template <class Visit> DEVICE void for_each(Visit visit) const {
    for (uint32_t i = begin; i < end; i += step) {
      const uint32_t outer = s.inner == 1 ? i : i / s.inner;
      visit(((int64_t)outer * s.channels + channel) * s.inner + (i - outer * s.inner));
    }
  }
  // Sums terms(element, values) over this thread's elements, then over the block's threads.
  template <int N, class T, class Terms> DEVICE void sum(T (&sums)[N], Terms terms) const {
    for_each([&](int64_t i) {
      T values[N];
      terms(i, values);
#pragma unroll
      for (int k = 0; k < N; k++) sums[k] += values[k];
    });
    sum_block(sums, s.apart);
  }
  // Whether this thread writes the results of its channels.
  DEVICE bool writes() const { return threadIdx.x < s.apart && channel < s.channels; }
  // Per-channel values.
  template <class T> DEVICE void of_channels(T (&values)[PACK], const T* from) const {
#pragma unroll
    for (int k = 0; k < PACK; k++) values[k] = channel < s.channels ? from[channel + k] : T(0);
  }
};

// The channel of this thread in the second step, and its stretches: every ROWS-th from `row` on.
struct Finish {
  uint32_t channel, row, end;

  DEVICE Finish(const Channels& s, uint32_t stretches)
      : channel(blockIdx.x * FINISHED + threadIdx.x % FINISHED), row(threadIdx.x / FINISHED),
        end(channel < s.channels ? stretches : 0) {}
  // The sum of term(stretch), for all threads of the channel.
  template <class Term> DEVICE auto sum(Term term) const {
    decltype(term(row)) sum[1] = {0};
    for (uint32_t k = row; k < end; k += ROWS) sum[0] += term(k);
    sum_block(sum, FINISHED);
    return sum[0];
  }
  DEVICE bool writes(const Channels& s) const { return row == 0 && channel < s.channels; }
};

// dz of a pack: dy where y > 0, or dy itself if there is no y.
template <int PACK, class T, class S> DEVICE void gate(T (&dz)[PACK], const S* dy, const S* y, int64_t i) {
  read(dz, dy + i);
  if (!y) return;
  T z[PACK];
  read(z, y + i);
#pragma unroll
  for (int k = 0; k < PACK; k++) dz[k] = z[k] > T(0) ? dz[k] : T(0);
}

// The sum of each stretch, and that of its squared deviations from its own mean: those from the rounded mean, less what its
// rounding adds.
template <int PACK, class T, class S>
DEVICE void sum_moments(T* partial, const S* x, const Channels& s, uint32_t length) {
  const Share<PACK> share(s, length);
  T sums[PACK] = {}, deviations[2 * PACK] = {}, mean[PACK];
  share.sum(sums, [&](int64_t i, T(&v)[PACK]) { read(v, x + i); });
  const T count = T(min(length, s.outer * s.inner - blockIdx.y * length));
#pragma unroll
  for (int k = 0; k < PACK; k++) mean[k] = sums[k] / count;
  share.sum(deviations, [&](int64_t i, T(&v)[2 * PACK]) {
    T value[PACK];
    read(value, x + i);
#pragma unroll
    for (int k = 0; k < PACK; k++) {
      v[k] = value[k] - mean[k];
      v[PACK + k] = v[k] * v[k];
    }
  });
  if (!share.writes()) return;
  T* to = partial + (int64_t)blockIdx.y * s.channels + share.channel;
#pragma unroll
  for (int k = 0; k < PACK; k++) {
    to[k] = sums[k] + deviations[k];
    to[(int64_t)gridDim.y * s.channels + k] = deviations[PACK + k] - deviations[k] * (deviations[k] / count);
  }
}

// Σ dz and Σ dz·(x − mean) of each stretch.
template <int PACK, class T, class S>
DEVICE void sum_gradients(T* partial, const S* dy, const S* x, const S* y, const T* means, const Channels& s,
                          uint32_t length) {
  const Share<PACK> share(s, length);
  T sums[2 * PACK] = {}, mean[PACK];
  share.of_channels(mean, means);
  share.sum(sums, [&](int64_t i, T(&v)[2 * PACK]) {
    T dz[PACK], value[PACK];
    gate(dz, dy, y, i);
    read(value, x + i);
#pragma unroll
    for (int k = 0; k < PACK; k++) {
      v[k] = dz[k];
      v[PACK + k] = dz[k] * (value[k] - mean[k]);
    }
  });
  if (!share.writes()) return;
  T* to = partial + (int64_t)blockIdx.y * s.channels + share.channel;
#pragma unroll
  for (int k = 0; k < PACK; k++) {
    to[k] = sums[k];
    to[(int64_t)gridDim.y * s.channels + k] = sums[PACK + k];
  }
}

// y = (x − mean)·scale + shift, plus a residual if there is one, and relu if wanted; scale times istd if given.
template <int PACK, class T, class S>
DEVICE void apply(S* y, const S* x, const S* residual, const T* means, const T* scales, const T* istds, const T* shifts,
                  const Channels& s, int relu) {
  const Share<PACK> share(s);
  T mean[PACK], factor[PACK], shift[PACK];
  share.of_channels(mean, means);
  share.of_channels(factor, scales);
  share.of_channels(shift, shifts);
  if (istds) {
    T istd[PACK];
    share.of_channels(istd, istds);
#pragma unroll
    for (int k = 0; k < PACK; k++) factor[k] *= istd[k];
  }
  share.for_each([&](int64_t i) {
    T z[PACK];
    read(z, x + i);
#pragma unroll
    for (int k = 0; k < PACK; k++) z[k] = (z[k] - mean[k]) * factor[k] + shift[k];
    if (residual) {
      T r[PACK];
      read(r, residual + i);
#pragma unroll
      for (int k = 0; k < PACK; k++) z[k] += r[k];
    }
#pragma unroll
    for (int k = 0; k < PACK; k++) z[k] = relu && z[k] <= T(0) ? T(0) : z[k];
    write(y + i, z);
  });
}

// dx = γ·istd·(dz − dβ/m − (x − mean)·istd·dγ/m), and dz itself if wanted.
template <int PACK, class T, class S>
DEVICE void input_gradient(S* dx, S* dr, const S* dy, const S* x, const S* y, const T* means, const T* istds,
                           const T* gammas, const T* dgammas, const T* dbetas, const Channels& s) {
  const Share<PACK> share(s);
  const T m = T((double)s.outer * s.inner);
  T mean[PACK], factor[PACK], shift[PACK], slope[PACK];
  {
    T istd[PACK], gamma[PACK];
    share.of_channels(mean, means);
    share.of_channels(istd, istds);
    share.of_channels(gamma, gammas);
    share.of_channels(shift, dbetas);
    share.of_channels(slope, dgammas);
#pragma unroll
    for (int k = 0; k < PACK; k++) {
      factor[k] = gamma[k] * istd[k];
      shift[k] /= m;
      slope[k] = istd[k] * slope[k] / m;
    }
  }
  share.for_each([&](int64_t i) {
    T dz[PACK], value[PACK];
    gate(dz, dy, y, i);
    read(value, x + i);
    if (dr) write(dr + i, dz);
#pragma unroll
    for (int k = 0; k < PACK; k++) value[k] = factor[k] * (dz[k] - shift[k] - (value[k] - mean[k]) * slope[k]);
    write(dx + i, value);
  });
}

// Activations are stored as S, statistics and sums are T. In packs of channels where these are innermost.
#define STORED(type, T, S, PACK)                                                                                       \
  KERNEL(THREADS, sum_moments_##type, T* partial, const S* x, Channels s, uint32_t length) {                           \
    sum_moments<PACK>(partial, x, s, length);                                                                          \
  }                                                                                                                    \
  KERNEL(THREADS, sum_gradients_##type, T* partial, const S* dy, const S* x, const S* y, const T* mean, Channels s,    \
         uint32_t length) {                                                                                            \
    sum_gradients<PACK>(partial, dy, x, y, mean, s, length);                                                           \
  }                                                                                                                    \
  KERNEL(THREADS, apply_##type, S* y, const S* x, const S* residual, const T* mean, const T* scale, const T* istd,     \
         const T* shift, Channels s, int relu) {                                                                       \
    apply<PACK>(y, x, residual, mean, scale, istd, shift, s, relu);                                                    \
  }                                                                                                                    \
  KERNEL(THREADS, input_gradient_##type, S* dx, S* dr, const S* dy, const S* x, const S* y, const T* mean,             \
         const T* istd, const T* gamma, const T* dgamma, const T* dbeta, Channels s) {                                 \
    input_gradient<PACK>(dx, dr, dy, x, y, mean, istd, gamma, dgamma, dbeta, s);                                       \
  }
STORED(f32, float, float, 1)
STORED(f64, double, double, 1)
STORED(bf16, float, bf16, 1)
STORED(f32x4, float, float, 4)
STORED(bf16x8, float, bf16, 8)

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
    const auto size = [&](uint32_t k) { return T(min(length, count - k * length)); };                                  \
    const auto off = [&](uint32_t k) { return partial[(int64_t)k * s.channels + c] / size(k) - center; };              \
    /* The error of the rounded mean, which would add its square to the variance. */                                   \
    const T error = finish.sum([&](uint32_t k) { return size(k) * off(k); }) / T(count);                               \
    const T about = finish.sum([&](uint32_t k) {                                                                       \
      return squares[(int64_t)k * s.channels + c] + size(k) * off(k) * off(k);                                         \
    }) / T(count) - error * error;                                                                                     \
    const T spread = about < T(0) ? T(0) : about;                                                                      \
    if (!finish.writes(s)) return;                                                                                     \
    mean[c] = center + error;                                                                                          \
    variance[c] = spread;                                                                                              \
    istd[c] = T(1) / root_of(spread + T(eps));                                                                         \
  }                                                                                                                    \
  KERNEL(THREADS, finish_gradients_##type, T* dgamma, T* dbeta, const T* partial, const T* istd, uint32_t stretches,   \
         Channels s) {                                                                                                 \
    const Finish finish(s, stretches);                                                                                 \
    const uint32_t c = finish.channel;                                                                                 \
    const T shift = finish.sum([&](uint32_t k) { return partial[(int64_t)k * s.channels + c]; });                      \
    const T scale = finish.sum([&](uint32_t k) { return partial[(int64_t)(stretches + k) * s.channels + c]; });        \
    if (!finish.writes(s)) return;                                                                                     \
    dbeta[c] = shift;                                                                                                  \
    dgamma[c] = scale * istd[c];                                                                                       \
  }                                                                                                                    \
  /* running = (1 − share)·running + share·factor·new, of mean and variance; the mean's factor is 1. */                \
  KERNEL(THREADS, track_##type, T* running_mean, T* running_variance, const T* mean, const T* variance,                \
         uint32_t channels, double share, double factor) {                                                             \
    const uint32_t c = first_element();                                                                                \
    if (c >= channels) return;                                                                                         \
    running_mean[c] = T(1.0 - share) * running_mean[c] + T(share) * mean[c];                                           \
    running_variance[c] = T(1.0 - share) * running_variance[c] + T(share) * (T(factor) * variance[c]);                 \
  }
FLOATS(f32, float)
FLOATS(f64, double)
