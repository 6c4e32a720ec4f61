// Warp-level operations (mma.sync, ldmatrix, cp.async) with the fragment layouts of the PTX manual.
#pragma once

namespace cpu {

inline float of_bf16(uint32_t h) { return __uint_as_float(h << 16); }
// Tensor cores read a 32-bit register as tf32 by ignoring its lowest 13 bits.
inline float of_tf32(uint32_t u) { return __uint_as_float(u & 0xffffe000u); }

// Tensor cores are reported to truncate their sums instead of rounding (Fasi et al.: "Numerical behavior of NVIDIA tensor
// cores", 2021).
inline float towards_zero(double x) {
  const float nearest = (float)x;
  return std::isfinite(nearest) && std::fabs((double)nearest) > std::fabs(x) ? std::nextafterf(nearest, 0.0f) : nearest;
}

// Publishes this lane's fragments a (4 registers) and b (2 registers) to the warp.
inline Warp& publish(const uint32_t* a, const uint32_t* b, unsigned& buffer) {
  Warp& warp = warps[current->warp];
  if (warp.exist != ~0u) die("mma: requires a full warp");
  buffer = current->operations++ & 1;
  memcpy(warp.fragment[buffer][current->lane], a, 16);
  memcpy(warp.fragment[buffer][current->lane] + 4, b, 8);
  warp_sync(~0u);
  return warp;
}

// d (16×8) += a (16×16, rows) · b (16×8, columns)
inline void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  unsigned buffer;
  Warp& warp = publish(a, b, buffer);
  const unsigned row = current->lane >> 2, pair = current->lane & 3;
  for (unsigned e = 0; e < 4; e++) {
    const unsigned lower = e >> 1, column = pair * 2 + (e & 1);
    double sum = d[e];
    for (unsigned k = 0; k < 16; k++) {
      const unsigned lane = (k & 7) >> 1, shift = (k & 1) * 16, half = k >> 3;
      sum += (double)of_bf16(warp.fragment[buffer][row * 4 + lane][lower + 2 * half] >> shift & 0xffff) *
             of_bf16(warp.fragment[buffer][column * 4 + lane][4 + half] >> shift & 0xffff);
    }
    d[e] = towards_zero(sum);
  }
}

// d (16×8) += a (16×8, rows) · b (8×8, columns)
inline void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  unsigned buffer;
  Warp& warp = publish(a, b, buffer);
  const unsigned row = current->lane >> 2, pair = current->lane & 3;
  for (unsigned e = 0; e < 4; e++) {
    const unsigned lower = e >> 1, column = pair * 2 + (e & 1);
    double sum = d[e];
    for (unsigned k = 0; k < 8; k++)
      sum += (double)of_tf32(warp.fragment[buffer][row * 4 + (k & 3)][lower + 2 * (k >> 2)]) *
             of_tf32(warp.fragment[buffer][column * 4 + (k & 3)][4 + (k >> 2)]);
    d[e] = towards_zero(sum);
  }
}

// Four 8×8 matrices of 16-bit elements: lane i gives the address of row i mod 8 of matrix i / 8.
inline void ldmatrix_x4(uint32_t (&r)[4], bool transposed, const void* row) {
  Warp& warp = warps[current->warp];
  const unsigned buffer = current->operations++ & 1, lane = current->lane;
  if ((uintptr_t)row & 15) die("ldmatrix: a row address is not a multiple of 16");
  warp.slot[buffer][lane] = (uintptr_t)row;
  warp_sync(~0u);
  for (unsigned j = 0; j < 4; j++) {
    auto at = [&](unsigned i, unsigned k) { return (uint32_t)((const uint16_t*)warp.slot[buffer][j * 8 + i])[k]; };
    const unsigned i = lane >> 2, k = (lane & 3) * 2;
    r[j] = transposed ? at(k, i) | at(k + 1, i) << 16 : at(i, k) | at(i, k + 1) << 16;
  }
}

// The data arrive only at the wait that covers their group. Until then the destination is poisoned, so that a missing or
// insufficient wait gives NaN.
inline void cp_async(void* to, const void* from, unsigned bytes, unsigned valid) {
  if (((uintptr_t)to | (uintptr_t)from) & (bytes - 1)) die("cp.async: an address is not a multiple of the size");
  if (current->copies == (int)MAX_COPIES) die("cp.async: a thread has more than 64 pending copies");
  memset(to, 0xff, bytes);
  copies[current->warp * 32 + current->lane][current->copies++] = {to, from, bytes, valid, current->group};
}
inline void cp_commit() { current->group++; }
inline void cp_wait(int keep) {
  int left = 0;
  Copy* queue = copies[current->warp * 32 + current->lane];
  for (int i = 0; i < current->copies; i++) {
    const Copy copy = queue[i];
    if (copy.group >= current->group - keep) {
      queue[left++] = copy;
      continue;
    }
    memset(copy.to, 0, copy.bytes);
    if (copy.valid) memcpy(copy.to, copy.from, copy.valid);
  }
  current->copies = left;
}

} // namespace cpu
