// Warp-level tensor core and copy instructions: one wrapper per instruction, with its PTX for the GPU and an emulation in
// the stand-in driver. From compute capability 8.0 on.
#pragma once
#include "bf16.cuh"

#ifdef CUDA_CPU

DEVICE void cp_async16(void* to, const void* from, bool valid) { cpu::cp_async(to, from, 16, valid ? 16 : 0); }
DEVICE void cp_async4(void* to, const void* from, bool valid) { cpu::cp_async(to, from, 4, valid ? 4 : 0); }
DEVICE void cp_commit() { cpu::cp_commit(); }
template <int KEEP> DEVICE void cp_wait() { cpu::cp_wait(KEEP); }
DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void* row) { cpu::ldmatrix_x4(r, false, row); }
DEVICE void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row) { cpu::ldmatrix_x4(r, true, row); }
DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { cpu::mma_bf16(d, a, b); }
DEVICE void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) { cpu::mma_tf32(d, a, b); }
DEVICE uint32_t to_bf16_pair(float left, float right) { return to_bf16(left) | (uint32_t)to_bf16(right) << 16; }
DEVICE uint32_t to_tf32(float x) { return is_nan(x) ? 0x7fffffffu : (__float_as_uint(x) + 0x1000u) & 0xffffe000u; }

#else

// Copies and matrix loads have a memory clobber: the compiler sees no other writes to the tiles and could assume that they
// are uninitialized.

// A shared-memory address as PTX expects it.
DEVICE uint32_t shared_address(const void* p) { return (uint32_t)__cvta_generic_to_shared(p); }

// Starts an asynchronous copy of 16 bytes to shared memory; zeros if not valid, in which case `from` is not read.
DEVICE void cp_async16(void* to, const void* from, bool valid) {
  const int bytes = valid ? 16 : 0;
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}

// The same for 4 bytes, through L1: other threads copy adjacent elements.
DEVICE void cp_async4(void* to, const void* from, bool valid) {
  const int bytes = valid ? 4 : 0;
  asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(to)), "l"(from), "r"(bytes)
               : "memory");
}

// Commits this thread's copies since the last commit as a group.
DEVICE void cp_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

// Waits for all of this thread's groups except the KEEP most recent.
template <int KEEP> DEVICE void cp_wait() { asm volatile("cp.async.wait_group %0;" ::"n"(KEEP) : "memory"); }

// Loads four 8×8 matrices of 16-bit elements: lane i gives the address of row i mod 8 of matrix i / 8, and receives from
// each matrix elements 2(i mod 4) and the next of row i / 4.
DEVICE void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// The same, with each matrix transposed.
DEVICE void ldmatrix_x4_transposed(uint32_t (&r)[4], const void* row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(shared_address(row))
               : "memory");
}

// d (16×8) += a (16×16, rows) · b (16×8, columns)
DEVICE void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// d (16×8) += a (16×8, rows) · b (8×8, columns)
DEVICE void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm volatile("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 "
               "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
               : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
               : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

// Two floats rounded to bf16, `left` in the lower half, by one instruction.
DEVICE uint32_t to_bf16_pair(float left, float right) {
  uint32_t pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(right), "f"(left));
  return pair;
}

// The nearest float with 10 bits of mantissa, ties away from zero.
DEVICE uint32_t to_tf32(float x) {
  uint32_t rounded;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(x));
  return rounded;
}

#endif
