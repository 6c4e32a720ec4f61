// Convolutions as products of matrices: the loaders that find a matrix's elements in the tensors.
//
// x, y and their gradients are (image, row, column, channel), w is (o, p, q, c): for output channel o the weights of
// the taps (p, q) of the filter. Channels are whole chunks of 16 bytes, so that none crosses a pixel or a tap.
//
// What is outside of an image is zeros like any others: an infinite weight makes NaN of them.
#pragma once
#include "gemm.cuh"

// Of x: n, h, w, c; of y: n, oh, ow, o; of the filter: o, kh, kw, c. Pixels, and elements of w, are fewer than 2³¹ less
// a tile's.
struct Convolution {
  int n, h, w, c, o, kh, kw, oh, ow, stride[2], padding[2], dilation[2];
};

// An index in the digits (high, middle, low) of its place along three axes, and how it moves on by a fixed step without
// dividing again.
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

// A coordinate that no tap brings back into an image.
constexpr int FAR_OUT = -(1 << 30);

// Forward's A: a line is a pixel of y, K goes over (p, q, c), and the elements are those of x under the filter.
template <class T> struct Patches {
  using Tile = AlongK<T, A>;
  const T* base;
  const Convolution& s;
  Odometer k;
  int corner[Tile::EACH], top[Tile::EACH], left[Tile::EACH]; // the pixel under the first tap, which may be outside

  DEVICE Patches(const T* x, const Convolution& s, int first, int first_k)
      : base(x), s(s), k(first_k + Tile::column(), TILE_K<T>, s.kw, s.c) {
    const int pixels = s.n * s.oh * s.ow;
#pragma unroll
    for (int i = 0; i < Tile::EACH; i++) {
      const int pixel = first + Tile::line(i), row = pixel / s.ow, image = row / s.oh;
      top[i] = (row - image * s.oh) * s.stride[0] - s.padding[0];
      left[i] = (pixel - row * s.ow) * s.stride[1] - s.padding[1];
      corner[i] = (image * s.h + top[i]) * s.w + left[i];
      if (pixel >= pixels) top[i] = FAR_OUT;
    }
  }
  DEVICE bool find(int i, int64_t& offset) {
    const int down = k.high * s.dilation[0], right = k.middle * s.dilation[1];
    const bool inside = k.high < s.kh && within(top[i] + down, s.h) && within(left[i] + right, s.w);
    offset = (int64_t)(corner[i] + down * s.w + right) * s.c + k.low;
    if (i == Tile::EACH - 1) k.advance();
    return inside;
  }
};

// Forward's B: a line is an output channel, K goes over (p, q, c).
template <class T> struct Filters {
  using Tile = AlongK<T, B>;
  const T* base;
  int first, k, filters, length;

  DEVICE Filters(const T* w, const Convolution& s, int first, int first_k)
      : base(w), first(first), k(first_k + Tile::column()), filters(s.o), length(s.kh * s.kw * s.c) {}
  DEVICE bool find(int i, int64_t& offset) {
    const int o = first + Tile::line(i);
    const bool inside = o < filters && k < length;
    offset = (int64_t)o * length + k;
    if (i == Tile::EACH - 1) k += TILE_K<T>;
    return inside;
  }
};

// t / divisor by a multiplication, exact as long as t · divisor < 2³¹.
struct Divisor {
  uint32_t divisor, factor;

  DEVICE explicit Divisor(uint32_t divisor) : divisor(divisor), factor(0x80000000u / divisor + 1) {}
  // -1 if t is negative or no multiple.
  DEVICE int quotient(int t) const {
    const uint32_t quotient = __umulhi((uint32_t)t * 2, factor);
    return t >= 0 && quotient * divisor == (uint32_t)t ? (int)quotient : -1;
  }
};

// The input gradient's A: a line is a pixel of x, K goes over (p, q, o), and the elements are those of dy that the
// pixel had a part in through this tap.
template <class T> struct GradientPatches {
  using Tile = AlongK<T, A>;
  const T* base;
  const Convolution& s;
  Odometer k;
  Divisor stride_0, stride_1;
  int image[Tile::EACH], bottom[Tile::EACH], right[Tile::EACH]; // of dy if there were no strides, at the first tap

  DEVICE GradientPatches(const T* dy, const Convolution& s, int first, int first_k)
      : base(dy), s(s), k(first_k + Tile::column(), TILE_K<T>, s.kw, s.o), stride_0(s.stride[0]),
        stride_1(s.stride[1]) {
    const int pixels = s.n * s.h * s.w;
#pragma unroll
    for (int i = 0; i < Tile::EACH; i++) {
      const int pixel = first + Tile::line(i), row = pixel / s.w;
      image[i] = row / s.h;
      bottom[i] = pixel < pixels ? row - image[i] * s.h + s.padding[0] : FAR_OUT;
      right[i] = pixel - row * s.w + s.padding[1];
    }
  }
  DEVICE bool find(int i, int64_t& offset) {
    const int row = stride_0.quotient(bottom[i] - k.high * s.dilation[0]);
    const int column = stride_1.quotient(right[i] - k.middle * s.dilation[1]);
    const bool inside = k.high < s.kh && within(row, s.oh) && within(column, s.ow);
    offset = (int64_t)((image[i] * s.oh + row) * s.ow + column) * s.o + k.low;
    if (i == Tile::EACH - 1) k.advance();
    return inside;
  }
};

// The input gradient's B: K goes over (p, q, o), a line is the input channels of one of them.
template <class T> struct FilterChannels {
  using Tile = AcrossK<T, B>;
  const T* base;
  const Convolution& s;
  Odometer k;
  int channel;

  DEVICE FilterChannels(const T* w, const Convolution& s, int first, int first_k)
      : base(w), s(s), k(first_k + Tile::line(0), Tile::APART, s.kw, s.o), channel(first + Tile::column()) {}
  DEVICE bool find(int, int64_t& offset) {
    const bool inside = k.high < s.kh && channel < s.c;
    offset = (int64_t)((k.low * s.kh + k.high) * s.kw + k.middle) * s.c + channel;
    k.advance();
    return inside;
  }
};

// The weight gradient's A: K goes over the pixels of y, a line is the elements of x that (p, q, c) meet there.
template <class T> struct PatchPixels {
  using Tile = AcrossK<T, A>;
  const T* base;
  const Convolution& s;
  Odometer k;
  int top, left, channel;

  DEVICE PatchPixels(const T* x, const Convolution& s, int first, int first_k)
      : base(x), s(s), k(first_k + Tile::line(0), Tile::APART, s.oh, s.ow) {
    const int tap = (first + Tile::column()) / s.c, p = tap / s.kw;
    channel = first + Tile::column() - tap * s.c;
    top = p * s.dilation[0] - s.padding[0];
    left = (tap - p * s.kw) * s.dilation[1] - s.padding[1];
  }
  DEVICE bool find(int, int64_t& offset) {
    const int row = k.middle * s.stride[0] + top, column = k.low * s.stride[1] + left;
    const bool inside = k.high < s.n && within(row, s.h) && within(column, s.w);
    offset = (int64_t)((k.high * s.h + row) * s.w + column) * s.c + channel;
    k.advance();
    return inside;
  }
};

// The weight gradient's B: K goes over the pixels of y, a line is a pixel's output channels.
template <class T> struct GradientPixels {
  using Tile = AcrossK<T, B>;
  const T* base;
  int pixel, pixels, channel, channels;

  DEVICE GradientPixels(const T* dy, const Convolution& s, int first, int first_k)
      : base(dy), pixel(first_k + Tile::line(0)), pixels(s.n * s.oh * s.ow), channel(first + Tile::column()),
        channels(s.o) {}
  DEVICE bool find(int, int64_t& offset) {
    const bool inside = pixel < pixels && channel < channels;
    offset = (int64_t)pixel * channels + channel;
    pixel += Tile::APART;
    return inside;
  }
};
