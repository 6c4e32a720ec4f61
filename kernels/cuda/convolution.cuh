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
  struct __align__(16) Line {
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
    return (k.high < s.kh) & within(line.top + down, s.h) & within(line.left + right, s.w);
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
    return (o < s.o) & (k.index < length);
  }
};

// The input gradient of a strided convolution in phases. Along an axis, pixel r of x is in phase r mod stride; tap p reaches it
// only if r + padding − p · dilation is a multiple of the stride, the same for all pixels of a phase. So each phase is the
// gradient of a convolution with stride 1, of every step-th tap, and no product with zeros is computed.
//
// step is stride / g and apart is dilation / g, where g is their greatest common divisor; one of each for an axis. There are no
// phases without a pixel: `count` is at most the length of the axis.
struct Phases {
  int step[2], apart[2], count[2];
};

// A phase along one axis: its pixels are first, first + stride, …; its taps are tap, tap + step, …. Pixel i gets from tap t
// element i + shift − t · apart of dy.
struct Phase {
  int first, pixels, tap, taps, step, shift, apart;

  DEVICE Phase(int first, int length, int kernel, int stride, int padding, int dilation, int step, int apart)
      : first(first), pixels((length - first + stride - 1) / stride), tap(0), step(step), apart(apart) {
    const int reach = first + padding, end = min(step, kernel);
    while (tap < end && (reach - tap * dilation) % stride != 0) tap++;
    taps = tap < end ? (kernel - tap + step - 1) / step : 0;
    shift = (reach - tap * dilation) / stride;
  }
};

// The phases of a tile along both axes.
struct TilePhase {
  Phase down, right;
  bool all; // there is no other phase

  DEVICE TilePhase(int phase, const Convolution& s, const Phases& p)
      : down(phase / p.count[1], s.h, s.kh, s.stride[0], s.padding[0], s.dilation[0], p.step[0], p.apart[0]),
        right(phase % p.count[1], s.w, s.kw, s.stride[1], s.padding[1], s.dilation[1], p.step[1], p.apart[1]),
        all(p.count[0] * p.count[1] == 1) {}
  DEVICE int pixels(const Convolution& s) const { return s.n * down.pixels * right.pixels; }
  DEVICE int terms(const Convolution& s) const { return down.taps * right.taps * s.o; }
  // The index in x of the phase's pixel.
  DEVICE int in_x(int pixel, const Convolution& s) const {
    if (all) return pixel;
    const int row = pixel / right.pixels, image = row / down.pixels;
    return (image * s.h + (row - image * down.pixels) * s.stride[0] + down.first) * s.w +
           (pixel - row * right.pixels) * s.stride[1] + right.first;
  }
};

// A of the input gradient: rows are the pixels of x in a phase, K runs over (p, q, o) with the phase's taps, elements are those
// of dy to which the pixel contributed through this tap.
template <class T> struct GradientPatches {
  using Element = T;
  template <class Shape> using Tile = AlongK<T, A<Shape>>;
  using K = Odometer;
  struct __align__(16) Line {
    int corner, bottom, right; // the element of dy at the first tap, possibly outside: its offset and its coordinates
  };
  const T* base;
  const Convolution& s;
  const TilePhase& phase;

  DEVICE Line line(int pixel) const {
    const int row = pixel / phase.right.pixels, image = row / phase.down.pixels;
    const int bottom = row - image * phase.down.pixels + phase.down.shift;
    const int right = pixel - row * phase.right.pixels + phase.right.shift;
    return {((image * s.oh + bottom) * s.ow + right) * s.o, pixel < phase.pixels(s) ? bottom : FAR_OUT, right};
  }
  DEVICE K k(int first, int step) const { return Odometer(first, step, max(phase.right.taps, 1), s.o); }
  DEVICE bool find(const Line& line, const K& k, const T*& from) const {
    const int up = k.high * phase.down.apart, left = k.middle * phase.right.apart;
    from = base + (line.corner + (k.low - (up * s.ow + left) * s.o));
    return (k.high < phase.down.taps) & within(line.bottom - up, s.oh) & within(line.right - left, s.ow);
  }
};

// B of the input gradient: columns are input channels, K runs over (p, q, o) with the phase's taps.
template <class T> struct FilterChannels {
  using Element = T;
  template <class Shape> using Tile = AcrossK<T, B<Shape>>;
  using K = Odometer;
  using Line = int;
  const T* base;
  const Convolution& s;
  const TilePhase& phase;

  DEVICE Line line(int channel) const { return channel; }
  DEVICE K k(int first, int step) const { return Odometer(first, step, max(phase.right.taps, 1), s.o); }
  DEVICE bool find(const Line& channel, const K& k, const T*& from) const {
    const int p = phase.down.tap + k.high * phase.down.step, q = phase.right.tap + k.middle * phase.right.step;
    from = base + (((k.low * s.kh + p) * s.kw + q) * s.c + channel);
    return (k.high < phase.down.taps) & (channel < s.c);
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
    return (k.high < s.n) & (one | (within(row, s.h) & within(column, s.w)));
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
    return (pixel.index < s.n * s.oh * s.ow) & (o < s.o);
  }
};
