// The product of two matrices on the tensor cores: a block of threads makes a tile of D (M×N) = A (M×K) · B (K×N).
//
// Where an operand's elements come from is its source's business. An operand is `span` wide (rows of A, columns of B) and
// goes along K. A source has
// - Tile, the layout of its tile in shared memory: AlongK or AcrossK,
// - base, a pointer,
// - line(span) and k(first, step): what is to know of a place along the span, and of one along K that advances,
// - find(line, k, offset): where from `base` the element lies; false if it is outside the tensor, which stands for a
//   zero, and then the offset means nothing.
#pragma once
#include "mma.cuh"

// What the launches know as well: crates/tensor/src/cuda/tensor_core.rs.
constexpr int TILE_M = 128;
constexpr int TILE_N = 64;
constexpr int TILE_THREADS = 128;

// Copies are under way for all but one of the stages, whose data is being multiplied.
constexpr int STAGES = 3;
// A warp's part of the tile, made of the 16×8 that one instruction makes.
constexpr int WARP_M = 64;
constexpr int WARP_N = 32;

template <class T> constexpr int CHUNK = 16 / sizeof(T);
// How far along K one instruction goes, and one stage: 8 and 16 floats, 16 and 32 bf16.
template <class T> constexpr int STEP_K = 32 / sizeof(T);
template <class T> constexpr int TILE_K = 2 * STEP_K<T>;

// An operand is as wide as the tile. Four 8×8 matrices of it (of floats 8×4) are loaded at once: which of them are
// lower in the span, and which further along K. A's four are one operand of an instruction, B's are two, each of two
// registers that have to be neighbors.
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

// A tile in shared memory of LINES lines.
template <int LINES, int LENGTH, int PADDING> struct Lines {
  static constexpr int PITCH = LENGTH + PADDING;
  static constexpr int SIZE = LINES * PITCH;
};

// A tile whose lines, each a row of A or a column of B, go along K.
//
// at(span, k) is an element's place; load gets 16 of the span by one step of K, and wants the place of their first
// element plus own(), this lane's share.
template <class T, class Operand_> struct AlongK : Lines<Operand_::SPAN, TILE_K<T>, CHUNK<T>> {
  using Operand = Operand_;
  static constexpr bool ALONG = true;
  static DEVICE int at(int span, int k) { return span * AlongK::PITCH + k; }
  // With a chunk of padding, the eight lines that ldmatrix reads at once begin in different banks.
  static DEVICE int own() {
    const int lane = threadIdx.x & 31, matrix = lane >> 3;
    return at((lane & 7) + Operand::lower(matrix) * 8, Operand::further(matrix) * CHUNK<T>);
  }
  // A pair of bf16 is to ldmatrix what a float is.
  static DEVICE void load(uint32_t (&r)[4], const T* from) { ldmatrix_x4(r, from); }
};

// A tile whose lines, each as wide as the tile, go across K.
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

// No instruction transposes floats. With 8 of padding, the four lines that a warp reads at once are in different banks.
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

// Who copies what of a tile: a thread copies at SPANS places along the span, SPAN_APART from each other, and for each
// at KS places along K, K_APART from each other. Its next copies are one whole step of K further.

// By chunks of 16 bytes, neighbors in memory along K, or across it.
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

// One by one, where neighbors are not whole chunks: a thread has its own place along the span.
template <class T, class Tile> struct Singles {
  static constexpr int SPAN_APART = 0, SPANS = 1;
  static constexpr int K_APART = TILE_THREADS / Tile::Operand::SPAN, KS = TILE_K<T> / K_APART;
  static DEVICE int span() { return threadIdx.x % Tile::Operand::SPAN; }
  static DEVICE int k() { return threadIdx.x / Tile::Operand::SPAN; }
  static DEVICE void copy(T* to, const T* from, bool inside) { cp_async4(to, from, inside); }
};

// Brings an operand to shared memory, step by step along K.
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
  // Begins to copy the next step.
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

// Makes x = big + the new x, where `big` is x in tf32. Of an infinity it is 2 of its sign, and the rest is x itself:
// with a 0 or an infinity in the place of the 2, the three products of an infinite one could add up to NaN.
DEVICE void split(uint32_t (&x)[4], uint32_t (&big)[4]) {
  // From here on rounding gives infinities.
  const float top = __uint_as_float(0x7f7ff000u);
#pragma unroll
  for (int e = 0; e < 4; e++) {
    const float whole = __uint_as_float(x[e]);
    // to_tf32 less its own test, which would be a second one.
    big[e] = (x[e] + 0x1000u) & (abs_of(whole) < top ? 0xffffe000u : 0xc0000000u);
    x[e] = to_tf32(whole - __uint_as_float(big[e]));
  }
}

// How numbers lie in memory and are multiplied.
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

// Nearly what products of floats give: only small · small is left out. Tensor cores round their sums towards zero, always
// to the same side; so each step's begin at zero and are added to the others as floats are.
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

// Adds the next `steps` steps along K.
template <class Mode, class LoaderA, class LoaderB> DEVICE void multiply(Sums& sums, LoaderA a, LoaderB b, int steps) {
  using T = typename Mode::Element;
  using TileA = typename LoaderA::Tile;
  using TileB = typename LoaderB::Tile;
  __shared__ __align__(16) T room_a[STAGES][TileA::SIZE];
  __shared__ __align__(16) T room_b[STAGES][TileB::SIZE];
  // Groups are closed even when nothing is left to copy, so that counting them goes on telling what has arrived.
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
    // Everyone's copies of this step have arrived, and everyone is done with the stage of the last one.
    __syncthreads();
    begin(step + STAGES - 1, now == 0 ? STAGES - 1 : now - 1);
    add_stage<Mode, TileA, TileB>(sums, room_a[now], room_b[now]);
    now = now == STAGES - 1 ? 0 : now + 1;
  }
  cp_wait<0>();
}

// Gives each pair of neighbors in a row of the tile to visit(row, column, left, right).
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
