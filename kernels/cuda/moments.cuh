// The epilogue of a convolution that computes channel statistics for batch normalization while the tile is in registers.
#pragma once
#include "gemm.cuh"

// A value rounded to its storage format.
template <class T> DEVICE float stored(float x);
template <> DEVICE float stored<float>(float x) { return x; }
template <> DEVICE float stored<uint16_t>(float x) { return from_bf16(to_bf16(x)); }

constexpr int WARPS_ALONG_M = TILE_M / WARP_M;
constexpr int LANES_ALONG_N = 4;

// Sums term(value, column) over the tile's rows below `rows`; `column` is an index into this thread's columns. The sums of
// all warps are in `shared`, for all threads to read.
template <class T, class Term>
DEVICE void sum_columns(float (&shared)[WARPS_ALONG_M][TILE_N], const Sums& sums, int rows, Term term) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int j = 0; j < WARP_N / 8; j++)
#pragma unroll
    for (int side = 0; side < 2; side++) {
      float sum = 0.0f;
#pragma unroll
      for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int row = warp_row() + i * 16 + half * 8 + lane / LANES_ALONG_N;
          if (row < rows) sum += term(stored<T>(sums[i][j][half * 2 + side]), j * 2 + side);
        }
      for (int by = LANES_ALONG_N; by < 32; by *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
      if (lane < LANES_ALONG_N) shared[warp_row() / WARP_M][warp_column() + j * 8 + lane * 2 + side] = sum;
    }
  __syncthreads();
}

DEVICE float both_warps(const float (&shared)[WARPS_ALONG_M][TILE_N], int column) {
  return shared[0][column] + shared[1][column];
}

// Writes to moments (2, tiles, channels) each column's sum over the tile's rows, and the sum of squared deviations from its
// mean over these rows. The overall mean is not known yet; batch_norm.cu merges the tiles. The sum of the deviations, which
// is not 0 because the mean is rounded, corrects both.
template <class T>
DEVICE void write_moments(float* moments, const Sums& sums, int rows, int first_channel, int channels) {
  static_assert(WARPS_ALONG_M == 2, "both_warps adds two");
  __shared__ float values[WARPS_ALONG_M][TILE_N], errors[WARPS_ALONG_M][TILE_N], deviations[WARPS_ALONG_M][TILE_N];
  rows = min(rows, TILE_M);
  sum_columns<T>(values, sums, rows, [](float value, int) { return value; });
  float mean[WARP_N / LANES_ALONG_N];
#pragma unroll
  for (int k = 0; k < WARP_N / LANES_ALONG_N; k++)
    mean[k] = both_warps(values, warp_column() + k / 2 * 8 + (threadIdx.x & 3) * 2 + k % 2) / (float)rows;
  sum_columns<T>(errors, sums, rows, [&](float value, int k) { return value - mean[k]; });
  sum_columns<T>(deviations, sums, rows, [&](float value, int k) { return (value - mean[k]) * (value - mean[k]); });
  const int column = threadIdx.x, channel = first_channel + column;
  if (column >= TILE_N || channel >= channels) return;
  const float error = both_warps(errors, column);
  moments[(int64_t)blockIdx.x * channels + channel] = both_warps(values, column) + error;
  moments[(int64_t)(gridDim.x + blockIdx.x) * channels + channel] =
      both_warps(deviations, column) - error * (error / (float)rows);
}
