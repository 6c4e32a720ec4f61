// log-softmax along an axis, and cross-entropy. A line runs along the axis with stride `step`; LANES = 1 assigns a short
// line to a thread, LANES = 32 a long line to a warp.
#include "prelude.cuh"

template <int LANES> DEVICE int lane() { return LANES == 1 ? 0 : threadIdx.x & 31; }
template <int LANES> DEVICE uint32_t first_line() { return first_element() / LANES; }
template <int LANES> DEVICE uint32_t line_step() { return element_step() / LANES; }

template <int LANES, class T> DEVICE T sum_of_lanes(T value) {
#pragma unroll
  for (int by = LANES / 2; by > 0; by /= 2) value += __shfl_xor_sync(0xffffffffu, value, by);
  return value;
}
template <int LANES, class T> DEVICE T largest_of_lanes(T value) {
#pragma unroll
  for (int by = LANES / 2; by > 0; by /= 2) {
    const T other = __shfl_xor_sync(0xffffffffu, value, by);
    value = other > value ? other : value;
  }
  return value;
}

// The maximum of a line, ignoring NaN, and Σ exp(x − max), which is NaN if any element is.
template <int LANES, class T> DEVICE T exponentials(const T* x, int length, int64_t step, T& sum) {
  // A lane without an element repeats the first one of the line.
  T largest = x[0];
  for (int i = lane<LANES>(); i < length; i += LANES) {
    const T here = x[i * step];
    // NaN loses against any number.
    largest = here > largest || is_nan(largest) ? here : largest;
  }
  largest = largest_of_lanes<LANES>(largest);
  sum = T(0);
  for (int i = lane<LANES>(); i < length; i += LANES) sum += exp_of(x[i * step] - largest);
  sum = sum_of_lanes<LANES>(sum);
  return largest;
}

template <int LANES, class T>
DEVICE void log_softmax(T* y, const T* x, const Walk<2>& lines, int length, int64_t y_step, int64_t x_step) {
  for (uint32_t line = first_line<LANES>(); line < lines.numel; line += line_step<LANES>()) {
    int64_t at[2];
    locate(lines, line, at);
    T sum;
    const T largest = exponentials<LANES>(x + at[1], length, x_step, sum);
    const T ln = log_of(sum);
    for (int i = lane<LANES>(); i < length; i += LANES) y[at[0] + i * y_step] = x[at[1] + i * x_step] - largest - ln;
  }
}

template <int LANES, class T>
DEVICE void log_softmax_backward(T* dx, const T* dy, const T* y, const Walk<3>& lines, int length, int64_t dx_step,
                                 int64_t dy_step, int64_t y_step) {
  for (uint32_t line = first_line<LANES>(); line < lines.numel; line += line_step<LANES>()) {
    int64_t at[3];
    locate(lines, line, at);
    T sum = T(0);
    for (int i = lane<LANES>(); i < length; i += LANES) sum += dy[at[1] + i * dy_step];
    sum = sum_of_lanes<LANES>(sum);
    for (int i = lane<LANES>(); i < length; i += LANES)
      dx[at[0] + i * dx_step] = dy[at[1] + i * dy_step] - exp_of(y[at[2] + i * y_step]) * sum;
  }
}

// The operands of the walk are x and the labels; the results are dense in its order.
template <int LANES, class T>
DEVICE void cross_entropy(T* loss, T* max, T* ln, const T* x, const int32_t* labels, const Walk<2>& lines, int classes,
                          int64_t step, Fault* fault) {
  for (uint32_t line = first_line<LANES>(); line < lines.numel; line += line_step<LANES>()) {
    int64_t at[2];
    locate(lines, line, at);
    T sum;
    const T largest = exponentials<LANES>(x + at[0], classes, step, sum), log_sum = log_of(sum);
    if (lane<LANES>()) continue;
    const int label = labels[at[1]];
    const bool inside = label >= 0 && label < classes;
    if (!inside) report(fault, BAD_LABEL, label);
    loss[line] = log_sum - (x[at[0] + (inside ? label : 0) * step] - largest);
    max[line] = largest;
    ln[line] = log_sum;
  }
}

// The operands of the walk are dx, dy and x; the labels, max and ln are dense in its order.
template <int LANES, class T>
DEVICE void cross_entropy_backward(T* dx, const T* dy, const T* x, const int32_t* labels, const T* max, const T* ln,
                                   const Walk<3>& lines, int classes, int64_t dx_step, int64_t x_step) {
  for (uint32_t line = first_line<LANES>(); line < lines.numel; line += line_step<LANES>()) {
    int64_t at[3];
    locate(lines, line, at);
    const T gradient = dy[at[1]], shift = max[line], log_sum = ln[line];
    const int label = labels[line];
    for (int i = lane<LANES>(); i < classes; i += LANES) {
      const T share = exp_of(x[at[2] + i * x_step] - shift - log_sum);
      dx[at[0] + i * dx_step] = gradient * (i == label ? share - T(1) : share);
    }
  }
}

#define FLOATS(type, T)                                                                                                \
  LINES(by_thread, 1, type, T)                                                                                         \
  LINES(by_warp, 32, type, T)
#define LINES(name, LANES, type, T)                                                                                    \
  KERNEL(THREADS, log_softmax_##name##_##type, T* y, const T* x, CONSTANT Walk<2> lines, int length, int64_t y_step,   \
         int64_t x_step) {                                                                                             \
    log_softmax<LANES>(y, x, lines, length, y_step, x_step);                                                           \
  }                                                                                                                    \
  KERNEL(THREADS, log_softmax_backward_##name##_##type, T* dx, const T* dy, const T* y, CONSTANT Walk<3> lines,        \
         int length, int64_t dx_step, int64_t dy_step, int64_t y_step) {                                               \
    log_softmax_backward<LANES>(dx, dy, y, lines, length, dx_step, dy_step, y_step);                                   \
  }                                                                                                                    \
  KERNEL(THREADS, cross_entropy_##name##_##type, T* loss, T* max, T* ln, const T* x, const int32_t* labels,            \
         CONSTANT Walk<2> lines, int classes, int64_t step, Fault* fault) {                                            \
    cross_entropy<LANES>(loss, max, ln, x, labels, lines, classes, step, fault);                                       \
  }                                                                                                                    \
  KERNEL(THREADS, cross_entropy_backward_##name##_##type, T* dx, const T* dy, const T* x, const int32_t* labels,       \
         const T* max, const T* ln, CONSTANT Walk<3> lines, int classes, int64_t dx_step, int64_t x_step) {            \
    cross_entropy_backward<LANES>(dx, dy, x, labels, max, ln, lines, classes, dx_step, x_step);                        \
  }
FLOATS(f32, float)
FLOATS(f64, double)
