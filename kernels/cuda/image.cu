// Pooling, resampling and im2col of image batches. Sums are written as gathers: a thread sums all contributions to its
// element in a fixed order, and there are no atomic additions.
#include "bf16.cuh"

// Images (N,C,H,W) by strides.
struct Images {
  int32_t n, c, h, w;
  int64_t stride[4];
};

struct Place {
  int n, c, row, column;
};

// The position of element i of dense images in memory order: channels-last or NCHW.
DEVICE Place place_of(const Images& images, uint32_t i) {
  Place place;
  if (images.stride[1] == 1 && images.c > 1) {
    place.c = i % images.c, i /= images.c;
    place.column = i % images.w, i /= images.w;
    place.row = i % images.h, place.n = i / images.h;
    return place;
  }
  place.column = i % images.w, i /= images.w;
  place.row = i % images.h, i /= images.h;
  place.c = i % images.c, place.n = i / images.c;
  return place;
}
DEVICE int64_t offset(const Images& images, int n, int c, int row, int column) {
  return n * images.stride[0] + c * images.stride[1] + row * images.stride[2] + column * images.stride[3];
}
DEVICE uint32_t count(const Images& images) { return images.n * images.c * images.h * images.w; }

// A window along an axis: its rows first, first + step, …, and the divisor of an average; or the windows that contain a row.
struct Span {
  int32_t first, count, step, divisor;
};

template <class T, class S>
DEVICE void max_pool(S* y, int32_t* index, const S* x, const Images& from, const Images& to, const Span* rows,
                     const Span* columns, int relu) {
  for (uint32_t i = first_element(); i < count(to); i += element_step()) {
    const Place place = place_of(to, i);
    const Span down = rows[place.row], right = columns[place.column];
    const S* plane = x + offset(from, place.n, place.c, 0, 0);
    T best = T(plane[down.first * from.stride[2] + right.first * from.stride[3]]);
    int where = down.first * from.w + right.first;
    for (int p = 0, row = down.first; p < down.count; p++, row += down.step) {
      const S* line = plane + row * from.stride[2];
      for (int q = 0, column = right.first; q < right.count; q++, column += right.step) {
        const T here = T(line[column * from.stride[3]]);
        if (!(here <= best) && !is_nan(best)) {
          best = here;
          where = row * from.w + column;
        }
      }
    }
    y[i] = S(relu && best <= T(0) ? T(0) : best);
    // As relu's own gradient: none where the maximum is NaN.
    index[i] = !relu || best > T(0) ? where : -1;
  }
}

template <class T> DEVICE void gather2d(T* y, const T* x, const int32_t* index, const Images& from, const Images& to) {
  for (uint32_t i = first_element(); i < count(to); i += element_step()) {
    const Place place = place_of(to, i);
    const int where = index[i];
    y[i] = where < 0 ? T(0) : x[offset(from, place.n, place.c, where / from.w, where % from.w)];
  }
}

// dx: each element sums dy of the windows that contain it and whose maximum it is.
template <class T, class S>
DEVICE void scatter2d(S* dx, const S* dy, const int32_t* index, const Images& from, const Images& to, const Span* rows,
                      const Span* columns) {
  for (uint32_t i = first_element(); i < count(to); i += element_step()) {
    const Place place = place_of(to, i);
    const Span down = rows[place.row], right = columns[place.column];
    const int64_t plane = offset(from, place.n, place.c, 0, 0);
    const int mine = place.row * to.w + place.column;
    T sum = T(0);
    for (int p = 0, row = down.first; p < down.count; p++, row += down.step)
      for (int q = 0, column = right.first; q < right.count; q++, column += right.step) {
        const int64_t at = plane + row * from.stride[2] + column * from.stride[3];
        if (index[at] == mine) sum += T(dy[at]);
      }
    dx[i] = S(sum);
  }
}

template <class T, class S>
DEVICE void avg_pool(S* y, const S* x, const Images& from, const Images& to, const Span* rows, const Span* columns) {
  for (uint32_t i = first_element(); i < count(to); i += element_step()) {
    const Place place = place_of(to, i);
    const Span down = rows[place.row], right = columns[place.column];
    const S* plane = x + offset(from, place.n, place.c, 0, 0);
    T sum = T(0);
    for (int p = 0, row = down.first; p < down.count; p++, row += down.step)
      for (int q = 0, column = right.first; q < right.count; q++, column += right.step)
        sum += T(plane[row * from.stride[2] + column * from.stride[3]]);
    y[i] = S(sum / T(down.divisor * right.divisor));
  }
}

// dx: each element sums its shares of the windows that contain it (`around`); `windows` gives their divisors.
template <class T, class S>
DEVICE void avg_pool_adjoint(S* dx, const S* dy, const Images& from, const Images& to, const Span* around_rows,
                             const Span* around_columns, const Span* rows, const Span* columns) {
  for (uint32_t i = first_element(); i < count(to); i += element_step()) {
    const Place place = place_of(to, i);
    const Span down = around_rows[place.row], right = around_columns[place.column];
    const S* plane = dy + offset(from, place.n, place.c, 0, 0);
    T sum = T(0);
    // Not unrolled: copies of the division of doubles would spill registers.
#pragma unroll 1
    for (int p = 0, row = down.first; p < down.count; p++, row += down.step)
#pragma unroll 1
      for (int q = 0, column = right.first; q < right.count; q++, column += right.step)
        sum += T(plane[row * from.stride[2] + column * from.stride[3]]) / T(rows[row].divisor * columns[column].divisor);
    dx[i] = S(sum);
  }
}

// The source row of a resampled row, and its weight.
struct Mix {
  int32_t lower, upper;
  double lower_weight;
};

template <class T>
DEVICE void resample(T* y, const T* x, const Images& from, const Images& to, const Mix* rows, const Mix* columns) {
  for (uint32_t i = first_element(); i < count(to); i += element_step()) {
    const Place place = place_of(to, i);
    const Mix down = rows[place.row], right = columns[place.column];
    const T* plane = x + offset(from, place.n, place.c, 0, 0);
    const T left = T(right.lower_weight), rest = T(1.0 - right.lower_weight);
    auto along = [&](int row) {
      const T* at = plane + row * from.stride[2];
      return left * at[right.lower * from.stride[3]] + rest * at[right.upper * from.stride[3]];
    };
    y[i] = T(down.lower_weight) * along(down.lower) + T(1.0 - down.lower_weight) * along(down.upper);
  }
}

// dx: each element sums its weighted contributions to the output rows and columns around it.
template <class T>
DEVICE void resample_adjoint(T* dx, const T* dy, const Images& from, const Images& to, const Span* around_rows,
                             const Span* around_columns, const Mix* rows, const Mix* columns) {
  for (uint32_t i = first_element(); i < count(to); i += element_step()) {
    const Place place = place_of(to, i);
    const Span down = around_rows[place.row], right = around_columns[place.column];
    const T* plane = dy + offset(from, place.n, place.c, 0, 0);
    auto weight = [](const Mix& mix, int mine) {
      return T((mix.lower == mine ? mix.lower_weight : 0.0) + (mix.upper == mine ? 1.0 - mix.lower_weight : 0.0));
    };
    T sum = T(0);
    for (int row = down.first; row < down.first + down.count; row++) {
      T along = T(0);
      for (int column = right.first; column < right.first + right.count; column++)
        along += weight(columns[column], place.column) * plane[row * from.stride[2] + column * from.stride[3]];
      sum += weight(rows[row], place.row) * along;
    }
    dx[i] = sum;
  }
}

// The geometry of im2col: a kernel of kh × kw, oh × ow windows.
struct Windows {
  int32_t kh, kw, oh, ow, stride[2], padding[2], dilation[2];
};

// y (N, C·kh·kw, oh·ow), row-major.
template <class T> DEVICE void im2col(T* y, const T* x, const Images& from, const Windows& s) {
  const uint32_t numel = (uint32_t)from.n * from.c * s.kh * s.kw * s.oh * s.ow;
  for (uint32_t i = first_element(); i < numel; i += element_step()) {
    uint32_t rest = i;
    const int column = rest % s.ow, row = (rest /= s.ow) % s.oh, q = (rest /= s.oh) % s.kw, p = (rest /= s.kw) % s.kh;
    const int c = (rest /= s.kh) % from.c, n = rest / from.c;
    const int h = row * s.stride[0] + p * s.dilation[0] - s.padding[0];
    const int w = column * s.stride[1] + q * s.dilation[1] - s.padding[1];
    const bool inside = (unsigned)h < (unsigned)from.h && (unsigned)w < (unsigned)from.w;
    y[i] = inside ? x[offset(from, n, c, h, w)] : T(0);
  }
}

// dx: each element sums the im2col elements that copy it; dy (N, C·kh·kw, oh·ow), row-major.
template <class T> DEVICE void col2im(T* dx, const T* dy, const Images& to, const Windows& s) {
  for (uint32_t i = first_element(); i < count(to); i += element_step()) {
    const Place place = place_of(to, i);
    T sum = T(0);
    for (int p = 0; p < s.kh; p++)
      for (int q = 0; q < s.kw; q++) {
        const int h = place.row + s.padding[0] - p * s.dilation[0];
        const int w = place.column + s.padding[1] - q * s.dilation[1];
        if (h < 0 || w < 0 || h % s.stride[0] || w % s.stride[1]) continue;
        const int row = h / s.stride[0], column = w / s.stride[1];
        if (row >= s.oh || column >= s.ow) continue;
        const int64_t line = (((int64_t)place.n * to.c + place.c) * s.kh + p) * s.kw + q;
        sum += dy[(line * s.oh + row) * s.ow + column];
      }
    dx[i] = sum;
  }
}

// Limits registers to four blocks per multiprocessor; without the limit the assembler spills.
#define BOUNDS THREADS, 4
#define STORED(type, T, S)                                                                                             \
  KERNEL(BOUNDS, max_pool_##type, S* y, int32_t* index, const S* x, Images from, Images to, const Span* rows,         \
         const Span* columns, int relu) {                                                                              \
    max_pool<T>(y, index, x, from, to, rows, columns, relu);                                                              \
  }                                                                                                                    \
  KERNEL(THREADS, scatter2d_##type, S* dx, const S* dy, const int32_t* index, Images from, Images to,                  \
         const Span* rows, const Span* columns) {                                                                      \
    scatter2d<T>(dx, dy, index, from, to, rows, columns);                                                                 \
  }                                                                                                                    \
  KERNEL(BOUNDS, avg_pool_##type, S* y, const S* x, Images from, Images to, const Span* rows, const Span* columns) {   \
    avg_pool<T>(y, x, from, to, rows, columns);                                                                           \
  }                                                                                                                    \
  KERNEL(THREADS, avg_pool_adjoint_##type, S* dx, const S* dy, Images from, Images to, const Span* around_rows,        \
         const Span* around_columns, const Span* rows, const Span* columns) {                                          \
    avg_pool_adjoint<T>(dx, dy, from, to, around_rows, around_columns, rows, columns);                                    \
  }
STORED(f32, float, float)
STORED(f64, double, double)
STORED(bf16, float, bf16)

#define FLOATS(type, T)                                                                                                \
  KERNEL(THREADS, gather2d_##type, T* y, const T* x, const int32_t* index, Images from, Images to) {                   \
    gather2d(y, x, index, from, to);                                                                                   \
  }                                                                                                                    \
  KERNEL(THREADS, resample_##type, T* y, const T* x, Images from, Images to, const Mix* rows, const Mix* columns) {    \
    resample(y, x, from, to, rows, columns);                                                                           \
  }                                                                                                                    \
  KERNEL(THREADS, resample_adjoint_##type, T* dx, const T* dy, Images from, Images to, const Span* around_rows,        \
         const Span* around_columns, const Mix* rows, const Mix* columns) {                                            \
    resample_adjoint(dx, dy, from, to, around_rows, around_columns, rows, columns);                                    \
  }                                                                                                                    \
  KERNEL(THREADS, im2col_##type, T* y, const T* x, Images from, Windows s) { im2col(y, x, from, s); }                  \
  KERNEL(THREADS, col2im_##type, T* dx, const T* dy, Images to, Windows s) { col2im(dx, dy, to, s); }
FLOATS(f32, float)
FLOATS(f64, double)
