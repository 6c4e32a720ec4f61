// The epilogue of a convolution that computes channel statistics for batch normalization while the tile is in registers.
#pragma once
#include "gemm.cuh"

// Rounds two values to their storage format.
template <class T> DEVICE void round_stored(float& left, float& right);
template <> DEVICE void round_stored<float>(float&, float&) {}
template <> DEVICE void round_stored<uint16_t>(float& left, float& right) {
  const uint32_t pair = to_bf16_pair(left, right);
  left = __uint_as_float(pair << 16);
  right = __uint_as_float(pair & 0xffff0000u);
}

constexpr int LANES_ALONG_N = 4;

// Column sums of the parts of a tile that are above each other.
template <class Shape> using ColumnSums = float[Shape::WARPS_ALONG_M][Shape::N];

// Sums term(value, column) over the tile's rows below `rows`; `column` is an index into this thread's columns. The sums of
// all warps are in `shared`, for all threads to read after a barrier.
template <class Shape, class Term>
DEVICE void sum_columns(ColumnSums<Shape>& shared, const typename Shape::Sums& sums, int rows, Term term) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int j = 0; j < Shape::WARP_N / 8; j++)
#pragma unroll
    for (int side = 0; side < 2; side++) {
      float sum = 0.0f;
#pragma unroll
      for (int i = 0; i < Shape::WARP_M / 16; i++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int row = Shape::warp_row() + i * 16 + half * 8 + lane / LANES_ALONG_N;
          if (row < rows) sum += term(sums[i][j][half * 2 + side], j * 2 + side);
        }
      for (int by = LANES_ALONG_N; by < 32; by *= 2) sum += __shfl_xor_sync(0xffffffffu, sum, by);
      if (lane < LANES_ALONG_N)
        shared[Shape::warp_row() / Shape::WARP_M][Shape::warp_column() + j * 8 + lane * 2 + side] = sum;
    }
}

// Writes to moments (2, tiles, channels) each column's sum over the tile's rows, and the sum of squared deviations from its
// mean over these rows. The overall mean is not known yet; batch_norm.cu merges the tiles. The sum of the deviations, which
// is not 0 because the mean is rounded, corrects both.
template <class T, class Shape>
DEVICE void write_moments(float* moments, typename Shape::Sums& sums, int rows, int tile, int tiles, int first_channel,
                          int channels) {
  static_assert(Shape::N <= TILE_THREADS, "a thread writes a column");
  __shared__ ColumnSums<Shape> values, errors, deviations;
  const auto of_all_warps = [](const ColumnSums<Shape>& shared, int column) {
    float sum = shared[0][column];
#pragma unroll
    for (int i = 1; i < Shape::WARPS_ALONG_M; i++) sum += shared[i][column];
    return sum;
  };
  for_each_pair<Shape>(sums, [](int, int, float& left, float& right) { round_stored<T>(left, right); });
  rows = min(rows, Shape::M);
  sum_columns<Shape>(values, sums, rows, [](float value, int) { return value; });
  __syncthreads();
  float mean[Shape::WARP_N / LANES_ALONG_N];
#pragma unroll
  for (int k = 0; k < Shape::WARP_N / LANES_ALONG_N; k++)
    mean[k] = of_all_warps(values, Shape::warp_column() + k / 2 * 8 + (threadIdx.x & 3) * 2 + k % 2) / (float)rows;
  sum_columns<Shape>(errors, sums, rows, [&](float value, int k) { return value - mean[k]; });
  sum_columns<Shape>(deviations, sums, rows, [&](float value, int k) { return (value - mean[k]) * (value - mean[k]); });
  __syncthreads();
  const int column = threadIdx.x, channel = first_channel + column;
  if (column >= Shape::N || channel >= channels) return;
  const float error = of_all_warps(errors, column);
  moments[(int64_t)tile * channels + channel] = of_all_warps(values, column) + error;
  moments[(int64_t)(tiles + tile) * channels + channel] = of_all_warps(deviations, column) - error * (error / (float)rows);
}
