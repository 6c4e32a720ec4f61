// Convolutions as implicit matrix products: sources that locate a matrix's elements in the tensors.
//
// x, y and their gradients are (image, row, column, channel), w is (o, p, q, c): for output channel o the weights of
// the taps (p, q) of the filter. If copies are 16 bytes, channels are multiples of such a chunk, so that no chunk crosses a
// pixel or a tap.
//
// Padding is multiplied as zeros, so that an infinite weight gives NaN there.
#pragma once
#include "gemm.cuh"

// x: n, h, w, c; y: n, oh, ow, o; filter: o, kh, kw, c. The numbers of pixels and of elements of w are below 2³¹ minus a
// tile.
struct Convolution {
  int n, h, w, c, o, kh, kw, oh, ow, stride[2], padding[2], dilation[2];
};

// An index split into (high, middle, low) along three axes, which advances by a fixed step without another division.
struct Odometer {
  int high, middle, low;
  int step_high, step_middle, step_low;
  int middles, lows;

  DEVICE Odometer(int index, int step, int middles, int lows) : middles(middles), lows(lows) {
    split(index, high, middle, low);
    split(step, step_high, step_middle, step_low);
  }
  DEVICE void split(int index, int& high, int& middle, int& low) const {
    const int rest = index / lows;
    low = index - rest * lows;
    high = rest / middles;
    middle = rest - high * middles;
  }
  DEVICE void advance() {
    low += step_low;
    int carry = low >= lows;
    if (carry) low -= lows;
    middle += step_middle + carry;
    carry = middle >= middles;
    if (carry) middle -= middles;
    high += step_high + carry;
  }
};

DEVICE bool within(int i, int length) { return (uint32_t)i < (uint32_t)length; }

// A coordinate that is outside the image for every tap.
constexpr int FAR_OUT = -(1 << 30);

// A plain index that advances by a fixed step.
struct Counter {
  int index, step;
  DEVICE void advance() { index += step; }
};

// A of the forward pass: rows are pixels of y, K runs over (p, q, c), elements are those of x under the filter.
template <class T> struct Patches {
  using Element = T;
  template <class Shape> using Tile = AlongK<T, A<Shape>>;
  using K = Odometer;
  struct Line {
    int corner, top, left; // the pixel under the first tap, possibly outside: its offset and its coordinates
  };
  const T* base;
  const Convolution& s;

  DEVICE Line line(int pixel) const {
    const int row = pixel / s.ow, image = row / s.oh;
    const int top = (row - image * s.oh) * s.stride[0] - s.padding[0];
    const int left = (pixel - row * s.ow) * s.stride[1] - s.padding[1];
    return {((image * s.h + top) * s.w + left) * s.c, pixel < s.n * s.oh * s.ow ? top : FAR_OUT, left};
  }
  DEVICE K k(int first, int step) const { return Odometer(first, step, s.kw, s.c); }
  DEVICE bool find(const Line& line, const K& k, const T*& from) const {
    const int down = k.high * s.dilation[0], right = k.middle * s.dilation[1];
    from = base + (line.corner + ((down * s.w + right) * s.c + k.low));
    return k.high < s.kh && within(line.top + down, s.h) && within(line.left + right, s.w);
  }
};

// B of the forward pass: columns are output channels, K runs over (p, q, c).
template <class T> struct Filters {
  using Element = T;
  template <class Shape> using Tile = AlongK<T, B<Shape>>;
  using K = Counter;
  using Line = int;
  const T* base;
  const Convolution& s;

  DEVICE Line line(int o) const { return o; }
  DEVICE K k(int first, int step) const { return {first, step}; }
  DEVICE bool find(const Line& o, const K& k, const T*& from) const {
    const int length = s.kh * s.kw * s.c;
    from = base + (o * length + k.index);
    return o < s.o && k.index < length;
  }
};

// t / divisor by a multiplication, exact for t · divisor < 2³¹.
struct Divisor {
  uint32_t divisor, factor;

  DEVICE explicit Divisor(uint32_t divisor) : divisor(divisor), factor(0x80000000u / divisor + 1) {}
  // -1 if t is negative or not a multiple.
  DEVICE int quotient(int t) const {
    const uint32_t quotient = __umulhi((uint32_t)t * 2, factor);
    return t >= 0 && quotient * divisor == (uint32_t)t ? (int)quotient : -1;
  }
};

// A of the input gradient: rows are pixels of x, K runs over (p, q, o), elements are those of dy to which the pixel
// contributed through this tap.
template <class T> struct GradientPatches {
  using Element = T;
  template <class Shape> using Tile = AlongK<T, A<Shape>>;
  using K = Odometer;
  struct Line {
    int image, bottom, right; // in dy for stride 1, at the first tap
  };
  const T* base;
  const Convolution& s;
  Divisor stride_0, stride_1;

  DEVICE GradientPatches(const T* dy, const Convolution& s)
      : base(dy), s(s), stride_0(s.stride[0]), stride_1(s.stride[1]) {}
  DEVICE Line line(int pixel) const {
    const int row = pixel / s.w, image = row / s.h;
    const int bottom = pixel < s.n * s.h * s.w ? row - image * s.h + s.padding[0] : FAR_OUT;
    return {image, bottom, pixel - row * s.w + s.padding[1]};
  }
  DEVICE K k(int first, int step) const { return Odometer(first, step, s.kw, s.o); }
  DEVICE bool find(const Line& line, const K& k, const T*& from) const {
    const int row = stride_0.quotient(line.bottom - k.high * s.dilation[0]);
    const int column = stride_1.quotient(line.right - k.middle * s.dilation[1]);
    from = base + (((line.image * s.oh + row) * s.ow + column) * s.o + k.low);
    return k.high < s.kh && within(row, s.oh) && within(column, s.ow);
  }
};

// B of the input gradient: columns are input channels, K runs over (p, q, o).
template <class T> struct FilterChannels {
  using Element = T;
  template <class Shape> using Tile = AcrossK<T, B<Shape>>;
  using K = Odometer;
  using Line = int;
  const T* base;
  const Convolution& s;

  DEVICE Line line(int channel) const { return channel; }
  DEVICE K k(int first, int step) const { return Odometer(first, step, s.kw, s.o); }
  DEVICE bool find(const Line& channel, const K& k, const T*& from) const {
    from = base + (((k.low * s.kh + k.high) * s.kw + k.middle) * s.c + channel);
    return k.high < s.kh && channel < s.c;
  }
};

// A of the weight gradient: rows are (p, q, c), K runs over the pixels of y, elements are those of x under the filter.
// Optionally followed by a row of ones, whose products are the sums of dy: the bias gradient. `ones` is a chunk of a one
// and zeros.
template <class T> struct PatchPixels {
  using Element = T;
  template <class Shape> using Tile = AcrossK<T, A<Shape>>;
  using K = Odometer;
  struct Line {
    int top, left, channel;
  };
  const T* base;
  const T* ones;
  const Convolution& s;

  DEVICE Line line(int index) const {
    if (ones && index == s.kh * s.kw * s.c) return {0, 0, -1};
    const int tap = index / s.c, p = tap / s.kw;
    return {p * s.dilation[0] - s.padding[0], (tap - p * s.kw) * s.dilation[1] - s.padding[1], index - tap * s.c};
  }
  DEVICE K k(int first, int step) const { return Odometer(first, step, s.oh, s.ow); }
  DEVICE bool find(const Line& line, const K& k, const T*& from) const {
    const int row = k.middle * s.stride[0] + line.top, column = k.low * s.stride[1] + line.left;
    const bool one = line.channel < 0;
    from = one ? ones : base + (((k.high * s.h + row) * s.w + column) * s.c + line.channel);
    return k.high < s.n && (one || (within(row, s.h) && within(column, s.w)));
  }
};

// B of the weight gradient: columns are output channels, K runs over the pixels of y.
template <class T> struct GradientPixels {
  using Element = T;
  template <class Shape> using Tile = AcrossK<T, B<Shape>>;
  using K = Counter;
  using Line = int;
  const T* base;
  const Convolution& s;

  DEVICE Line line(int o) const { return o; }
  DEVICE K k(int first, int step) const { return {first, step}; }
  DEVICE bool find(const Line& o, const K& pixel, const T*& from) const {
    from = base + (pixel.index * s.o + o);
    return pixel.index < s.n * s.oh * s.ow && o < s.o;
  }
};
