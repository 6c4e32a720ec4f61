// A matrix product on tensor cores: a block of threads computes a tile of D (M×N) = A (M×K) · B (K×N).
//
// A source locates the elements of an operand. An operand extends along its span (rows of A, columns of B) and along K.
// A source has
// - Tile, the operand layout in shared memory: AlongK or AcrossK,
// - base, a pointer,
// - line(span) and k(first, step): precomputed state for a position along the span, and for an advancing one along K,
// - find(line, k, offset): the element's offset from `base`; false if it is outside the tensor and counts as zero, in which
//   case the offset is unspecified.
#pragma once
#include "mma.cuh"

// Mirrored in crates/tensor/src/cuda/tensor_core.rs.
constexpr int TILE_M = 128;
constexpr int TILE_N = 64;
constexpr int TILE_THREADS = 128;

// Prefetch depth: all stages but the one being multiplied have copies in flight.
constexpr int STAGES = 3;
// A warp's part of the tile, in units of the 16×8 of one instruction.
constexpr int WARP_M = 64;
constexpr int WARP_N = 32;

template <class T> constexpr int CHUNK = 16 / sizeof(T);
// The extent along K of one instruction and of one stage: 8 and 16 floats, 16 and 32 bf16.
template <class T> constexpr int STEP_K = 32 / sizeof(T);
template <class T> constexpr int TILE_K = 2 * STEP_K<T>;

// An operand is as wide as the tile. Four 8×8 matrices (8×4 for floats) are loaded at once; these constants say which of
// them are lower in the span and which are further along K. The four of A form one operand of an instruction, those of B
// form two, each of two adjacent registers.
struct A {
  static constexpr int SPAN = TILE_M;
  static DEVICE int lower(int matrix) { return matrix & 1; }
  static DEVICE int further(int matrix) { return matrix >> 1; }
};
struct B {
  static constexpr int SPAN = TILE_N;
  static DEVICE int lower(int matrix) { return matrix >> 1; }
  static DEVICE int further(int matrix) { return matrix & 1; }
};

// A tile of LINES lines in shared memory.
template <int LINES, int LENGTH, int PADDING> struct Lines {
  static constexpr int PITCH = LENGTH + PADDING;
  static constexpr int SIZE = LINES * PITCH;
};

// A tile whose lines, rows of A or columns of B, run along K.
//
// at(span, k) is the position of an element. load reads 16 of the span by one step of K, from the position of their first
// element plus own(), this lane's offset.
template <class T, class Operand_> struct AlongK : Lines<Operand_::SPAN, TILE_K<T>, CHUNK<T>> {
  using Operand = Operand_;
  static constexpr bool ALONG = true;
  static DEVICE int at(int span, int k) { return span * AlongK::PITCH + k; }
  // A chunk of padding places the eight lines that ldmatrix reads at once in different banks.
  static DEVICE int own() {
    const int lane = threadIdx.x & 31, matrix = lane >> 3;
    return at((lane & 7) + Operand::lower(matrix) * 8, Operand::further(matrix) * CHUNK<T>);
  }
  // For ldmatrix a float is a pair of 16-bit elements.
  static DEVICE void load(uint32_t (&r)[4], const T* from) { ldmatrix_x4(r, from); }
};

// A tile whose lines, each as wide as the tile, run across K.
template <class T, class Operand> struct AcrossK;

template <class Operand_> struct AcrossK<uint16_t, Operand_> : Lines<TILE_K<uint16_t>, Operand_::SPAN, 8> {
  using Operand = Operand_;
  static constexpr bool ALONG = false;
  static DEVICE int at(int span, int k) { return span + k * AcrossK::PITCH; }
  static DEVICE int own() {
    const int lane = threadIdx.x & 31, matrix = lane >> 3;
    return at(Operand::lower(matrix) * 8, (lane & 7) + Operand::further(matrix) * 8);
  }
  static DEVICE void load(uint32_t (&r)[4], const uint16_t* from) { ldmatrix_x4_transposed(r, from); }
};

// No instruction transposes floats. A padding of 8 places the four lines that a warp reads at once in different banks.
template <class Operand_> struct AcrossK<float, Operand_> : Lines<TILE_K<float>, Operand_::SPAN, 8> {
  using Operand = Operand_;
  static constexpr bool ALONG = false;
  static DEVICE int at(int span, int k) { return span + k * AcrossK::PITCH; }
  static DEVICE int own() { return at((threadIdx.x & 31) >> 2, threadIdx.x & 3); }
  static DEVICE void load(uint32_t (&r)[4], const float* from) {
#pragma unroll
    for (int e = 0; e < 4; e++) r[e] = __float_as_uint(from[at(Operand::lower(e) * 8, Operand::further(e) * 4)]);
  }
};

// The copies of a thread: SPANS positions along the span, SPAN_APART apart, and for each KS positions along K, K_APART
// apart. Its next copies are one step of K further.

// Chunks of 16 bytes, contiguous along K or across K.
template <class T, class Tile, bool ALONG = Tile::ALONG> struct Chunks {
  static constexpr int IN_LINE = TILE_K<T> / CHUNK<T>;
  static constexpr int SPAN_APART = TILE_THREADS / IN_LINE, SPANS = Tile::Operand::SPAN / SPAN_APART;
  static constexpr int K_APART = TILE_K<T>, KS = 1;
  static DEVICE int span() { return threadIdx.x / IN_LINE; }
  static DEVICE int k() { return threadIdx.x % IN_LINE * CHUNK<T>; }
  static DEVICE void copy(T* to, const T* from, bool inside) { cp_async16(to, from, inside); }
};
template <class T, class Tile> struct Chunks<T, Tile, false> {
  static constexpr int IN_LINE = Tile::Operand::SPAN / CHUNK<T>;
  static constexpr int SPAN_APART = 0, SPANS = 1;
  static constexpr int K_APART = TILE_THREADS / IN_LINE, KS = TILE_K<T> / K_APART;
  static DEVICE int span() { return threadIdx.x % IN_LINE * CHUNK<T>; }
  static DEVICE int k() { return threadIdx.x / IN_LINE; }
  static DEVICE void copy(T* to, const T* from, bool inside) { cp_async16(to, from, inside); }
};

// Element by element, if channels are not whole chunks: a thread has a fixed position along the span.
template <class T, class Tile> struct Singles {
  static constexpr int SPAN_APART = 0, SPANS = 1;
  static constexpr int K_APART = TILE_THREADS / Tile::Operand::SPAN, KS = TILE_K<T> / K_APART;
  static DEVICE int span() { return threadIdx.x % Tile::Operand::SPAN; }
  static DEVICE int k() { return threadIdx.x / Tile::Operand::SPAN; }
  static DEVICE void copy(T* to, const T* from, bool inside) { cp_async4(to, from, inside); }
};

// Loads an operand to shared memory, step by step along K.
template <class Source_, template <class, class> class Copies_> struct Loader {
  using Source = Source_;
  using Tile = typename Source::Tile;
  using T = typename Source::Element;
  using Copies = Copies_<T, Tile>;
  Source source;
  typename Source::Line line[Copies::SPANS];
  typename Source::K k;

  DEVICE Loader(Source source, int first_span, int first_k)
      : source(source), k(source.k(first_k + Copies::k(), Copies::K_APART)) {
#pragma unroll
    for (int i = 0; i < Copies::SPANS; i++) line[i] = source.line(first_span + Copies::span() + i * Copies::SPAN_APART);
  }
  // Starts the copies of the next step.
  DEVICE void fetch(T* tile) {
    T* own = tile + Tile::at(Copies::span(), Copies::k());
#pragma unroll
    for (int j = 0; j < Copies::KS; j++) {
#pragma unroll
      for (int i = 0; i < Copies::SPANS; i++) {
        int64_t offset;
        const bool inside = source.find(line[i], k, offset);
        Copies::copy(own + Tile::at(i * Copies::SPAN_APART, j * Copies::K_APART), source.base + offset, inside);
      }
      k.advance();
    }
  }
};

// A warp's operands of one step of K in blocks of 16 rows of A or columns of B, and its part of the result.
typedef uint32_t BlocksA[WARP_M / 16][4];
typedef uint32_t BlocksB[WARP_N / 16][4];
typedef float Sums[WARP_M / 16][WARP_N / 8][4];

template <void (*MMA)(float (&)[4], const uint32_t (&)[4], const uint32_t (&)[2])>
DEVICE void add_products(float (&sums)[WARP_N / 8][4], const uint32_t (&a)[4], const BlocksB& b) {
#pragma unroll
  for (int j = 0; j < WARP_N / 8; j++) {
    const uint32_t columns[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
    MMA(sums[j], a, columns);
  }
}

template <int BLOCKS> DEVICE void round_to_tf32(uint32_t (&x)[BLOCKS][4]) {
#pragma unroll
  for (int i = 0; i < BLOCKS * 4; i++) x[i / 4][i % 4] = to_tf32(__uint_as_float(x[i / 4][i % 4]));
}

// Splits x = big + the new x, where `big` is x in tf32. For an infinite x, `big` is 2 with its sign and the rest is x
// itself: with 0 or an infinity instead of 2, the three products could add up to NaN.
DEVICE void split(uint32_t (&x)[4], uint32_t (&big)[4]) {
  // From here on rounding to tf32 overflows.
  const float top = __uint_as_float(0x7f7ff000u);
#pragma unroll
  for (int e = 0; e < 4; e++) {
    const float whole = __uint_as_float(x[e]);
    // to_tf32 without its test, which was made above.
    big[e] = (x[e] + 0x1000u) & (abs_of(whole) < top ? 0xffffe000u : 0xc0000000u);
    x[e] = to_tf32(whole - __uint_as_float(big[e]));
  }
}

// The storage format and multiplication of operands.
struct Bf16 {
  using Element = uint16_t;
  static DEVICE void add(Sums& sums, BlocksA& a, BlocksB& b) {
#pragma unroll
    for (int i = 0; i < WARP_M / 16; i++) add_products<mma_bf16>(sums[i], a[i], b);
  }
};

struct Tf32 {
  using Element = float;
  static DEVICE void add(Sums& sums, BlocksA& a, BlocksB& b) {
    round_to_tf32(a);
    round_to_tf32(b);
#pragma unroll
    for (int i = 0; i < WARP_M / 16; i++) add_products<mma_tf32>(sums[i], a[i], b);
  }
};

// Nearly the product of floats: only small · small is omitted. Tensor cores truncate their sums, which biases them; so the
// sums of each step start at zero and are added in ordinary float arithmetic.
struct Tf32x3 {
  using Element = float;
  static DEVICE void add(Sums& sums, BlocksA& a, BlocksB& b) {
    BlocksB big_b;
#pragma unroll
    for (int j = 0; j < WARP_N / 16; j++) split(b[j], big_b[j]);
#pragma unroll
    for (int i = 0; i < WARP_M / 16; i++) {
      uint32_t big_a[4];
      split(a[i], big_a);
#pragma unroll
      for (int j = 0; j < WARP_N / 8; j++) {
        const uint32_t small_column[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
        const uint32_t big_column[2] = {big_b[j / 2][j % 2 * 2], big_b[j / 2][j % 2 * 2 + 1]};
        float step[4] = {};
        mma_tf32(step, a[i], big_column);
        mma_tf32(step, big_a, small_column);
        mma_tf32(step, big_a, big_column);
#pragma unroll
        for (int e = 0; e < 4; e++) sums[i][j][e] += step[e];
      }
    }
  }
};

DEVICE int warp_row() { return (threadIdx.x >> 5) / (TILE_N / WARP_N) * WARP_M; }
DEVICE int warp_column() { return (threadIdx.x >> 5) % (TILE_N / WARP_N) * WARP_N; }

template <class Mode, class TileA, class TileB, class T> DEVICE void add_stage(Sums& sums, const T* a, const T* b) {
  a += TileA::own() + TileA::at(warp_row(), 0);
  b += TileB::own() + TileB::at(warp_column(), 0);
#pragma unroll
  for (int k = 0; k < TILE_K<T>; k += STEP_K<T>) {
    BlocksA rows;
    BlocksB columns;
#pragma unroll
    for (int i = 0; i < WARP_M / 16; i++) TileA::load(rows[i], a + TileA::at(i * 16, k));
#pragma unroll
    for (int j = 0; j < WARP_N / 16; j++) TileB::load(columns[j], b + TileB::at(j * 16, k));
    Mode::add(sums, rows, columns);
  }
}

// Accumulates the next `steps` steps along K.
template <class Mode, class LoaderA, class LoaderB> DEVICE void multiply(Sums& sums, LoaderA a, LoaderB b, int steps) {
  using T = typename Mode::Element;
  using TileA = typename LoaderA::Tile;
  using TileB = typename LoaderB::Tile;
  __shared__ __align__(16) T room_a[STAGES][TileA::SIZE];
  __shared__ __align__(16) T room_b[STAGES][TileB::SIZE];
  // Groups are committed even if there is nothing left to copy, so that the group count still tells what has arrived.
  const auto begin = [&](int step, int stage) {
    if (step < steps) {
      a.fetch(room_a[stage]);
      b.fetch(room_b[stage]);
    }
    cp_commit();
  };
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++) begin(stage, stage);
  int now = 0;
  for (int step = 0; step < steps; step++) {
    cp_wait<STAGES - 2>();
    // All threads' copies of this step have arrived, and all threads are done with the previous stage.
    __syncthreads();
    begin(step + STAGES - 1, now == 0 ? STAGES - 1 : now - 1);
    add_stage<Mode, TileA, TileB>(sums, room_a[now], room_b[now]);
    now = now == STAGES - 1 ? 0 : now + 1;
  }
  cp_wait<0>();
}

// Calls visit(row, column, left, right) for each pair of adjacent elements in a row of the tile.
template <class Visit> DEVICE void for_each_pair(Sums& sums, Visit visit) {
  const int lane = threadIdx.x & 31;
#pragma unroll
  for (int i = 0; i < WARP_M / 16; i++)
#pragma unroll
    for (int j = 0; j < WARP_N / 8; j++)
#pragma unroll
      for (int half = 0; half < 2; half++)
        visit(warp_row() + i * 16 + half * 8 + (lane >> 2), warp_column() + j * 8 + (lane & 3) * 2,
              sums[i][j][half * 2], sums[i][j][half * 2 + 1]);
}
