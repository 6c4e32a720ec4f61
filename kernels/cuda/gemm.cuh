// A matrix product on tensor cores: a block of threads computes a tile of D (M×N) = A (M×K) · B (K×N).
//
// A source locates the elements of an operand. An operand extends along its span (rows of A, columns of B) and along K.
// A source has
// - Tile, the operand layout in shared memory for a shape of tiles: AlongK or AcrossK,
// - line(span) and k(first, step): precomputed state for a position along the span, and for an advancing one along K,
// - find(line, k, from): the element's address; false if it is outside the tensor and counts as zero, in which case the
//   address is unspecified. Offsets in a tensor fit in an int.
#pragma once
#include "mma.cuh"

constexpr int TILE_THREADS = 128;

template <class T> constexpr int CHUNK = 16 / sizeof(T);
// The extent along K of one instruction: 8 floats, 16 bf16.
template <class T> constexpr int STEP_K = 32 / sizeof(T);

// A shape of tiles: its rows and columns, those of a warp's part, and the extent of a stage along K in instructions. All
// stages but the one being multiplied have copies in flight. Mirrored in crates/tensor/src/cuda/tile.rs.
template <int M_, int N_, int WARP_M_, int WARP_N_, int DEPTH_, int STAGES_> struct Shape {
  static constexpr int M = M_, N = N_, WARP_M = WARP_M_, WARP_N = WARP_N_, DEPTH = DEPTH_, STAGES = STAGES_;
  static constexpr int WARPS_ALONG_M = M / WARP_M, WARPS_ALONG_N = N / WARP_N;
  static_assert(WARPS_ALONG_M * WARPS_ALONG_N * 32 == TILE_THREADS, "each warp has a part");
  template <class T> static constexpr int K = DEPTH * STEP_K<T>;
  // The bytes of shared memory: the stages, where both operands have the longest lines, those along K; then, for many rows,
  // what a source has precomputed for each.
  static constexpr int STAGED = STAGES * (M + N) * (DEPTH * 32 + 16);
  static constexpr int BYTES = STAGED + (M > 128 ? M * 16 : 0);

  // A warp's operands of one step of K in blocks of 16 rows of A or columns of B, and its part of the result.
  typedef uint32_t BlocksA[WARP_M / 16][4];
  typedef uint32_t BlocksB[WARP_N / 16][4];
  typedef float Sums[WARP_M / 16][WARP_N / 8][4];

  static DEVICE int warp_row() { return (threadIdx.x >> 5) / WARPS_ALONG_N * WARP_M; }
  static DEVICE int warp_column() { return (threadIdx.x >> 5) % WARPS_ALONG_N * WARP_N; }
};
using Narrow = Shape<128, 64, 64, 32, 2, 3>;
// Two thirds of the reads of L2 and of shared memory for a product. A stage's lines along K are the 128 bytes of a cache line.
using Wide = Shape<128, 128, 64, 64, 4, 3>;
// For few columns.
using Tall = Shape<256, 64, 64, 64, 4, 2>;

// An operand is as wide as the tile. Four 8×8 matrices (8×4 for floats) are loaded at once; these functions say which of
// them are lower in the span and which are further along K. The four of A form one operand of an instruction, those of B
// form two, each of two adjacent registers.
template <class Shape_> struct A {
  using Shape = Shape_;
  static constexpr int SPAN = Shape::M;
  static DEVICE int lower(int matrix) { return matrix & 1; }
  static DEVICE int further(int matrix) { return matrix >> 1; }
};
template <class Shape_> struct B {
  using Shape = Shape_;
  static constexpr int SPAN = Shape::N;
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
template <class T, class Operand_> struct AlongK : Lines<Operand_::SPAN, Operand_::Shape::template K<T>, CHUNK<T>> {
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

template <class Operand_> struct AcrossK<uint16_t, Operand_> : Lines<Operand_::Shape::template K<uint16_t>, Operand_::SPAN, 8> {
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
template <class Operand_> struct AcrossK<float, Operand_> : Lines<Operand_::Shape::template K<float>, Operand_::SPAN, 8> {
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
  static constexpr int K = Tile::Operand::Shape::template K<T>, IN_LINE = K / CHUNK<T>;
  static constexpr int SPAN_APART = TILE_THREADS / IN_LINE, SPANS = Tile::Operand::SPAN / SPAN_APART;
  static constexpr int K_APART = K, KS = 1;
  static DEVICE int span() { return threadIdx.x / IN_LINE; }
  static DEVICE int k() { return threadIdx.x % IN_LINE * CHUNK<T>; }
  static DEVICE void copy(T* to, const T* from, bool inside) { cp_async16(to, from, inside); }
};
template <class T, class Tile> struct Chunks<T, Tile, false> {
  static constexpr int IN_LINE = Tile::Operand::SPAN / CHUNK<T>;
  static constexpr int SPAN_APART = 0, SPANS = 1;
  static constexpr int K_APART = TILE_THREADS / IN_LINE, KS = Tile::Operand::Shape::template K<T> / K_APART;
  static DEVICE int span() { return threadIdx.x % IN_LINE * CHUNK<T>; }
  static DEVICE int k() { return threadIdx.x / IN_LINE; }
  static DEVICE void copy(T* to, const T* from, bool inside) { cp_async16(to, from, inside); }
};

// Element by element, if channels are not whole chunks: a thread has a fixed position along the span.
template <class T, class Tile> struct Singles {
  static constexpr int SPAN_APART = 0, SPANS = 1;
  static constexpr int K_APART = TILE_THREADS / Tile::Operand::SPAN, KS = Tile::Operand::Shape::template K<T> / K_APART;
  static DEVICE int span() { return threadIdx.x % Tile::Operand::SPAN; }
  static DEVICE int k() { return threadIdx.x / Tile::Operand::SPAN; }
  static DEVICE void copy(T* to, const T* from, bool inside) { cp_async4(to, from, inside); }
};

// Loads an operand to shared memory, step by step along K.
template <class Source_, class Shape, template <class, class> class Copies_> struct Loader {
  using Source = Source_;
  using Tile = typename Source::template Tile<Shape>;
  using T = typename Source::Element;
  using Copies = Copies_<T, Tile>;
  using Line = typename Source::Line;
  // More lines than there are registers for are in shared memory, where threads share them.
  static constexpr bool SHARED = Copies::SPANS > 8;
  // Lines that are read at once, before any of their copies starts.
  static constexpr int BATCH = Copies::SPANS < 4 ? Copies::SPANS : 4;
  Source source;
  typename Source::K k;
  Line own[SHARED ? 1 : Copies::SPANS];

  // To be followed by a barrier.
  DEVICE Loader(Source source, int first_span, int first_k)
      : source(source), k(source.k(first_k + Copies::k(), Copies::K_APART)) {
    if constexpr (SHARED) {
      for (int i = threadIdx.x; i < Tile::Operand::SPAN; i += TILE_THREADS) lines()[i] = source.line(first_span + i);
    } else {
#pragma unroll
      for (int i = 0; i < Copies::SPANS; i++) own[i] = source.line(first_span + Copies::span() + i * Copies::SPAN_APART);
    }
  }
  static DEVICE Line* lines() {
    static_assert(!SHARED || Shape::BYTES - Shape::STAGED >= Tile::Operand::SPAN * (int)sizeof(Line), "the host reserves it");
    DYNAMIC_SHARED(room);
    return (Line*)(room + Shape::STAGED);
  }
  DEVICE Line line(int i) const {
    if constexpr (SHARED) return lines()[Copies::span() + i * Copies::SPAN_APART];
    else return own[i];
  }
  // Starts the copies of the next step.
  DEVICE void fetch(T* tile, bool live) {
    T* to = tile + Tile::at(Copies::span(), Copies::k());
#pragma unroll
    for (int j = 0; j < Copies::KS; j++) {
#pragma unroll
      for (int first = 0; first < Copies::SPANS; first += BATCH) {
        Line lines[BATCH];
#pragma unroll
        for (int i = 0; i < BATCH; i++) lines[i] = line(first + i);
#pragma unroll
        for (int i = 0; i < BATCH; i++) {
          const T* from;
          const bool inside = source.find(lines[i], k, from) & live;
          Copies::copy(to + Tile::at((first + i) * Copies::SPAN_APART, j * Copies::K_APART), from, inside);
        }
      }
      k.advance();
    }
  }
};

template <void (*MMA)(float (&)[4], const uint32_t (&)[4], const uint32_t (&)[2]), int COLUMNS, int BLOCKS>
DEVICE void add_products(float (&sums)[COLUMNS][4], const uint32_t (&a)[4], const uint32_t (&b)[BLOCKS][4]) {
#pragma unroll
  for (int j = 0; j < COLUMNS; j++) {
    const uint32_t columns[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
    MMA(sums[j], a, columns);
  }
}

template <int BLOCKS> DEVICE void round_to_tf32(uint32_t (&x)[BLOCKS][4]) {
#pragma unroll
  for (int i = 0; i < BLOCKS * 4; i++) x[i / 4][i % 4] = to_tf32(__uint_as_float(x[i / 4][i % 4]));
}

// Splits x = big + the new x, where `big` is x in tf32. For an infinite x, `big` is 2 with its sign and the rest is x
// itself: with 0 or an infinity instead of 2, the three products could add up to NaN. The rest has at most 13 bits, of which
// tensor cores ignore all but 11: an error below 2⁻²³ of x, of either sign.
DEVICE void split(uint32_t (&x)[4], uint32_t (&big)[4]) {
  // From here on rounding to tf32 overflows.
  const float top = __uint_as_float(0x7f7ff000u);
#pragma unroll
  for (int e = 0; e < 4; e++) {
    const float whole = __uint_as_float(x[e]);
    // to_tf32 without its test, which was made above.
    big[e] = (x[e] + 0x1000u) & (abs_of(whole) < top ? 0xffffe000u : 0xc0000000u);
    x[e] = __float_as_uint(whole - __uint_as_float(big[e]));
  }
}

// The storage format and multiplication of operands.
struct Bf16 {
  using Element = uint16_t;
  template <class Shape>
  static DEVICE void add(typename Shape::Sums& sums, typename Shape::BlocksA& a, typename Shape::BlocksB& b) {
#pragma unroll
    for (int i = 0; i < Shape::WARP_M / 16; i++) add_products<mma_bf16>(sums[i], a[i], b);
  }
};

struct Tf32 {
  using Element = float;
  template <class Shape>
  static DEVICE void add(typename Shape::Sums& sums, typename Shape::BlocksA& a, typename Shape::BlocksB& b) {
    round_to_tf32(a);
    round_to_tf32(b);
#pragma unroll
    for (int i = 0; i < Shape::WARP_M / 16; i++) add_products<mma_tf32>(sums[i], a[i], b);
  }
};

// Nearly the product of floats: only small · small is omitted. Tensor cores truncate their sums, which biases them; so the
// sums of each step start at zero and are added in ordinary float arithmetic.
struct Tf32x3 {
  using Element = float;
  template <class Shape>
  static DEVICE void add(typename Shape::Sums& sums, typename Shape::BlocksA& a, typename Shape::BlocksB& b) {
    typename Shape::BlocksB big_b;
#pragma unroll
    for (int j = 0; j < Shape::WARP_N / 16; j++) split(b[j], big_b[j]);
#pragma unroll
    for (int i = 0; i < Shape::WARP_M / 16; i++) {
      uint32_t big_a[4];
      split(a[i], big_a);
#pragma unroll
      for (int j = 0; j < Shape::WARP_N / 8; j++) {
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

// Multiplies a stage; `meanwhile` is called once the first operands are requested, so that its instructions can be issued
// between those of the products.
template <class Mode, class Shape, class TileA, class TileB, class T, class Meanwhile>
DEVICE void add_stage(typename Shape::Sums& sums, const T* a, const T* b, Meanwhile meanwhile) {
  a += TileA::own() + TileA::at(Shape::warp_row(), 0);
  b += TileB::own() + TileB::at(Shape::warp_column(), 0);
#pragma unroll
  for (int k = 0; k < Shape::template K<T>; k += STEP_K<T>) {
    typename Shape::BlocksA rows;
    typename Shape::BlocksB columns;
#pragma unroll
    for (int i = 0; i < Shape::WARP_M / 16; i++) TileA::load(rows[i], a + TileA::at(i * 16, k));
#pragma unroll
    for (int j = 0; j < Shape::WARP_N / 16; j++) TileB::load(columns[j], b + TileB::at(j * 16, k));
    if (k == 0) meanwhile();
    Mode::template add<Shape>(sums, rows, columns);
  }
}

// Accumulates the next `steps` steps along K.
template <class Mode, class Shape, class LoaderA, class LoaderB>
DEVICE void multiply(typename Shape::Sums& sums, LoaderA a, LoaderB b, int steps) {
  using T = typename Mode::Element;
  using TileA = typename LoaderA::Tile;
  using TileB = typename LoaderB::Tile;
  constexpr int STAGES = Shape::STAGES, STAGE = TileA::SIZE + TileB::SIZE;
  static_assert(STAGES * STAGE * sizeof(T) <= Shape::STAGED, "the host reserves as much");
  DYNAMIC_SHARED(room);
  T* const stages = (T*)room;
  // Groups are committed even if there is nothing left to copy, so that the group count still tells what has arrived.
  const auto begin = [&](int step, int stage) {
    a.fetch(stages + stage * STAGE, step < steps);
    b.fetch(stages + stage * STAGE + TileA::SIZE, step < steps);
    cp_commit();
  };
  if constexpr (LoaderA::SHARED || LoaderB::SHARED) __syncthreads();
#pragma unroll
  for (int stage = 0; stage < STAGES - 1; stage++) begin(stage, stage);
  int now = 0;
  for (int step = 0; step < steps; step++) {
    cp_wait<STAGES - 2>();
    // All threads' copies of this step have arrived, and all threads are done with the previous stage.
    __syncthreads();
    const T* const stage = stages + now * STAGE;
    add_stage<Mode, Shape, TileA, TileB>(sums, stage, stage + TileA::SIZE,
                                         [&] { begin(step + STAGES - 1, now == 0 ? STAGES - 1 : now - 1); });
    now = now == STAGES - 1 ? 0 : now + 1;
  }
  cp_wait<0>();
}

// This thread has rows own_row(0), …, own_row(ROWS - 1) of the tile, and in each of them pairs of adjacent columns.
template <class Shape> constexpr int ROWS = Shape::WARP_M / 8;
template <class Shape> constexpr int PAIRS = Shape::WARP_N / 8;
template <class Shape> DEVICE int own_row(int i) { return Shape::warp_row() + i * 8 + ((threadIdx.x & 31) >> 2); }
template <class Shape> DEVICE int own_column(int j) { return Shape::warp_column() + j * 8 + (threadIdx.x & 3) * 2; }

// Calls visit(row, column, left, right) for each pair.
template <class Shape, class Visit> DEVICE void for_each_pair(typename Shape::Sums& sums, Visit visit) {
#pragma unroll
  for (int i = 0; i < ROWS<Shape>; i++)
#pragma unroll
    for (int j = 0; j < PAIRS<Shape>; j++)
      visit(own_row<Shape>(i), own_column<Shape>(j), sums[i / 2][j][i % 2 * 2], sums[i / 2][j][i % 2 * 2 + 1]);
}
