// Elementwise kernels. The functions are those of crates/tensor/src/parameters/elementwise/functions.rs, their
// formulas derived in crates/tensor/src/cpu/elementwise/formulas.rs.
#include "bf16.cuh"
#include "circular.cuh"
#include "opcodes.cuh"

template <class T> DEVICE T sigmoid(T x) {
  const T e = exp_of(-abs_of(x)), share = T(1) / (T(1) + e);
  return x < T(0) ? e * share : is_nan(x) ? x : share;
}

// x·weight, where a weight of 0 wins over an infinite x.
template <class T> DEVICE T times(T x, T weight) { return weight == T(0) ? T(0) : x * weight; }

template <class T> DEVICE T softplus(T x) {
  return is_nan(x) ? x : (x > T(0) ? x : T(0)) + log1p_of(exp_of(-abs_of(x)));
}

template <class T> DEVICE T tanh_softplus(T x) {
  const T e = exp_of(-abs_of(x));
  if (x < T(0)) {
    const T n = e * (e + T(2));
    return n / (n + T(2));
  }
  const T n = T(1) + T(2) * e;
  return n / (n + T(2) * e * e);
}

template <class T> DEVICE T normal_distribution(T x) {
  return T(0.5) + T(0.5) * erf_of(x * T(0.70710678118654752440));
}

// 2√(2/π), and the argument of the logistic function in gelu's approximation.
template <class T> DEVICE T gelu_scale() { return T(1.59576912160573081142); }
template <class T> DEVICE T gelu_argument(T x) { return gelu_scale<T>() * (x + T(0.044715) * (x * x * x)); }

// The logistic function and its slope, which loses no digits in either tail.
template <class T> DEVICE T logistic(T u, T& slope) {
  const T e = exp_of(-abs_of(u)), share = T(1) / (T(1) + e);
  slope = e * share * share;
  return u < T(0) ? e * share : share;
}

template <class T> DEVICE T mish_slope(T x) {
  const T e = exp_of(-abs_of(x));
  const bool below = x < T(0);
  const T n = below ? e * (e + T(2)) : T(1) + T(2) * e;
  const T d = below ? n + T(2) : n + T(2) * e * e;
  const T decay = below ? e : e * e;
  return n / d + times(x, T(4) * decay * (T(1) + e) / (d * d));
}

template <class T> DEVICE T unary(int op, T x, T a, T b) {
  switch (Unary(op)) {
  case Unary::Neg: return -x;
  case Unary::Abs: return abs_of(x);
  case Unary::Sign: return x > T(0) ? T(1) : x < T(0) ? T(-1) : x;
  case Unary::Exp: return exp_of(x);
  case Unary::Log: return log_of(x);
  case Unary::Sqrt: return root_of(x);
  case Unary::Square: return x * x;
  case Unary::Cube: return x * x * x;
  case Unary::Reciprocal: return T(1) / x;
  case Unary::Add: return x + a;
  case Unary::SubFrom: return a - x;
  case Unary::Mul: return a * x;
  case Unary::Div: return x / a;
  case Unary::DivInto: return a / x;
  case Unary::Pow: return power_of(x, a);
  case Unary::Clamp: {
    const T cut = x > b ? b : x;
    return cut < a ? a : cut;
  }
  case Unary::Relu: return x <= T(0) ? T(0) : x;
  case Unary::LeakyRelu: return x > T(0) ? x : a * x;
  case Unary::Elu: return x > T(0) ? x : a * expm1_of(x);
  case Unary::Sigmoid: return sigmoid(x);
  case Unary::Tanh: return tanh_of(x);
  case Unary::Softplus: return softplus(x);
  case Unary::Swish: return times(x, sigmoid(a * x));
  case Unary::Mish: return times(x, tanh_softplus(x));
  case Unary::Gelu: return times(x, normal_distribution(x));
  case Unary::GeluTanh: return times(x, sigmoid(gelu_argument(x)));
  case Unary::Sin: return sine(x);
  case Unary::Cos: return cosine(x);
  case Unary::Tan: return tangent(x);
  case Unary::Asin: return asin_of(x);
  case Unary::Acos: return acos_of(x);
  case Unary::Atan: return atan_of(x);
  case Unary::Sinh: return sinh_of(x);
  case Unary::Cosh: return cosh_of(x);
  case Unary::Expm1: return expm1_of(x);
  case Unary::Log1p: return log1p_of(x);
  case Unary::Log2: return log2_of(x);
  case Unary::Log10: return log10_of(x);
  case Unary::Erf: return erf_of(x);
  case Unary::Rsqrt: return T(1) / root_of(x);
  case Unary::Floor: return floor_of(x);
  case Unary::Ceil: return ceil_of(x);
  case Unary::Round: return round_of(x);
  case Unary::Trunc: return trunc_of(x);
  default: return x;
  }
}

template <class T> DEVICE T binary(int op, T v, T w, T a, T b) {
  switch (Binary(op)) {
  case Binary::Add: return v + w;
  case Binary::Sub: return v - w;
  case Binary::Mul: return v * w;
  case Binary::Div: return v / w;
  case Binary::Maximum: return v >= w || is_nan(v) ? v : w;
  case Binary::Minimum: return v <= w || is_nan(v) ? v : w;
  case Binary::Power: return power_of(v, w);
  case Binary::Atan2: return atan2_of(v, w);
  case Binary::Remainder: {
    const T rest = modulo_of(v, w);
    return rest != T(0) && (rest < T(0)) != (w < T(0)) ? rest + w : rest;
  }
  case Binary::ReluBackward: return w > T(0) ? v : T(0);
  case Binary::LeakyReluBackward: return w > T(0) ? v : a * v;
  case Binary::ClampBackward: return a < w && w < b ? v : T(0);
  case Binary::EluBackward: return w > T(0) ? v : v * (a * exp_of(w));
  case Binary::SigmoidBackward: return v * (w * (T(1) - w));
  case Binary::TanhBackward: return v * (T(1) - w * w);
  case Binary::SoftplusBackward: return v * sigmoid(w);
  case Binary::SwishBackward: {
    T slope;
    const T u = a * w, share = logistic(u, slope);
    return v * (share + times(u, slope));
  }
  case Binary::MishBackward: return v * mish_slope(w);
  case Binary::GeluBackward: {
    const T density = T(0.39894228040143267794) * exp_of(T(-0.5) * (w * w));
    return v * (normal_distribution(w) + times(w, density));
  }
  case Binary::GeluTanhBackward: {
    T slope;
    const T share = logistic(gelu_argument(w), slope);
    const T rise = gelu_scale<T>() * (w + T(0.134145) * (w * w * w));
    return v * (share + times(rise, slope));
  }
  default: return v;
  }
}

template <class T> DEVICE bool compare(int op, T a, T b) {
  switch (Compare(op)) {
  case Compare::Equal: return a == b;
  case Compare::NotEqual: return a != b;
  case Compare::Less: return a < b;
  case Compare::LessEqual: return a <= b;
  case Compare::Greater: return a > b;
  case Compare::GreaterEqual: return a >= b;
  default: return false;
  }
}

// y = op(x); y is dense in the walk's order. Elements are stored as S and computed with as T.
template <class T, class S> DEVICE void map_unary(S* y, const S* x, const Walk<1>& walk, int op, double a, double b) {
  for (uint32_t i = first_element(); i < walk.numel; i += element_step()) {
    int64_t at[1];
    locate(walk, i, at);
    y[i] = S(unary(op, T(x[at[0]]), T(a), T(b)));
  }
}
template <class T, class S>
DEVICE void map_binary(S* y, const S* v, const S* w, const Walk<2>& walk, int op, double a, double b) {
  for (uint32_t i = first_element(); i < walk.numel; i += element_step()) {
    int64_t at[2];
    locate(walk, i, at);
    y[i] = S(binary(op, T(v[at[0]]), T(w[at[1]]), T(a), T(b)));
  }
}
#define STORED(type, T, S)                                                                                             \
  KERNEL(THREADS, unary_##type, S* y, const S* x, CONSTANT Walk<1> walk, int op, double a, double b) {                 \
    map_unary<T>(y, x, walk, op, a, b);                                                                                \
  }                                                                                                                    \
  KERNEL(THREADS, binary_##type, S* y, const S* v, const S* w, CONSTANT Walk<2> walk, int op, double a, double b) {    \
    map_binary<T>(y, v, w, walk, op, a, b);                                                                            \
  }
STORED(f32, float, float)
STORED(f64, double, double)
STORED(bf16, float, bf16)

#define FLOATS(type, T)                                                                                                \
  KERNEL(THREADS, add_assign_##type, T* y, const T* x, CONSTANT Walk<2> walk) {                                        \
    for (uint32_t i = first_element(); i < walk.numel; i += element_step()) {                                          \
      int64_t at[2];                                                                                                   \
      locate(walk, i, at);                                                                                             \
      y[at[0]] += x[at[1]];                                                                                            \
    }                                                                                                                  \
  }
FLOATS(f32, float)
FLOATS(f64, double)

// All of a buffer in the other format.
KERNEL(THREADS, widen_bf16, float* y, const bf16* x, uint32_t numel) {
  for (uint32_t i = first_element(); i < numel; i += element_step()) y[i] = x[i];
}
KERNEL(THREADS, narrow_bf16, bf16* y, const float* x, uint32_t numel) {
  for (uint32_t i = first_element(); i < numel; i += element_step()) y[i] = bf16(x[i]);
}

// y = x, element by element, stored as S in x and as T in y.
template <class T, class S> DEVICE void map_copy(T* y, const S* x, const Walk<2>& walk) {
  for (uint32_t i = first_element(); i < walk.numel; i += element_step()) {
    int64_t at[2];
    locate(walk, i, at);
    y[at[0]] = T(x[at[1]]);
  }
}

// Two axes of a copy, one with its neighbors side by side in x, the other in y:
// y[row·y_step + column] = x[row + column·x_step].
struct Plane {
  uint32_t rows, columns;
  int64_t y_step, x_step;
};
// The side of a tile.
constexpr int SIDE = 32;

// y = x for a plane at each element of the batch, a block for each tile: read along x's neighbors, written along y's, so
// that neighboring threads are at neighbors both times.
template <class T, class S> DEVICE void copy_tile(T* y, const S* x, const Walk<2>& batch, const Plane& plane) {
  // One more than is used: what a warp reads from a column lies in different banks.
  __shared__ S tile[SIDE][SIDE + 1];
  const uint32_t across = (plane.columns + SIDE - 1) / SIDE, down = (plane.rows + SIDE - 1) / SIDE;
  const uint32_t strip = blockIdx.x / across, layer = strip / down;
  const uint32_t column = (blockIdx.x - strip * across) * SIDE, row = (strip - layer * down) * SIDE;
  const uint32_t lane = threadIdx.x % SIDE, line = threadIdx.x / SIDE;
  int64_t at[2];
  locate(batch, layer, at);
#pragma unroll
  for (int i = 0; i < SIDE; i += THREADS / SIDE) {
    const uint32_t from = column + line + i;
    if (row + lane < plane.rows && from < plane.columns)
      tile[line + i][lane] = x[at[1] + row + lane + from * plane.x_step];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < SIDE; i += THREADS / SIDE) {
    const uint32_t to = row + line + i;
    if (to < plane.rows && column + lane < plane.columns)
      y[at[0] + to * plane.y_step + column + lane] = T(tile[lane][line + i]);
  }
}

#define COPY(type, T, S)                                                                                               \
  KERNEL(THREADS, copy_##type, T* y, const S* x, CONSTANT Walk<2> walk) { map_copy(y, x, walk); }                      \
  KERNEL(THREADS, transpose_##type, T* y, const S* x, CONSTANT Walk<2> batch, Plane plane) {                           \
    copy_tile(y, x, batch, plane);                                                                                     \
  }
COPY(f32, float, float)
COPY(f64, double, double)
COPY(i32, int32_t, int32_t)
COPY(u8, uint8_t, uint8_t)
COPY(bf16, bf16, bf16)
COPY(bf16_to_f32, float, bf16)
COPY(f32_to_bf16, bf16, float)

// Conversions as Rust's `as` makes them: towards zero, cut off at the type's ends, NaN to 0.
template <class U> DEVICE U converted(double x) { return (U)x; }
template <> DEVICE int32_t converted<int32_t>(double x) {
  return x != x ? 0 : x <= -2147483648.0 ? (int32_t)0x80000000 : x >= 2147483647.0 ? 0x7fffffff : (int32_t)x;
}
template <> DEVICE uint8_t converted<uint8_t>(double x) {
  return x != x || x <= 0.0 ? 0 : x >= 255.0 ? 255 : (uint8_t)x;
}
template <class U, class T> DEVICE void map_cast(U* y, const T* x, const Walk<1>& walk) {
  for (uint32_t i = first_element(); i < walk.numel; i += element_step()) {
    int64_t at[1];
    locate(walk, i, at);
    y[i] = converted<U>((double)x[at[0]]);
  }
}

#define ANY(type, T)                                                                                                   \
  KERNEL(THREADS, compare_##type, uint8_t* y, const T* a, const T* b, CONSTANT Walk<2> walk, int op) {                 \
    for (uint32_t i = first_element(); i < walk.numel; i += element_step()) {                                          \
      int64_t at[2];                                                                                                   \
      locate(walk, i, at);                                                                                             \
      y[i] = compare(op, a[at[0]], b[at[1]]);                                                                          \
    }                                                                                                                  \
  }                                                                                                                    \
  KERNEL(THREADS, select_##type, T* y, const uint8_t* mask, const T* a, const T* b, CONSTANT Walk<3> walk) {           \
    for (uint32_t i = first_element(); i < walk.numel; i += element_step()) {                                          \
      int64_t at[3];                                                                                                   \
      locate(walk, i, at);                                                                                             \
      y[i] = mask[at[0]] ? a[at[1]] : b[at[2]];                                                                        \
    }                                                                                                                  \
  }                                                                                                                    \
  KERNEL(THREADS, fill_##type, T* y, T value, uint32_t numel) {                                                        \
    for (uint32_t i = first_element(); i < numel; i += element_step()) y[i] = value;                                   \
  }                                                                                                                    \
  KERNEL(THREADS, to_f32_##type, float* y, const T* x, CONSTANT Walk<1> walk) { map_cast(y, x, walk); }                \
  KERNEL(THREADS, to_f64_##type, double* y, const T* x, CONSTANT Walk<1> walk) { map_cast(y, x, walk); }               \
  KERNEL(THREADS, to_i32_##type, int32_t* y, const T* x, CONSTANT Walk<1> walk) { map_cast(y, x, walk); }              \
  KERNEL(THREADS, to_u8_##type, uint8_t* y, const T* x, CONSTANT Walk<1> walk) { map_cast(y, x, walk); }
ANY(f32, float)
ANY(f64, double)
ANY(i32, int32_t)
ANY(u8, uint8_t)
