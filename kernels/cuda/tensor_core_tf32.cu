// Tensor core products of operands rounded to TF32.
#define BOUNDS TILE_THREADS, 3
#include "tensor_core.cuh"

PRODUCTS(tf32, Tf32, Aligned)
PRODUCTS(tf32_unaligned, Tf32, Unaligned)
// With bf16 results, for channels that bf16 operands cannot have.
RESULTS(tf32_to_bf16, Tf32, Aligned, uint16_t)
RESULTS(tf32_unaligned_to_bf16, Tf32, Unaligned, uint16_t)
